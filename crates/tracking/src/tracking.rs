//! The services of this crate, on what they are built on.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use mcplane_core::Result;
use mcplane_db::Db;
use mcplane_objects::Mirror;
use mcplane_objects::storage::Storage;

use crate::artifacts::Artifacts;
use crate::passage::Passages;
use crate::workspaces::Workspace;

/// What tracking is told by the operator.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where artifacts of new experiments go, as a URI that clients see; `mlflow-artifacts:/` sends them through the server.
    pub default_artifact_root: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { default_artifact_root: "mlflow-artifacts:/".to_owned() }
    }
}

/// Experiments, runs, models and what belongs to them. Each noun's folder adds its services.
#[derive(Debug)]
pub struct Tracking {
    pub(crate) db: Db,
    pub(crate) config: Config,
    pub(crate) artifacts: Artifacts,
    pub(crate) namespaces: Mirror<Workspace>,
    /// Namespaces that are known to have their default experiment.
    pub(crate) with_default: Mutex<HashSet<String>>,
    pub(crate) passages: Passages,
    /// Held by whoever clears away what was purged.
    pub(crate) purging: tokio::sync::Mutex<()>,
}

impl Tracking {
    /// Starts to follow namespaces. `table` is the storage of ordinary kinds.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn start(db: &Db, table: &dyn Storage, artifacts: Artifacts, config: Config) -> Result<Self> {
        let resource: Arc<str> = "namespaces".into();
        let namespaces = Mirror::start(db, table, &resource, Workspace::of_namespace, |_| ()).await?;
        Ok(Self {
            db: db.clone(),
            config,
            artifacts,
            namespaces,
            with_default: Mutex::default(),
            passages: Passages::default(),
            purging: tokio::sync::Mutex::default(),
        })
    }

    /// Whether there is such a namespace, and it is not going: they are the workspaces.
    pub fn has_workspace(&self, name: &str) -> bool {
        self.namespaces.get("", name).is_some()
    }
}
