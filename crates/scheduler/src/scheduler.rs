//! The services of this crate, and the engine behind them.

use std::sync::Arc;
use std::time::Duration;

use mcplane_core::{Error, Result, Subject, Timestamp};
use mcplane_db::Db;
use mcplane_objects::Mirror;
use mcplane_objects::storage::Storage;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::code::Archives;
use crate::dispatch::{Engine, Event, Lead, Runner, lead};
use crate::logs::Logs;
use crate::metrics::Metrics;
use crate::tasks::{Demand, Task};
use crate::transport::Transport;

/// How long the engine rests after the store failed it.
const RETRY: Duration = Duration::from_secs(1);

/// What the operator says.
#[derive(Debug, Clone)]
pub struct Config {
    /// How fine the timing wheel is, in milliseconds. It does not make timers late: the engine sleeps to the next one.
    pub tick_ms: i64,
    /// Attempts that run at a time on this machine.
    pub worker_pool_size: usize,
    /// Attempts that begin before a worker is free, so that one need never wait for the database. Only for executors whose
    /// work is done in a moment: what began is hidden behind what runs.
    pub backlog: usize,
    /// What this machine has to give.
    pub capacity: Demand,
}

/// Tasks, queues and what belongs to them. Each noun's folder adds its services.
pub struct Scheduler {
    pub(crate) db: Db,
    pub(crate) config: Config,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) runners: Vec<Arc<dyn Runner>>,
    pub(crate) archives: Archives,
    pub(crate) logs: Arc<dyn Logs>,
    pub(crate) metrics: Metrics,
    /// This machine, for good.
    pub(crate) node: Arc<str>,
    /// This process: its machine, and something random, so that no two are ever taken for one.
    pub(crate) identity: String,
    /// Namespaces that are not going, with their shares.
    namespaces: Mirror<u32>,
    events: mpsc::UnboundedSender<Event>,
    heard: std::sync::Mutex<Option<mpsc::UnboundedReceiver<Event>>>,
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler").field("node", &self.node).finish_non_exhaustive()
    }
}

/// What a scheduler is made of.
pub struct Parts {
    /// The store.
    pub db: Db,
    /// What the operator says.
    pub config: Config,
    /// What carries ready tasks.
    pub transport: Arc<dyn Transport>,
    /// Who runs them; the first that takes a task gets it.
    pub runners: Vec<Arc<dyn Runner>>,
    /// Archives of code.
    pub archives: Archives,
    /// What attempts wrote.
    pub logs: Arc<dyn Logs>,
    /// What is counted.
    pub metrics: Metrics,
    /// The name of this machine, the same after each start.
    pub node: Arc<str>,
}

impl Scheduler {
    /// A scheduler whose engine does not run yet. `table` is the storage of ordinary kinds.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn start(parts: Parts, table: &dyn Storage) -> Result<Self> {
        let Parts { db, config, transport, runners, archives, logs, metrics, node } = parts;
        let resource: Arc<str> = "namespaces".into();
        let namespaces = Mirror::start(&db, table, &resource, share, |_| ()).await?;
        let (events, heard) = mpsc::unbounded_channel();
        let identity = format!("{node}/{}", uuid::Uuid::new_v4());
        let heard = std::sync::Mutex::new(Some(heard));
        Ok(Self { db, config, transport, runners, archives, logs, metrics, node, identity, namespaces, events, heard })
    }

    /// Shows this machine, before anything is asked of the server.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn announce(&self) -> Result<()> {
        crate::nodes::beat(self).await
    }

    /// Runs the engine until `stopping`; what runs on this machine goes on without it.
    pub async fn run(self: Arc<Self>, stopping: CancellationToken) {
        let Some(mut events) = self.heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() else {
            tracing::error!("the scheduler's engine was started twice");
            return;
        };
        while !stopping.is_cancelled() {
            let round = Engine::go(Arc::clone(&self), &mut events);
            let Some(Err(error)) = stopping.run_until_cancelled(round).await else { continue };
            tracing::warn!(%error, "the scheduler begins anew from what is stored");
            // What was told meanwhile is read from the rows.
            while events.try_recv().is_ok() {}
            stopping.run_until_cancelled(tokio::time::sleep(RETRY)).await;
        }
        if self.db.dialect().is_shared()
            && let Err(error) = Lead::resign(&self.db, lead::LEASE, &self.identity).await
        {
            tracing::debug!(%error, "another server waits until this one's lease has ended");
        }
    }

    /// The name of this machine, the same after each start.
    pub fn node(&self) -> &Arc<str> {
        &self.node
    }

    /// Milliseconds since the epoch, by the store's clock.
    pub fn now(&self) -> Timestamp {
        self.db.clock().now()
    }

    /// The place of the runner that takes a task.
    pub(crate) fn runner(&self, task: &Task) -> Option<usize> {
        self.runners.iter().position(|runner| runner.takes(&task.spec.work))
    }

    /// Tells the engine of something that is durable.
    pub(crate) fn tell(&self, event: Event) {
        // Without an engine nobody need know: it reads the rows when it starts.
        let _ = self.events.send(event);
    }

    /// Namespaces, and what part of the whole they get beside the others.
    pub(crate) fn shares(&self) -> Vec<(Arc<str>, u32)> {
        self.namespaces.in_namespace("").into_iter().map(|(name, share)| (name, *share)).collect()
    }

    pub(crate) fn require_namespace(&self, name: &str) -> Result<()> {
        let missing = || Error::NotFound(Subject::new("", "namespaces", name));
        self.namespaces.get("", name).map(drop).ok_or_else(missing)
    }
}

/// The annotation of a namespace that says what part of the whole its tasks get: a whole number, 1 if left out.
pub const SHARE: &str = "mcplane.io/share";
/// The largest part.
const LARGEST_SHARE: u32 = 1_000;

/// The share of a namespace; `None` for one that is going.
fn share(namespace: &str) -> Option<u32> {
    let namespace: serde_json::Value = serde_json::from_str(namespace).ok()?;
    let metadata = namespace.get("metadata")?;
    if metadata.get("deletionTimestamp").is_some() {
        return None;
    }
    let told = metadata.get("annotations").and_then(|all| all.get(SHARE)?.as_str()?.parse().ok());
    Some(told.unwrap_or(1).clamp(1, LARGEST_SHARE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_that_are_told() {
        let told =
            |share: &str| format!("{{\"metadata\": {{\"annotations\": {{\"mcplane.io/share\": \"{share}\"}}}}}}");
        let shares = ["5", "0", "many", "100000"].map(|text| share(&told(text)));
        assert_eq!(shares, [Some(5), Some(1), Some(1), Some(1_000)]);
        assert_eq!(share("{\"metadata\": {}}"), Some(1));
        assert_eq!(share("{\"metadata\": {\"deletionTimestamp\": \"2026-01-01T00:00:00Z\"}}"), None);
    }
}
