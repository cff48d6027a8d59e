//! Watches shims, and tells what became of their attempts.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use mcplane_core::{Clock, SystemClock};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Interest};
use tokio::net::UnixStream;
use uuid::Uuid;

use super::Inner;
use super::spawn::Shim;
use crate::executor::ExecutorError;
use crate::folder::{Folder, Lost, Started};
use crate::procfs;
use crate::protocol::{Exit, Report};

/// Longest word of a shim.
const LONGEST: u64 = 4096;
/// Rounds of looking for what a lost shim left, and between them.
const ROUNDS: usize = 250;
const ROUND: Duration = Duration::from_millis(20);
/// Between two looks at a process that can't be awaited.
const ASKING: Duration = Duration::from_secs(1);

/// A shim that is watched.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) attempt: Uuid,
    pub(super) fence: i64,
    pub(super) process: Arc<OwnedFd>,
    /// Of this executor's own ones.
    pub(super) shim: Option<Shim>,
}

/// Watches until the shim ends or the executor is dropped. Needs the runtime of the caller.
pub(super) fn begin(inner: &Arc<Inner>, watched: Watched) {
    let stop = inner.ledger().run(watched.attempt, watched.process.clone());
    if stop && let Err(error) = terminate(&watched.process) {
        tracing::warn!(attempt = %watched.attempt, %error, "an attempt could not be told to stop");
    }
    let inner = inner.clone();
    tokio::spawn(async move {
        let over = inner.over.clone();
        over.run_until_cancelled(watch(inner, watched)).await;
    });
}

/// Tells a shim to stop what it holds; one that is gone already has.
pub(super) fn terminate(process: &OwnedFd) -> Result<(), ExecutorError> {
    match pidfd_send_signal(process, Signal::TERM) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(ExecutorError::machine("SIGTERM to the shim")(error.into())),
    }
}

async fn watch(inner: Arc<Inner>, watched: Watched) {
    let Watched { attempt, fence, process, shim } = watched;
    let child = match shim {
        Some(Shim { child, socket }) => {
            if let Some(Started { pid, at, unenforced }) = started(socket).await {
                send(&inner, Report::Started { attempt, fence, pid, at, unenforced }).await;
            }
            Some(child)
        }
        None => None,
    };
    await_end(&process).await;
    let folder = inner.folder(attempt);
    let end = tokio::task::spawn_blocking(move || {
        // Until it is reaped, its session's number can't be anybody else's.
        let end = conclude(&folder, folder.holder().ok().flatten().map(|holder| holder.pid));
        reap(child, &process);
        end
    });
    let report = match end.await {
        Ok(End::Exited(exit)) => Report::Exited { attempt, fence, exit },
        Ok(End::Lost(why)) => Report::Lost { attempt, fence, why },
        Err(error) => Report::Lost { attempt, fence, why: error.to_string() },
    };
    inner.ledger().end(attempt, false);
    if send(&inner, report).await {
        inner.ledger().end(attempt, true);
    }
    let folder = inner.folder(attempt);
    let removed = tokio::task::spawn_blocking(move || folder.remove_work()).await;
    if let Ok(Err(error)) = removed {
        tracing::warn!(%attempt, %error, "the work folder of an attempt could not be removed");
    }
}

async fn send(inner: &Inner, report: Report) -> bool {
    inner.reports.send(report).await.is_ok()
}

/// The shim's word that the command runs; none if it ended before.
async fn started(socket: std::os::unix::net::UnixStream) -> Option<Started> {
    let socket = UnixStream::from_std(socket).ok()?;
    let mut line = String::new();
    BufReader::with_capacity(256, socket.take(LONGEST)).read_line(&mut line).await.ok()?;
    serde_json::from_str(&line).ok()
}

async fn await_end(process: &Arc<OwnedFd>) {
    // A copy, whose number nobody else knows and that is open as long as it is registered.
    #[expect(deprecated, reason = "its successor is unsafe for types that may change their number; this one can't")]
    let registered = process.try_clone().and_then(|copy| AsyncFd::with_interest(copy, Interest::READABLE));
    match registered {
        Ok(registered) => drop(registered.readable().await),
        Err(error) => {
            tracing::warn!(%error, "a process is watched by asking");
            while !gone(process) {
                tokio::time::sleep(ASKING).await;
            }
        }
    }
}

fn gone(process: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(process, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// Collects a shim that is a child of this process: its own, or one that an earlier image of this process started.
fn reap(child: Option<Child>, process: &OwnedFd) {
    match child {
        Some(mut child) => drop(child.wait()),
        None => {
            let _ = waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        }
    }
}

/// How an attempt without a shim has ended.
#[derive(Debug)]
pub(super) enum End {
    Exited(Exit),
    Lost(String),
}

/// Reads how an attempt has ended. If nobody wrote it down, ends whatever is left of it, and of the `session` where that
/// is known to be its own still, and writes that down.
pub(super) fn conclude(folder: &Folder, session: Option<i32>) -> End {
    match (folder.exit(), folder.lost()) {
        (Ok(Some(exit)), _) => End::Exited(exit),
        (_, Ok(Some(lost))) => End::Lost(lost.why),
        (Err(error), _) => lose(folder, session, format!("the exit record can't be read: {error}")),
        (Ok(None), _) => {
            let words = folder.last_words();
            let why = if words.is_empty() { "it was killed".into() } else { words };
            lose(folder, session, format!("the shim ended without an exit record: {why}"))
        }
    }
}

/// Ends what is left of an attempt of this boot, and notes that it is lost.
pub(super) fn lose(folder: &Folder, session: Option<i32>, why: String) -> End {
    let mark = folder.mark();
    // A process may fork while it is looked for.
    let mut rounds = 0;
    while procfs::kill_marked(session, mark.as_bytes()) > 0 && rounds < ROUNDS {
        std::thread::sleep(ROUND);
        rounds += 1;
    }
    note_lost(folder, why)
}

/// Notes that an attempt is lost; of another boot, when nothing can be left.
pub(super) fn note_lost(folder: &Folder, why: String) -> End {
    let lost = Lost { why, at: SystemClock.now() };
    if let Err(error) = folder.write_lost(&lost) {
        tracing::warn!(folder = %folder.path().display(), %error, "that an attempt is lost could not be noted");
    }
    End::Lost(lost.why)
}
