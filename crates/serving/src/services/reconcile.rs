//! What is done for one service.

use std::sync::Arc;

use mcplane_core::{Error, Result};
use mcplane_db::Db;
use serde_json::Value;

use super::fleet::{Fleet, Pin, Service};
use super::load::Registry;
use super::spec::Spec;
use super::status::Trouble;
use super::store::{self, Revisions};
use super::types::Revision;

/// What became of one look at a service.
pub(super) struct Outcome {
    pub(super) newest: Option<Revision>,
    pub(super) trouble: Option<Trouble>,
    pub(super) pin: Pin,
    /// Whether another look may find something else, though nothing is told.
    pub(super) again: bool,
}

/// What a look at a service needs.
pub(super) struct Desk {
    pub(super) db: Db,
    pub(super) fleet: Arc<Fleet>,
    pub(super) registry: Registry,
}

/// A service as an object, as far as it is looked at.
pub(super) struct Asked<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) uid: &'a str,
    pub(super) spec: &'a Value,
}

impl Desk {
    /// Makes a revision if another is wanted, loads what must answer, and unloads what nobody needs.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn look(&self, asked: &Asked<'_>, service: &Arc<Service>) -> Result<Outcome> {
        let mut revisions = Revisions::new(&self.db).of(asked.uid).await?;
        let spec: Spec = serde_json::from_value(asked.spec.clone()).map_err(Error::internal)?;
        let mut trouble = None;
        let mut again = false;
        if revisions.last().is_none_or(|newest| newest.wanted != spec.wanted()) {
            match self.revise(asked, &spec).await {
                Ok(revision) => revisions.push(revision),
                Err(error) => {
                    // The version may be registered later.
                    again = true;
                    trouble = Some(Trouble { reason: "InvalidPredictorSpec", message: told(error)?, number: None });
                }
            }
        }
        let known = self.fleet.pin_of(asked.namespace, asked.name);
        let pin = known.clone().unwrap_or_default();
        let mut keep = pin.keep.clone();
        keep.extend(revisions.last().map(|newest| newest.number));
        for revision in revisions.iter().rev().filter(|revision| keep.contains(&revision.number)) {
            again |= self.run(service, revision).await?;
        }
        // Where the newest does not answer, the last that did goes on.
        if let Some(newest) = revisions.last().filter(|newest| service.running(newest.number).is_none()) {
            let before = revisions.iter().rev().find(|one| one.ready_at.is_some() && one.number < newest.number);
            if let Some(before) = before {
                keep.insert(before.number);
                again |= self.run(service, before).await?;
            }
            let fault = service.fault(newest.number);
            trouble = trouble.or_else(|| {
                fault.map(|fault| Trouble {
                    reason: "ModelLoadFailed",
                    message: fault.message,
                    number: Some(newest.number),
                })
            });
        }
        if known.is_some() {
            self.fleet.unload(service, &keep);
        }
        Ok(Outcome { newest: revisions.pop(), trouble, pin, again })
    }

    async fn revise(&self, asked: &Asked<'_>, spec: &Spec) -> Result<Revision> {
        let reference = spec.reference().map_err(Error::BadRequest)?;
        let version = self.registry.resolve(asked.namespace, &reference).await?;
        let new = Revision {
            no: 0,
            namespace: asked.namespace.to_owned(),
            service: asked.name.to_owned(),
            uid: asked.uid.to_owned(),
            number: 0,
            wanted: spec.wanted(),
            model: version.model,
            version: version.number,
            semantic: version.semantic.to_string(),
            digest: version.digest,
            created_at: 0,
            ready_at: None,
        };
        self.db.write(move |tx| Box::pin(store::add(tx, new))).await
    }

    /// Has a revision loaded; tells whether another try makes sense.
    async fn run(&self, service: &Arc<Service>, revision: &Revision) -> Result<bool> {
        if service.running(revision.number).is_some() {
            return Ok(false);
        }
        if service.fault(revision.number).is_some_and(|fault| fault.lasting) {
            return Ok(false);
        }
        let content = match self.registry.read(revision).await {
            Ok(content) => content,
            Err(error) => {
                self.fleet.failed(service, revision.number, &error);
                return Ok(error.http_status() >= 500);
            }
        };
        match self.fleet.load(service, revision.clone(), content).await {
            Ok(()) => {
                tracing::info!(
                    service = service.name,
                    namespace = service.namespace,
                    revision = revision.number,
                    "a model answers"
                );
                let no = revision.no;
                if revision.ready_at.is_none() {
                    self.db.write(move |tx| Box::pin(store::ready(tx, no))).await?;
                }
                Ok(false)
            }
            Err(error) => Ok(error.http_status() >= 500),
        }
    }
}

/// What the owner of a service may read of an error; the others are not theirs.
fn told(error: Error) -> Result<String> {
    match error {
        Error::Internal(_) => Err(error),
        error => Ok(error.to_string()),
    }
}
