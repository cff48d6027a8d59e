//! Who runs attempts once they have begun.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use mcplane_core::Result;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::tasks::{AttemptOf, Outcome, Task, Work};

/// An attempt that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub of: AttemptOf,
    /// How.
    pub outcome: Outcome,
}

/// Where runners tell of attempts that ended.
#[derive(Debug, Clone)]
pub struct Reports(mpsc::UnboundedSender<Ended>);

impl Reports {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Ended>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Tells that an attempt ended; at most as many wait to be heard as attempts run.
    pub fn ended(&self, of: AttemptOf, outcome: Outcome) {
        // Nobody listens any more when the server stops; what ended is found again by adoption.
        let _ = self.0.send(Ended { of, outcome });
    }
}

/// What a runner found when it was asked for attempts that began before the server did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// It goes on; its end will be reported.
    Running,
    /// It never began: it can be started now.
    Never,
    /// Nobody knows of it.
    Lost,
}

/// Runs attempts of tasks.
pub trait Runner: Send + Sync + std::fmt::Debug {
    /// Whether tasks of this kind are for it.
    fn takes(&self, work: &Work) -> bool;

    /// Whether its attempts are shown as pods.
    fn shown(&self) -> bool {
        false
    }

    /// Starts an attempt that has begun in the rows; its end is told to `reports`, and so is why it could not start.
    fn start(&self, task: Task, reports: Reports);

    /// Ends an attempt, whose end is then reported.
    fn stop(&self, of: AttemptOf);

    /// Looks for attempts that earlier processes of this node began; the ends of those that are found will be reported.
    fn adopt<'a>(&'a self, tasks: &'a [Task], reports: Reports) -> BoxFuture<'a, Result<Vec<Started>>>;

    /// The row tells how the attempt ended: nothing need be kept to tell it again.
    fn forget(&self, of: AttemptOf);
}

/// A function of this process as a runner: tasks that are done in the server itself.
pub struct Function {
    name: Arc<str>,
    workers: Arc<Semaphore>,
    body: Arc<dyn Fn(Task) -> BoxFuture<'static, Outcome> + Send + Sync>,
    held: Arc<Mutex<HashMap<AttemptOf, Held>>>,
}

/// An attempt, until its row tells how it ended: whoever decides may be replaced before that, and ask again.
struct Held {
    stop: CancellationToken,
    reports: Reports,
    outcome: Option<Outcome>,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Function").field(&self.name).finish()
    }
}

impl Function {
    /// Does tasks whose executor is called `name`, so many at a time.
    pub fn new(
        name: &str,
        workers: usize,
        body: impl Fn(Task) -> BoxFuture<'static, Outcome> + Send + Sync + 'static,
    ) -> Self {
        let workers = Arc::new(Semaphore::new(workers));
        Self { name: name.into(), workers, body: Arc::new(body), held: Arc::default() }
    }
}

impl Function {
    fn held(&self) -> MutexGuard<'_, HashMap<AttemptOf, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failure(reason: &str, message: &str) -> Outcome {
    Outcome { reason: reason.to_owned(), message: message.to_owned(), ..Outcome::default() }
}

impl Runner for Function {
    fn takes(&self, work: &Work) -> bool {
        matches!(work, Work::Custom { executor, .. } if *executor == self.name)
    }

    fn start(&self, task: Task, reports: Reports) {
        let of = AttemptOf::from(&task);
        let (body, workers) = (Arc::clone(&self.body), Arc::clone(&self.workers));
        let timeout = task.spec.timeout_ms.map(|ms| Duration::from_millis(ms.unsigned_abs()));
        let work = async move {
            let _worker = workers.acquire_owned().await;
            let work = AssertUnwindSafe(body(task)).catch_unwind();
            let done = match timeout {
                Some(timeout) => tokio::time::timeout(timeout, work).await,
                None => Ok(work.await),
            };
            match done {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => failure("Error", "it panicked"),
                Err(_) => failure("DeadlineExceeded", "it ran longer than it may"),
            }
        };
        let stop = CancellationToken::new();
        self.held().insert(of, Held { stop: stop.clone(), reports, outcome: None });
        let held = Arc::clone(&self.held);
        tokio::spawn(async move {
            let outcome =
                stop.run_until_cancelled(work).await.unwrap_or_else(|| failure("Cancelled", "it was told to stop"));
            if let Some(held) = held.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&of) {
                held.outcome = Some(outcome.clone());
                held.reports.ended(of, outcome);
            }
        });
    }

    fn stop(&self, of: AttemptOf) {
        if let Some(held) = self.held().get(&of) {
            held.stop.cancel();
        }
    }

    fn adopt<'a>(&'a self, tasks: &'a [Task], reports: Reports) -> BoxFuture<'a, Result<Vec<Started>>> {
        let mut held = self.held();
        let adopt = |task: &Task| {
            let of = AttemptOf::from(task);
            // An earlier process took its functions along.
            let Some(held) = held.get_mut(&of) else { return Started::Lost };
            held.reports = reports.clone();
            if let Some(outcome) = held.outcome.clone() {
                held.reports.ended(of, outcome);
            }
            Started::Running
        };
        let started = tasks.iter().map(adopt).collect();
        Box::pin(std::future::ready(Ok(started)))
    }

    fn forget(&self, of: AttemptOf) {
        self.held().remove(&of);
    }
}
