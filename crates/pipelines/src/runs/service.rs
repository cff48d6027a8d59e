//! The rules of what becomes durable of a run, one transaction each.
//!
//! Every write of the engine checks the lease that it works under, so that an engine that was replaced without noticing
//! changes nothing any more.

use std::collections::BTreeMap;

use mcplane_core::Result;
use mcplane_db::{Db, Tx};
use mcplane_scheduler::dispatch::lead::{Lead, lost};

use super::store::{self, Cached};
use super::types::RunRow;
use crate::run::{NodeId, Record, State};

/// Runs, as the engine that holds a lease writes them.
#[derive(Debug, Clone)]
pub(crate) struct Runs {
    pub(crate) db: Db,
    pub(crate) lead: Lead,
}

/// What one step of a run makes durable.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Transitions, in order.
    pub(crate) records: Vec<Record>,
    /// State of the whole run, if it changed, and why it failed.
    pub(crate) state: Option<(State, String)>,
}

impl Progress {
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.state.is_none()
    }
}

async fn fenced(tx: &mut Tx, lead: Lead) -> Result<()> {
    if lead.holds(tx).await? { Ok(()) } else { Err(lost()) }
}

impl Runs {
    /// Takes a run in, once.
    pub(crate) async fn insert(&self, run: RunRow) -> Result<()> {
        let lead = self.lead;
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    fenced(tx, lead).await?;
                    store::insert(tx, &run).await
                })
            })
            .await
    }

    /// Keeps how far a run is.
    pub(crate) async fn advance(&self, uid: &str, progress: Progress) -> Result<()> {
        if progress.is_empty() {
            return Ok(());
        }
        let (lead, uid) = (self.lead, uid.to_owned());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    fenced(tx, lead).await?;
                    store::record(tx, &uid, &progress.records).await?;
                    match &progress.state {
                        Some((state, error)) => store::set_state(tx, &uid, *state, error).await,
                        None => Ok(()),
                    }
                })
            })
            .await
    }

    /// Keeps that somebody wants the run to end.
    pub(crate) async fn cancel(&self, uid: &str) -> Result<()> {
        let (lead, uid) = (self.lead, uid.to_owned());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    fenced(tx, lead).await?;
                    store::set_canceling(tx, &uid).await
                })
            })
            .await
    }

    /// Keeps what a run is tracked as.
    pub(crate) async fn set_tracked(&self, uid: &str, experiment: String, run: String) -> Result<()> {
        let uid = uid.to_owned();
        self.db.write(move |tx| Box::pin(async move { store::set_tracked(tx, &uid, &experiment, &run).await })).await
    }

    /// Keeps which task does a node's work, and what that is tracked as.
    pub(crate) async fn set_task(&self, uid: &str, node: NodeId, task: String, tracked: String) -> Result<()> {
        let uid = uid.to_owned();
        self.db.write(move |tx| Box::pin(async move { store::set_task(tx, &uid, &node, &task, &tracked).await })).await
    }

    /// Keeps the digests of what a node made, and the work itself for later runs.
    pub(crate) async fn keep_work(
        &self,
        run: &RunRow,
        node: NodeId,
        fingerprint: Option<String>,
        work: Cached,
    ) -> Result<()> {
        let run = run.clone();
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    store::set_digests(tx, &run.uid, &node, &work.digests).await?;
                    match fingerprint {
                        Some(fingerprint) => store::cache(tx, &run, &node, &fingerprint, &work).await,
                        None => Ok(()),
                    }
                })
            })
            .await
    }

    /// Keeps the digests of artifacts that a node took from earlier work.
    pub(crate) async fn set_digests(&self, uid: &str, node: NodeId, digests: BTreeMap<String, String>) -> Result<()> {
        let uid = uid.to_owned();
        self.db.write(move |tx| Box::pin(async move { store::set_digests(tx, &uid, &node, &digests).await })).await
    }

    /// The object of the run tells how it ended.
    pub(crate) async fn set_published(&self, uid: &str) -> Result<()> {
        let uid = uid.to_owned();
        self.db.write(move |tx| Box::pin(async move { store::set_published(tx, &uid).await })).await
    }

    /// Forgets a run whose object is gone.
    pub(crate) async fn forget(&self, uid: &str) -> Result<()> {
        let (lead, uid) = (self.lead, uid.to_owned());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    fenced(tx, lead).await?;
                    store::delete(tx, &uid).await
                })
            })
            .await
    }
}
