//! The door: `/delivery/v1/namespaces/{namespace}/…`.

use std::sync::Arc;

use mcplane_core::{Error, Result, Subject};
use mcplane_db::Db;
use mcplane_objects::Mirror;
use mcplane_objects::http::{Routes, namespaced};
use mcplane_objects::storage::Storage;

use crate::monitors::Monitors;
use crate::rollouts::service::Rollouts;
use crate::{monitors, rollouts, scope};

/// What the door needs.
pub type Door = namespaced::Door<Delivery>;
pub(crate) type Paths = namespaced::Paths<Delivery>;
pub(crate) type Admitted = namespaced::Admitted<Delivery>;

/// What is behind it.
#[derive(Debug)]
pub struct Delivery {
    /// Rollouts.
    pub(crate) rollouts: Arc<Rollouts>,
    /// Monitors, and the labels that they take.
    pub(crate) monitors: Arc<Monitors>,
    db: Db,
    namespaces: Mirror<()>,
}

impl Delivery {
    /// The services of this crate, for the namespaces that `storage` has.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn start(
        db: &Db,
        storage: &dyn Storage,
        rollouts: Arc<Rollouts>,
        monitors: Arc<Monitors>,
    ) -> Result<Self> {
        let namespaces = Mirror::start(db, storage, &Arc::from("namespaces"), |_| Some(()), |_| {}).await?;
        Ok(Self { rollouts, monitors, db: db.clone(), namespaces })
    }
}

impl namespaced::Service for Delivery {
    const ROOT: &'static str = "/delivery/v1";
    const GROUP: &'static str = scope::GROUP;

    fn db(&self) -> &Db {
        &self.db
    }

    async fn require_namespace(&self, name: &str) -> Result<()> {
        let missing = || Error::NotFound(Subject::new("", "namespaces", name));
        self.namespaces.get("", name).map(drop).ok_or_else(missing)
    }
}

/// All routes.
pub fn routes(door: Door) -> Routes {
    monitors::http::routes(rollouts::http::routes(Paths::default())).into_routes(door)
}
