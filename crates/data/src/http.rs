//! The door: `/data/v1/namespaces/{namespace}/…`.

use mcplane_core::Result;
use mcplane_db::Db;
use mcplane_objects::http::{Routes, namespaced};

use crate::data::Data;
use crate::{gates, reports, scope};

/// What the door needs.
pub type Door = namespaced::Door<Data>;
pub(crate) type Paths = namespaced::Paths<Data>;
pub(crate) type Admitted = namespaced::Admitted<Data>;

impl namespaced::Service for Data {
    const ROOT: &'static str = "/data/v1";
    const GROUP: &'static str = scope::GROUP;

    fn db(&self) -> &Db {
        &self.db
    }

    async fn require_namespace(&self, name: &str) -> Result<()> {
        Self::require_namespace(self, name).await
    }
}

/// All routes.
pub fn routes(door: Door) -> Routes {
    gates::http::routes(reports::http::routes(Paths::default())).into_routes(door)
}
