//! What a task is.

use std::sync::Arc;

pub use mcplane_agent::protocol::Fresh;
use mcplane_apimachinery::names::NameRule;
use mcplane_core::{Error, Result, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a task is in its life. Numbers are those of the column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(i64)]
pub enum State {
    /// Its time has not come: it was delayed, or waits to be tried again.
    Waiting = 0,
    /// It may be chosen to run.
    Ready = 1,
    /// Its newest attempt runs.
    Running = 2,
    /// Done.
    Succeeded = 3,
    /// Given up after its last attempt: a dead letter, which can be replayed.
    Failed = 4,
    /// Ended by somebody's will.
    Cancelled = 5,
}

impl State {
    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// `waiting`, `ready`, …
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Ready, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// From the column.
    ///
    /// # Errors
    /// [`Error::Internal`] for a number that is no state.
    pub fn from_code(code: i64) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|state| *state as i64 == code)
            .ok_or_else(|| Error::internal(format!("a task with unknown state {code}")))
    }
}

/// Milliseconds of waiting that weigh as much as one step of priority.
pub const AGEING_STEP_MS: i64 = 60_000;

/// The place of a ready task among those of its namespace and queue; the lowest goes first. All age alike, so the order of
/// two tasks never changes and can be an index. A task waits at most for those that are ready no later than
/// `9 * AGEING_STEP_MS` after it.
pub fn rank(ready_at: Timestamp, priority: i64) -> i64 {
    ready_at.saturating_sub(priority.saturating_mul(AGEING_STEP_MS))
}

/// What an attempt takes of a machine while it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Demand {
    /// Thousandths of a processor.
    pub cpu_milli: i64,
    /// Bytes.
    pub memory: i64,
    /// Whole devices.
    pub gpu: i64,
}

/// At most so many tasks with one key run at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Concurrency {
    /// The key, in the task's namespace.
    pub key: Arc<str>,
    /// The most that run at a time; the newest task with the key says.
    pub limit: i64,
}

/// How often a task is attempted, and how long it waits in between: `initial` times `factor` for each attempt after the
/// first, at most `max`; then up to half of it is taken off at random.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Retries {
    /// Attempts in all; at least 1.
    pub most_attempts: i64,
    /// Milliseconds before the second attempt.
    pub initial_ms: i64,
    /// What each further delay is multiplied by.
    pub factor: f64,
    /// The longest delay, in milliseconds.
    pub max_ms: i64,
}

impl Default for Retries {
    fn default() -> Self {
        Self { most_attempts: 1, initial_ms: 10_000, factor: 2.0, max_ms: 600_000 }
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Work {
    /// A `PodTemplateSpec` of Kubernetes: each attempt is shown as a pod.
    Pod(Value),
    /// What an executor that is registered under this name understands; not shown.
    Custom {
        /// The executor's name.
        executor: Arc<str>,
        /// What it is told.
        payload: Value,
    },
}

/// The part of a task that is read only when it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// What is to be done.
    pub work: Work,
    /// SHA-256 of the archive that the working directory is made of, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The folder that the attempts share and each of them finds empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<Fresh>,
    /// Milliseconds that an attempt may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<i64>,
    /// Milliseconds between the wish to end an attempt and its being killed.
    pub grace_ms: i64,
    /// When it is tried again.
    #[serde(default)]
    pub retries: Retries,
}

/// A task that is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// What people call it; need not be unique.
    pub name: String,
    /// Queue, in the namespace.
    pub queue: Arc<str>,
    /// 0 to 9; higher goes first.
    pub priority: i64,
    /// Not before this time.
    pub due_at: Option<Timestamp>,
    /// What an attempt takes.
    pub demand: Demand,
    /// How many of its like may run at a time.
    pub concurrency: Option<Concurrency>,
    /// No other task of the namespace with this key may be unfinished: submitting gives that one instead.
    pub unique_key: Option<String>,
    /// Submitting twice with this key, in the namespace, gives the first task, finished or not.
    pub idempotency_key: Option<String>,
    /// Who made it and will look after it, such as `jobs.batch/UID`.
    pub owner: Option<Arc<str>>,
    /// What is to be done.
    pub spec: Spec,
}

/// How an attempt ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it did what it should.
    pub succeeded: bool,
    /// Whether trying again can't help.
    pub permanent: bool,
    /// Exit code of the process, if it ended by itself; 128 and the signal's number otherwise.
    pub exit_code: Option<i64>,
    /// One word in the terms of Kubernetes: `Completed`, `Error`, `DeadlineExceeded`.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Outcome {
    /// It did what it should.
    pub fn success() -> Self {
        Self { succeeded: true, exit_code: Some(0), reason: "Completed".to_owned(), ..Self::default() }
    }

    /// Nobody knows how it ended; nothing of it runs any more.
    pub fn lost(why: impl Into<String>) -> Self {
        Self { reason: "Lost".to_owned(), message: why.into(), ..Self::default() }
    }

    /// It can't be done, however often it is tried.
    pub fn impossible(reason: &str, why: impl Into<String>) -> Self {
        Self { permanent: true, reason: reason.to_owned(), message: why.into(), ..Self::default() }
    }

    /// Whether there is nothing more to tell than that it succeeded.
    pub(crate) fn is_plain(&self) -> bool {
        self.succeeded && self.message.is_empty()
    }
}

impl NewTask {
    /// Refuses what can't be a task.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |why: String| Err(Error::bad_request(why));
        if self.name.is_empty() || self.name.len() > 253 {
            return refuse("name: a task needs a name of 1 to 253 characters".to_owned());
        }
        if NameRule::Dns1123Label.check(&self.queue).is_err() {
            return refuse(format!(
                "queue: {:?} must be lower-case letters, digits and '-', at most 63 of them",
                self.queue
            ));
        }
        if !(0..=9).contains(&self.priority) {
            return refuse(format!("priority: {} is not between 0 and 9", self.priority));
        }
        let Demand { cpu_milli, memory, gpu } = self.demand;
        if cpu_milli < 0 || memory < 0 || gpu < 0 {
            return refuse("resources: must not be negative".to_owned());
        }
        for (field, key) in [("uniqueKey", &self.unique_key), ("idempotencyKey", &self.idempotency_key)] {
            if key.as_ref().is_some_and(|key| key.is_empty() || key.len() > 512) {
                return refuse(format!("{field}: must be 1 to 512 characters"));
            }
        }
        if self.concurrency.as_ref().is_some_and(|c| c.limit < 1 || c.key.is_empty() || c.key.len() > 512) {
            return refuse("concurrency: needs a key of 1 to 512 characters and a limit of at least 1".to_owned());
        }
        self.spec.check()
    }
}

/// The longest text of a task's spec.
const MOST_SPEC: usize = 256 << 10;
/// Attempts that a task may have.
const MOST_ATTEMPTS: i64 = 1_000;

impl Spec {
    fn check(&self) -> Result<()> {
        let Retries { most_attempts, initial_ms, factor, max_ms } = self.retries;
        if !(1..=MOST_ATTEMPTS).contains(&most_attempts) {
            return Err(Error::bad_request(format!("retries: maxAttempts must be between 1 and {MOST_ATTEMPTS}")));
        }
        if initial_ms < 0 || max_ms < initial_ms || !(1.0..=100.0).contains(&factor) {
            return Err(Error::bad_request(
                "retries: delays must not be negative nor fall, and the factor be 1 to 100",
            ));
        }
        if self.timeout_ms.is_some_and(|timeout| timeout < 1) || self.grace_ms < 0 {
            return Err(Error::bad_request("timeout: must be positive, and the grace not negative"));
        }
        let digest =
            |text: &String| text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !self.code.as_ref().is_none_or(digest) {
            return Err(Error::bad_request("code: must be a SHA-256 in lower-case hex"));
        }
        if serde_json::to_string(self).map_err(Error::internal)?.len() > MOST_SPEC {
            return Err(Error::bad_request(format!("a task may be at most {MOST_SPEC} bytes")));
        }
        Ok(())
    }
}

/// A task as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Order of submission, and its key within the database.
    pub no: i64,
    /// Its name for the world: a UUID.
    pub id: String,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Queue.
    pub queue: Arc<str>,
    /// What people call it.
    pub name: String,
    /// Where it is in its life.
    pub state: State,
    /// When it becomes, or became, ready.
    pub due_at: Timestamp,
    /// 0 to 9.
    pub priority: i64,
    /// Number of the newest attempt; 0 before the first.
    pub attempt: i64,
    /// Attempts that are left after that.
    pub attempts_left: i64,
    /// What an attempt takes.
    pub demand: Demand,
    /// How many of its like may run at a time.
    pub concurrency: Option<Concurrency>,
    /// Who looks after it.
    pub owner: Option<Arc<str>>,
    /// Who wants it to end, if somebody does.
    pub cancelled_by: Option<String>,
    /// Where it runs, or ran last.
    pub node: Option<Arc<str>>,
    /// The trace that it belongs to, from submission to exit.
    pub trace: String,
    /// Who submitted it.
    pub created_by: String,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When its newest attempt began.
    pub started_at: Option<Timestamp>,
    /// When it reached its final state.
    pub finished_at: Option<Timestamp>,
    /// Exit code of the newest attempt.
    pub exit_code: Option<i64>,
    /// Why it is where it is, in one word: `InsufficientCpu`, `BackOff`, `Error`.
    pub reason: String,
    /// The same for people.
    pub message: String,
    /// What the attempt said of how far it is.
    pub progress: Option<String>,
    /// The rest.
    pub spec: Spec,
}
