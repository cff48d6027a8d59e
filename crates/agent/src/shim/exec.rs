//! The second stage: between fork and exec nothing safe can run, so what must be set in the child itself is set by this
//! program, which then becomes the command.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};

use nix::sys::signal::SigSet;
use rustix::process::{
    Resource, Rlimit, Signal, getpid, getppid, getrlimit, set_parent_process_death_signal, setrlimit,
};
use serde::{Deserialize, Serialize};

use super::{EXEC, NAME};

/// The file that this process runs, even when another one has its name by now.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// What the second stage is told, over its standard input.
#[derive(Serialize, Deserialize)]
pub(super) struct Stage {
    pub(super) command: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) dir: PathBuf,
    pub(super) open_files: Option<u64>,
    pub(super) core_bytes: u64,
    /// File of a control group that takes the process in.
    pub(super) cgroup: Option<PathBuf>,
    /// The shim, as long as that lives.
    pub(super) parent: i32,
}

/// Starts the second stage, and waits until it has become the command; an error is why it has not.
pub(super) fn spawn(stage: &Stage) -> Result<Child, String> {
    let (ours, theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
    let mut child = Command::new(OWN_PROGRAM)
        .args([NAME, EXEC])
        .env_clear()
        .process_group(0)
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("the second stage: {error}"))?;
    match hand_over(ours, stage) {
        Ok(answer) if answer.is_empty() => Ok(child),
        Ok(answer) => {
            let _ = child.wait();
            Err(answer)
        }
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(format!("the second stage ended early: {error}"))
        }
    }
}

/// The socket is closed by a successful exec, and by nothing before it without a word.
fn hand_over(mut socket: UnixStream, stage: &Stage) -> io::Result<String> {
    socket.write_all(&serde_json::to_vec(stage)?)?;
    socket.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The second stage.
pub(super) fn run() -> ExitCode {
    // A copy that exec closes; standard input itself is about to be replaced.
    let socket = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    let Ok(mut socket) = socket else { return ExitCode::FAILURE };
    let Err(why) = become_command(&mut socket);
    let _ = socket.write_all(why.as_bytes());
    ExitCode::FAILURE
}

fn become_command(socket: &mut UnixStream) -> Result<std::convert::Infallible, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut stage = Vec::new();
    socket.read_to_end(&mut stage).map_err(|error| text(&error))?;
    let stage: Stage = serde_json::from_slice(&stage).map_err(|error| text(&error))?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| text(&error))?;
    if getppid().map(rustix::process::Pid::as_raw_pid) != Some(stage.parent) {
        return Err("the shim is gone".into());
    }
    limit(Resource::Core, Some(stage.core_bytes));
    limit(Resource::Nofile, stage.open_files);
    if let Some(group) = &stage.cgroup {
        let own = getpid().as_raw_pid().to_string();
        std::fs::write(group, own).map_err(|error| format!("{}: {error}", group.display()))?;
    }
    // The shim reads its signals from a descriptor, and blocked ones are inherited.
    SigSet::empty().thread_set_mask().map_err(|error| text(&error))?;
    if !stage.dir.is_dir() {
        return Err(format!("working directory {}: no such directory", stage.dir.display()));
    }
    let [program, arguments @ ..] = stage.command.as_slice() else { return Err("there is no command".into()) };
    let env: BTreeMap<OsString, OsString> =
        stage.env.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    let error =
        Command::new(program).args(arguments).env_clear().envs(env).current_dir(&stage.dir).stdin(Stdio::null()).exec();
    Err(format!("{program}: {}", plain(&error)))
}

fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such program".into(),
        io::ErrorKind::PermissionDenied => "not allowed to execute it".into(),
        _ => error.to_string(),
    }
}

/// Lowers a limit; what is asked above the machine's own is what the machine has.
fn limit(resource: Resource, wanted: Option<u64>) {
    let Some(wanted) = wanted else { return };
    let maximum = getrlimit(resource).maximum;
    let value = Some(maximum.map_or(wanted, |maximum| wanted.min(maximum)));
    let _ = setrlimit(resource, Rlimit { current: value, maximum: value });
}
