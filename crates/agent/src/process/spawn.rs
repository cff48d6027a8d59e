//! Makes an attempt's folder and its shim. Blocks.

use std::io::Write;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{Inner, Watched, record};
use crate::executor::ExecutorError;
use crate::folder::Folder;
use crate::protocol::Assignment;
use crate::shim;

/// The shim of an attempt of this executor.
#[derive(Debug)]
pub(super) struct Shim {
    pub(super) child: Child,
    /// Where it says that the command has started.
    pub(super) socket: UnixStream,
}

/// Starts the shim of a new attempt. A folder that is there belongs to an attempt that an earlier process started.
pub(super) fn start(inner: &Arc<Inner>, assignment: &Assignment) -> Result<Watched, ExecutorError> {
    let created = Folder::create(&inner.root, &record(assignment, &inner.boot));
    let Some(folder) = created.map_err(ExecutorError::machine("folder of the attempt"))? else {
        return Err(ExecutorError::Invalid(format!("attempt {} was left by an earlier process", assignment.attempt)));
    };
    spawn(inner, assignment, &folder).inspect_err(|_| {
        let _ = folder.remove();
    })
}

fn spawn(inner: &Inner, assignment: &Assignment, folder: &Folder) -> Result<Watched, ExecutorError> {
    let failed = || ExecutorError::machine(format!("shim {}", inner.shim.display()));
    let text = serde_json::to_vec(assignment).map_err(std::io::Error::from).map_err(failed())?;
    let (ours, theirs) = UnixStream::pair().map_err(failed())?;
    let words = std::fs::File::create(folder.words()).map_err(failed())?;
    let mut command = Command::new(&inner.shim);
    command.args([shim::NAME, shim::RUN]).arg(folder.path()).args(&inner.cgroups).current_dir(folder.path());
    // The server's environment is its own affair.
    command.env_clear().stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(words);
    let mut child = deaf_to_stop(|| command.spawn()).map_err(failed())?;
    drop(command);
    let process = Pid::from_raw(child.id().cast_signed())
        .ok_or_else(|| std::io::Error::other("no process id"))
        .and_then(|pid| Ok(pidfd_open(pid, PidfdFlags::NONBLOCK)?));
    let told = process.and_then(|process| {
        (&ours).write_all(&text)?;
        ours.shutdown(Shutdown::Write)?;
        ours.set_nonblocking(true)?;
        Ok(process)
    });
    match told {
        Ok(process) => Ok(Watched {
            attempt: assignment.attempt,
            fence: assignment.fence,
            process: Arc::new(process),
            shim: Some(Shim { child, socket: ours }),
        }),
        Err(error) => {
            // Without a whole assignment it starts nothing.
            let _ = child.kill();
            let _ = child.wait();
            // One that ended by itself has said why.
            let words = folder.last_words();
            Err(failed()(if words.is_empty() { error } else { std::io::Error::other(words) }))
        }
    }
}

/// A child inherits which signals are blocked: a SIGTERM that reaches a shim before it is ready waits for it.
fn deaf_to_stop<T>(spawn: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
    let stop: SigSet = std::iter::once(Signal::SIGTERM).collect();
    let before = stop.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let spawned = spawn();
    before.thread_set_mask()?;
    spawned
}
