//! Attempts as processes of this machine: a pod's template becomes an assignment of the agent's, and what the agent reports
//! becomes the outcome.

mod assignment;
mod environment;
mod images;
mod resolve;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use mcplane_agent::executor::{AdoptedState, Executor, ExecutorError};
use mcplane_agent::protocol::{Exit, ExitReason, Report};
use mcplane_core::{Error, Result};
use mcplane_db::Db;
use mcplane_objects::events::{self, Involved, Weight};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

pub use environment::{Credentials, Surroundings};
pub use images::{Image, Images};
#[cfg(test)]
pub(crate) use resolve::expand;

use assignment::Obstacle;

use crate::code::Archives;
use crate::dispatch::{Reports, Runner, Started};
use crate::pods;
use crate::tasks::{AttemptOf, Outcome, Task, Work};

/// Who tells of attempts.
const COMPONENT: &str = "agent";
/// How long an attempt waits for what is away before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long it waits in between: the first time, each further time twice as long, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The reason of attempts whose image stands for nothing here, in the word of Kubernetes.
pub(crate) const NO_IMAGE: &str = "ErrImageNeverPull";

/// What a process runner is made of.
pub struct Parts {
    /// Where attempts are looked up.
    pub db: Db,
    /// What holds the processes.
    pub executor: Arc<dyn Executor>,
    /// What it reports.
    pub reports: mpsc::Receiver<Report>,
    /// A client that may read secrets and config maps.
    pub client: kube::Client,
    /// What images stand for here.
    pub images: Images,
    /// What each attempt is told of the server.
    pub surroundings: Surroundings,
    /// Archives of code.
    pub archives: Archives,
}

/// Runs attempts as processes.
pub struct Processes {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    executor: Arc<dyn Executor>,
    client: kube::Client,
    images: Images,
    surroundings: Surroundings,
    archives: Archives,
    known: Mutex<HashMap<Uuid, Held>>,
}

/// An attempt, until its row tells how it ended: whoever decides may be replaced before that, and ask again.
struct Held {
    of: AttemptOf,
    reports: Reports,
    outcome: Option<Outcome>,
}

impl std::fmt::Debug for Processes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Processes").finish_non_exhaustive()
    }
}

/// The name of an attempt for the agent: the same whoever asks, and never that of another.
pub fn attempt_id(task: &str, attempt: i64) -> Uuid {
    let digest = Sha256::digest(format!("{task}/{attempt}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

impl Processes {
    /// A runner on an executor.
    pub fn new(parts: Parts) -> Self {
        let Parts { db, executor, mut reports, client, images, surroundings, archives } = parts;
        let inner = Arc::new(Inner { db, executor, client, images, surroundings, archives, known: Mutex::default() });
        let hearer = Arc::clone(&inner);
        tokio::spawn(async move {
            while let Some(report) = reports.recv().await {
                hearer.hear(report);
            }
        });
        Self { inner }
    }
}

impl Inner {
    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Held>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, report: Report) {
        let outcome = match &report {
            Report::Started { attempt, unenforced, .. } => {
                if !unenforced.is_empty() {
                    tracing::debug!(%attempt, limits = ?unenforced, "this machine does not enforce these limits");
                }
                return;
            }
            Report::Exited { exit, .. } => outcome(exit),
            Report::Lost { why, .. } => Outcome::lost(why),
        };
        self.end(report.attempt(), outcome);
    }

    fn end(&self, attempt: Uuid, outcome: Outcome) {
        if let Some(held) = self.known().get_mut(&attempt)
            && held.outcome.is_none()
        {
            held.outcome = Some(outcome.clone());
            held.reports.ended(held.of, outcome);
        }
    }

    fn is_over(&self, attempt: Uuid) -> bool {
        self.known().get(&attempt).is_none_or(|held| held.outcome.is_some())
    }

    fn id_of(&self, of: AttemptOf) -> Option<Uuid> {
        self.known().iter().find(|(_, held)| held.of == of).map(|(attempt, _)| *attempt)
    }

    /// Tells whoever looks at the pod.
    async fn warn(&self, task: &Task, reason: &str, message: &str) {
        let Ok(Some((name, uid))) = pods::identity(&self.db, task.no, task.attempt).await else { return };
        let namespace = task.namespace.to_string();
        let pod = Involved { api_version: "v1".to_owned(), kind: "Pod", namespace, name, uid };
        let now = self.db.clock().now();
        events::tell(&self.client, COMPONENT, &pod, (Weight::Warning, reason, message), now).await;
    }

    async fn launch(&self, task: Task) {
        let attempt = attempt_id(&task.id, task.attempt);
        let (give_up_at, mut pause) = (Instant::now() + PATIENCE, FIRST_PAUSE);
        let assignment = loop {
            let outcome = match self.assignment(attempt, &task).await {
                Ok(assignment) => break assignment,
                // An outage of the store is no fault of the task, and costs it no attempt unless it goes on.
                Err(_) if self.is_over(attempt) => return,
                Err(Obstacle::Away(why)) if Instant::now() < give_up_at => {
                    tracing::debug!(%attempt, why, "what an attempt needs is away");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    continue;
                }
                Err(Obstacle::Away(why)) => failure("StartError", why),
                Err(Obstacle::Impossible(outcome)) => outcome,
            };
            self.warn(&task, &outcome.reason, &outcome.message).await;
            return self.end(attempt, outcome);
        };
        if self.is_over(attempt) {
            return;
        }
        match self.executor.start(assignment).await {
            // It was given up while it was being started.
            Ok(()) if self.is_over(attempt) => drop(self.executor.stop(attempt, None).await),
            Ok(()) => {}
            Err(error @ (ExecutorError::Invalid(_) | ExecutorError::Fenced { .. })) => {
                self.end(attempt, Outcome::impossible("StartError", error.to_string()));
            }
            Err(error) => self.end(attempt, failure("StartError", error.to_string())),
        }
    }
}

/// A failure after which the task may be tried again.
fn failure(reason: &str, message: String) -> Outcome {
    Outcome { reason: reason.to_owned(), message, ..Outcome::default() }
}

/// How an exit is told in the terms of Kubernetes.
fn outcome(exit: &Exit) -> Outcome {
    let (succeeded, reason, message) = match &exit.reason {
        ExitReason::Completed => (true, "Completed", String::new()),
        ExitReason::Error => (false, "Error", ended_by(exit)),
        ExitReason::DeadlineExceeded => (false, "DeadlineExceeded", "it ran longer than it may".to_owned()),
        ExitReason::Cancelled => (false, "Cancelled", "it was told to stop".to_owned()),
        ExitReason::OomKilled => (false, "OOMKilled", "it used more memory than it may".to_owned()),
        ExitReason::StartError(why) => (false, "StartError", why.clone()),
    };
    let exit_code = exit.code.or_else(|| exit.signal.map(|signal| 128 + signal)).map(i64::from);
    Outcome { succeeded, permanent: false, exit_code, reason: reason.to_owned(), message }
}

fn ended_by(exit: &Exit) -> String {
    match (exit.code, exit.signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => String::new(),
    }
}

impl Runner for Processes {
    fn takes(&self, work: &Work) -> bool {
        matches!(work, Work::Pod(_))
    }

    fn shown(&self) -> bool {
        true
    }

    fn start(&self, task: Task, reports: Reports) {
        let attempt = attempt_id(&task.id, task.attempt);
        self.inner.known().insert(attempt, Held { of: AttemptOf::from(&task), reports, outcome: None });
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move { inner.launch(task).await });
    }

    fn stop(&self, of: AttemptOf) {
        let Some(attempt) = self.inner.id_of(of) else { return };
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            match inner.executor.stop(attempt, None).await {
                Ok(()) => {}
                // It has not been started yet, or never will be.
                Err(ExecutorError::Unknown(_)) => {
                    inner.end(attempt, Outcome { reason: "Cancelled".to_owned(), ..Outcome::default() });
                }
                Err(error) => tracing::warn!(%attempt, %error, "an attempt could not be told to stop"),
            }
        });
    }

    fn adopt<'a>(&'a self, tasks: &'a [Task], reports: Reports) -> BoxFuture<'a, Result<Vec<Started>>> {
        Box::pin(async move {
            let ids: Vec<Uuid> = tasks.iter().map(|task| attempt_id(&task.id, task.attempt)).collect();
            // What this process has started itself is known already, ended or not.
            let mut held = Vec::with_capacity(ids.len());
            for (task, id) in tasks.iter().zip(&ids) {
                let (of, reports) = (AttemptOf::from(task), reports.clone());
                let mut known = self.inner.known();
                held.push(known.contains_key(id));
                let held = known.entry(*id).or_insert(Held { of, reports: reports.clone(), outcome: None });
                held.reports = reports;
                if let Some(outcome) = held.outcome.clone() {
                    held.reports.ended(of, outcome);
                }
            }
            let found = self.inner.executor.adopt().await.map_err(|error| Error::internal(error.to_string()))?;
            let found: HashMap<Uuid, AdoptedState> =
                found.into_iter().map(|found| (found.attempt, found.state)).collect();
            let mut started = Vec::with_capacity(tasks.len());
            for (id, held) in ids.into_iter().zip(held) {
                started.push(match found.get(&id) {
                    _ if held => Started::Running,
                    Some(AdoptedState::Running { .. }) => Started::Running,
                    Some(AdoptedState::Exited(exit)) => {
                        self.inner.end(id, outcome(exit));
                        Started::Running
                    }
                    Some(AdoptedState::Lost(_)) => {
                        self.inner.known().remove(&id);
                        Started::Lost
                    }
                    // What has no folder has had no process: the server stopped between the row and the start.
                    None => {
                        self.inner.known().remove(&id);
                        Started::Never
                    }
                });
            }
            // What still runs and no row knows is of no use to anybody.
            for (id, state) in found {
                if matches!(state, AdoptedState::Running { .. }) && !self.inner.known().contains_key(&id) {
                    tracing::warn!(attempt = %id, "ending an attempt that is not any task's newest");
                    let _ = self.inner.executor.stop(id, None).await;
                }
            }
            Ok(started)
        })
    }

    fn forget(&self, of: AttemptOf) {
        // Its folder stays: it holds the log, which is kept for as long as the operator says.
        if let Some(attempt) = self.inner.id_of(of) {
            self.inner.known().remove(&attempt);
        }
    }
}

/// Where a process's own files are, below the data directory.
pub fn folder(data_dir: &std::path::Path) -> PathBuf {
    data_dir.join("attempts")
}
