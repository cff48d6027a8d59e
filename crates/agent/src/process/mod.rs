//! The `process` executor: each attempt is a process of this machine under a shim.

mod folders;
mod ledger;
mod spawn;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use mcplane_core::{Clock, SystemClock};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::executor::{Adopted, Executor, ExecutorError};
use crate::folder::{Folder, Record, Stop, make_folder};
use crate::logs::{self, LogOptions, LogStream};
use crate::protocol::{Assignment, Report};
use crate::{cgroup, procfs};
pub use folders::Swept;
use ledger::{Admission, Ledger};
use watch::Watched;

/// Runs attempts as processes of this machine. Dropping it ends nothing: the next one made on the same folder goes on.
#[derive(Debug)]
pub struct ProcessExecutor {
    inner: Arc<Inner>,
    _watching: DropGuard,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    shim: PathBuf,
    cgroups: Option<PathBuf>,
    boot: String,
    reports: mpsc::Sender<Report>,
    ledger: Mutex<Ledger>,
    /// Cancelled when the executor is dropped.
    over: CancellationToken,
}

impl Inner {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folder(&self, attempt: Uuid) -> Folder {
        Folder::of(&self.root, attempt)
    }
}

impl ProcessExecutor {
    /// An executor that keeps attempts in `root` (made if it is missing) and starts `shim`, a program that dispatches
    /// [`crate::shim::NAME`] to [`crate::shim::main`]. Reports go to `reports`; one that can't be sent now is waited for.
    pub fn new(
        root: impl AsRef<Path>,
        shim: impl Into<PathBuf>,
        reports: mpsc::Sender<Report>,
    ) -> Result<Self, ExecutorError> {
        let root = root.as_ref();
        let failed = || format!("folder of attempts {}", root.display());
        make_folder(root).map_err(ExecutorError::machine(failed()))?;
        let root = root.canonicalize().map_err(ExecutorError::machine(failed()))?;
        if root.to_str().is_none() {
            return Err(ExecutorError::Invalid(format!("the path {} is not UTF-8", root.display())));
        }
        let over = CancellationToken::new();
        let inner = Inner {
            root,
            shim: shim.into(),
            cgroups: cgroup::find(),
            boot: procfs::boot_id().map_err(ExecutorError::machine("boot id"))?,
            reports,
            ledger: Mutex::default(),
            over: over.clone(),
        };
        Ok(Self { inner: Arc::new(inner), _watching: over.drop_guard() })
    }

    /// The limits that can't be enforced here.
    pub fn unenforced(&self) -> &'static [&'static str] {
        if self.inner.cgroups.is_some() { &[] } else { &["cpu", "memory", "processes"] }
    }

    /// What an attempt said; see [`LogOptions`].
    pub fn logs(&self, attempt: Uuid, options: LogOptions) -> Result<LogStream, ExecutorError> {
        let folder = self.inner.folder(attempt);
        if !folder.path().is_dir() {
            return Err(ExecutorError::Unknown(attempt));
        }
        Ok(logs::read(folder.path(), options))
    }

    /// Removes attempts that ended and whose end was reported: those that ended longer ago than `older_than`, then the
    /// oldest, until all together take no more than `most_bytes`.
    pub async fn sweep(&self, older_than: Duration, most_bytes: u64) -> Result<Swept, ExecutorError> {
        let inner = self.inner.clone();
        blocking("sweep", move || Ok(folders::sweep(&inner, older_than, most_bytes, SystemClock.now()))).await
    }
}

impl Executor for ProcessExecutor {
    fn start(&self, assignment: Assignment) -> BoxFuture<'_, Result<(), ExecutorError>> {
        async move {
            validate(&assignment)?;
            let (attempt, task, fence) = (assignment.attempt, assignment.task, assignment.fence);
            match self.inner.ledger().admit(attempt, task, fence) {
                Admission::Known => return Ok(()),
                Admission::Fenced(highest) => return Err(ExecutorError::Fenced { task, fence, highest }),
                Admission::New => {}
            }
            let inner = self.inner.clone();
            // Not ended with this future: an attempt that is admitted is also watched.
            let starting = tokio::task::spawn_blocking(move || {
                let started = spawn::start(&inner, &assignment);
                if started.is_err() {
                    inner.ledger().forget(attempt);
                }
                started.map(|watched| watch::begin(&inner, watched))
            });
            starting.await.map_err(|error| broken("start", error))?
        }
        .boxed()
    }

    fn stop(&self, attempt: Uuid, grace: Option<Duration>) -> BoxFuture<'_, Result<(), ExecutorError>> {
        async move {
            if !self.inner.ledger().knows(attempt) {
                return Err(ExecutorError::Unknown(attempt));
            }
            let inner = self.inner.clone();
            blocking("stop", move || {
                if let Some(grace) = grace
                    && let Err(error) = inner.folder(attempt).write_stop(&Stop { grace })
                {
                    // A full disk must not keep an attempt alive; it has its own grace then.
                    tracing::warn!(%attempt, %error, "the grace of a stop could not be noted");
                }
                let process = inner.ledger().stop(attempt);
                process.map_or(Ok(()), |process| watch::terminate(&process))
            })
            .await
        }
        .boxed()
    }

    fn adopt(&self) -> BoxFuture<'_, Result<Vec<Adopted>, ExecutorError>> {
        async move {
            let inner = self.inner.clone();
            blocking("adopt", move || folders::adopt(&inner)).await
        }
        .boxed()
    }

    fn forget(&self, attempt: Uuid) -> BoxFuture<'_, Result<(), ExecutorError>> {
        async move {
            let known = self.inner.ledger().ended(attempt);
            match known {
                None => return Err(ExecutorError::Unknown(attempt)),
                Some(false) => return Err(ExecutorError::Running(attempt)),
                Some(true) => {}
            }
            let inner = self.inner.clone();
            blocking("forget", move || {
                inner.folder(attempt).remove().map_err(ExecutorError::machine("folder of an attempt"))?;
                inner.ledger().forget(attempt);
                Ok(())
            })
            .await
        }
        .boxed()
    }
}

/// What can be known to be wrong before anything is made.
fn validate(assignment: &Assignment) -> Result<(), ExecutorError> {
    let refuse = |why: &str| Err(ExecutorError::Invalid(why.to_owned()));
    if assignment.command.first().is_none_or(String::is_empty) {
        return refuse("the command is empty");
    }
    if assignment.command.iter().any(|argument| argument.contains('\0')) {
        return refuse("an argument holds a zero byte");
    }
    for (name, value) in &assignment.env {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(ExecutorError::Invalid(format!("{name:?} is no name of an environment variable")));
        }
        if value.contains('\0') {
            return Err(ExecutorError::Invalid(format!("environment variable {name} holds a zero byte")));
        }
    }
    if assignment.log.segment_bytes == 0 || assignment.log.total_bytes < assignment.log.segment_bytes {
        return refuse("the log's segments are larger than the log");
    }
    Ok(())
}

fn record(assignment: &Assignment, boot: &str) -> Record {
    Record {
        attempt: assignment.attempt,
        task: assignment.task,
        fence: assignment.fence,
        name: assignment.name.clone(),
        namespace: assignment.namespace.clone(),
        created_at: SystemClock.now(),
        boot: boot.to_owned(),
    }
}

async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, ExecutorError> + Send + 'static,
) -> Result<T, ExecutorError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| broken(what, error))?
}

fn broken(what: &str, error: tokio::task::JoinError) -> ExecutorError {
    ExecutorError::machine(what)(std::io::Error::other(error))
}
