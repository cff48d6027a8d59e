//! What runs attempts, whatever its means.

use std::time::Duration;

use futures::future::BoxFuture;
use uuid::Uuid;

use crate::protocol::{Assignment, Exit};

/// Why an executor did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// A later attempt of the same task was seen.
    #[error("task {task} is at attempt {highest}; attempt {fence} is out of date")]
    Fenced {
        /// The task.
        task: i64,
        /// The number that was refused.
        fence: i64,
        /// The highest number seen.
        highest: i64,
    },
    /// There is no such attempt here.
    #[error("attempt {0} is not known here")]
    Unknown(Uuid),
    /// The attempt has not ended.
    #[error("attempt {0} still runs")]
    Running(Uuid),
    /// The assignment can't be carried out anywhere, however often it is tried.
    #[error("{0}")]
    Invalid(String),
    /// The machine failed; another try, or another machine, may do better.
    #[error("{what}: {source}")]
    Machine {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl ExecutorError {
    /// [`ExecutorError::Machine`] from what the system said.
    pub fn machine(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Machine { what, source }
    }
}

/// An attempt that was found when the executor was taken over from an earlier process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The attempt.
    pub attempt: Uuid,
    /// Its task.
    pub task: i64,
    /// Its number.
    pub fence: i64,
    /// What it does.
    pub state: AdoptedState,
}

/// What an attempt was doing when it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdoptedState {
    /// It goes on, and its end will be reported. The process is not known while it is still being prepared.
    Running {
        /// Process id of the program.
        pid: Option<u32>,
    },
    /// It ended meanwhile.
    Exited(Exit),
    /// Nobody knows how it ended; nothing of it runs any more.
    Lost(String),
}

/// Runs attempts. Reports come over the channel that the executor was made with, at least once each.
pub trait Executor: Send + Sync + 'static {
    /// Starts an attempt; [`Report::Started`](crate::protocol::Report::Started) follows, or an exit that says why not.
    /// An attempt that is known already is left as it is.
    fn start(&self, assignment: Assignment) -> BoxFuture<'_, Result<(), ExecutorError>>;

    /// Tells an attempt to end: SIGTERM, then SIGKILL after `grace` or the assignment's own. Returns at once; the exit
    /// is reported. An attempt that has ended is left as it is.
    fn stop(&self, attempt: Uuid, grace: Option<Duration>) -> BoxFuture<'_, Result<(), ExecutorError>>;

    /// Finds what an earlier process left, once, before anything is started. Of an attempt whose command can't have begun
    /// nothing is left: it may be started as if it never had been.
    fn adopt(&self) -> BoxFuture<'_, Result<Vec<Adopted>, ExecutorError>>;

    /// Removes all that is kept of an ended attempt: its exit record, its logs, its work folder.
    fn forget(&self, attempt: Uuid) -> BoxFuture<'_, Result<(), ExecutorError>>;
}
