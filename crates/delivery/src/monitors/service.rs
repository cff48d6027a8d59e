//! What is known of services, over a database.

use std::sync::Arc;

use futures::future::BoxFuture;
use mcplane_core::{Error, Grant, Result};
use mcplane_db::Db;
use mcplane_egress::Egress;
use mcplane_monitoring::live::{Hub, Labelling, Sizes};
use mcplane_monitoring::profiles::Profile;
use mcplane_monitoring::records::Refusal;
use mcplane_monitoring::windows::Labelled;
use mcplane_monitoring::{PredictionId, records};
use mcplane_objects::storage::{Range, Storage, Stored};
use tokio::sync::oneshot;

use super::{MonitorSpec, store};
use crate::scope::OBJECT_GROUP;

/// Who knows the models behind predictions.
pub trait Models: Send + Sync + std::fmt::Debug {
    /// The profile of training data that lies beside a version of a model, if one does.
    fn profile<'a>(&'a self, namespace: &'a str, model: &'a str, version: &'a str) -> BoxFuture<'a, Option<Profile>>;
    /// What a revision serves or served, by the number that identifiers of predictions hold, also of a service that is gone.
    fn served(&self, revision: u64) -> BoxFuture<'_, Result<Option<Served>>>;
}

/// What a revision of a service serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Where the service is.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// The revision's name.
    pub revision: String,
    /// The model in the registry.
    pub model: String,
    /// The number of its version.
    pub version: i64,
    /// SHA-256 of the version's content.
    pub digest: String,
}

/// Monitors, and what they are told.
#[derive(Debug)]
pub struct Monitors {
    pub(super) db: Db,
    pub(super) hub: Arc<Hub>,
    /// The name of this server.
    pub(super) server: Arc<str>,
    pub(super) egress: Egress,
    pub(super) models: Arc<dyn Models>,
    /// Where this server is, for those who are told.
    pub(super) url: String,
}

/// How large the windows are that monitors ask for, so that they are filled as such from the beginning.
///
/// # Errors
/// When the store fails.
pub async fn sizes(storage: &dyn Storage) -> Result<Sizes> {
    let resource: Arc<str> = format!("monitors.{OBJECT_GROUP}").into();
    let all = storage.list(&resource, Range::default()).await?.items;
    let size = |stored: &Stored| {
        let mut object: serde_json::Value = serde_json::from_str(&stored.body).ok()?;
        let spec: MonitorSpec = serde_json::from_value(object["spec"].take()).ok()?;
        Some((format!("{}.{}", spec.service, stored.namespace), spec.watch()))
    };
    Ok(all.iter().filter_map(size).collect())
}

/// What is known of a prediction.
#[derive(Debug)]
pub struct Known {
    /// What made it, which its identifier tells.
    pub served: Served,
    /// What it was, and what was true; nothing when the records are gone.
    pub found: records::Found,
}

impl Monitors {
    /// Monitors of this server; windows of traffic and references are as they were when it last ran.
    pub async fn start(
        db: &Db,
        hub: Arc<Hub>,
        server: Arc<str>,
        egress: Egress,
        models: Arc<dyn Models>,
        url: String,
    ) -> Result<Self> {
        for kept in store::windows(db, &server).await? {
            hub.restore(kept);
        }
        for (key, profile) in store::references(db, &server).await? {
            hub.refer(&key.host, &key.subset, &profile);
        }
        Ok(Self { db: db.clone(), hub, server, egress, models, url })
    }

    /// The windows.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Takes labels: each is durable when this returns, and joined with its prediction if that is known.
    ///
    /// # Errors
    /// `Unavailable` when the disk does not keep up; labels before the refused one are kept.
    pub async fn label(&self, grant: &Grant, labels: Vec<Labelling>) -> Result<Vec<Labelled>> {
        let namespace = grant.namespace()?;
        let mut durable = Vec::with_capacity(labels.len());
        for labelling in &labels {
            let (sender, receiver) = oneshot::channel();
            // Whoever waits may have gone.
            let taken = self.hub.label(labelling, Box::new(move |outcome| drop(sender.send(outcome))));
            taken.map_err(refused)?;
            durable.push(receiver);
        }
        for outcome in durable {
            let written = outcome.await.map_err(Error::internal)?;
            written.map_err(|error| Error::Unavailable {
                message: "the label could not be written; send it again".to_owned(),
                source: Some(error.into()),
            })?;
        }
        Ok(labels.into_iter().map(|labelling| self.hub.join(namespace, labelling)).collect())
    }

    /// What is known of a prediction of the grant's namespace. What made it is known as long as the namespace is there; the
    /// rest, as long as the records are.
    ///
    /// # Errors
    /// `Missing` when no revision of the namespace makes such predictions.
    pub async fn prediction(&self, grant: &Grant, id: PredictionId) -> Result<Known> {
        let own = grant.namespace()?;
        let served = self.models.served(id.revision()).await?.filter(|served| served.namespace == own);
        let served = served.ok_or_else(|| Error::Missing(format!("nothing here made prediction {id}")))?;
        let hub = Arc::clone(&self.hub);
        let found = tokio::task::spawn_blocking(move || hub.find(id)).await.map_err(Error::internal)?;
        Ok(Known { served, found: found.map_err(Error::internal)? })
    }

    /// Forgets what a namespace had.
    pub async fn empty(&self, namespace: &str) -> Result<()> {
        let namespace = namespace.to_owned();
        self.db.write(move |tx| Box::pin(async move { store::empty(tx, &namespace).await })).await
    }
}

fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::TooLarge => Error::TooLarge(refusal.to_string()),
        Refusal::Busy | Refusal::Closed => Error::Unavailable { message: refusal.to_string(), source: None },
    }
}
