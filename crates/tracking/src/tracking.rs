//! The services of this crate, on what they are built on.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use mcplane_core::Result;
use mcplane_db::Db;
use mcplane_egress::{Egress, Limits, Policy};
use mcplane_objects::Mirror;
use mcplane_objects::storage::{Cipher, Storage};
use tokio_util::sync::CancellationToken;

use crate::artifacts::Artifacts;
use crate::lineage::Push;
use crate::models::SourcePattern;
use crate::outbox::{self, Carrier, Fate, Message, Pace, Wake};
use crate::passage::Passages;
use crate::webhooks;
use crate::workspaces::Workspace;

/// What tracking is told by the operator.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where artifacts of new experiments go, as a URI that clients see; `mlflow-artifacts:/` sends them through the server.
    pub default_artifact_root: String,
    /// Whom webhooks may reach.
    pub webhook_hosts: Policy,
    /// Who is told of runs, as OpenLineage events.
    pub openlineage: Option<Push>,
    /// What sources of versions that are registered without their content must have in them; any if there is none.
    pub version_source: Option<SourcePattern>,
    /// How patient the sender of messages is.
    pub pace: Pace,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            default_artifact_root: "mlflow-artifacts:/".to_owned(),
            webhook_hosts: Policy::default(),
            openlineage: None,
            version_source: None,
            pace: Pace::default(),
        }
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
    /// Seals the secrets of webhooks.
    pub(crate) cipher: Cipher,
    /// Sends to webhooks.
    pub(crate) egress: Egress,
    /// Sends to whom the operator names.
    pub(crate) lineage_egress: Egress,
    /// To be called after a commit that may have left a message.
    pub(crate) wake: Wake,
}

impl Tracking {
    /// Starts to follow namespaces. `table` is the storage of ordinary kinds.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn start(
        db: &Db,
        table: &dyn Storage,
        artifacts: Artifacts,
        cipher: Cipher,
        config: Config,
    ) -> Result<Self> {
        let resource: Arc<str> = "namespaces".into();
        let namespaces = Mirror::start(db, table, &resource, Workspace::of_namespace, |_| ()).await?;
        Ok(Self {
            db: db.clone(),
            egress: Egress::new(config.webhook_hosts.clone(), Limits::default()),
            lineage_egress: Egress::new(Policy::everything(), Limits::default()),
            config,
            artifacts,
            namespaces,
            with_default: Mutex::default(),
            passages: Passages::default(),
            purging: tokio::sync::Mutex::default(),
            cipher,
            wake: Wake::default(),
        })
    }

    /// Whether there is such a namespace, and it is not going: they are the workspaces.
    pub fn has_workspace(&self, name: &str) -> bool {
        self.namespaces.get("", name).is_some()
    }
}

impl Tracking {
    /// Sends what waits for webhooks and others, until `stopping` is cancelled.
    pub async fn send_messages(self: Arc<Self>, stopping: CancellationToken) {
        let (db, pace, wake) = (self.db.clone(), self.config.pace, self.wake.clone());
        outbox::run(db, self, pace, wake, stopping).await;
    }
}

impl Carrier for Tracking {
    fn carry<'a>(&'a self, lane: &'a str, message: &'a Message) -> BoxFuture<'a, Result<Fate>> {
        Box::pin(async move {
            match (lane.strip_prefix(webhooks::LANES), Push::namespace_of(lane)) {
                (Some(id), _) => self.carry_to_webhook(id, message).await,
                (_, Some(namespace)) => self.push_run_event(namespace, message).await,
                _ => Ok(Fate::Void),
            }
        })
    }
}
