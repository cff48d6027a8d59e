//! The process that holds an attempt: started by an executor, it outlives the server, and writes down how the command
//! ended. It is the server's own program under another name, `mcplane shim`, in two stages:
//!
//! 1. `mcplane shim run FOLDER` makes a session of its own, takes the folder's lock, reads the assignment from standard
//!    input (so that it never is on disk), prepares the work folder, and holds the command until nothing of it is left.
//! 2. `mcplane shim exec` sets what only the child itself can set, and becomes the command.
//!
//! SIGTERM to the shim ends the attempt: SIGTERM to the command's process group, SIGKILL after the grace. A shim that is
//! killed takes the command with it.

mod exec;
mod fresh;
pub(crate) mod log;
mod run;
mod supervise;
mod unpack;

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// The subcommand that a program dispatches to [`main`].
pub const NAME: &str = "shim";

pub(crate) const RUN: &str = "run";
pub(crate) const EXEC: &str = "exec";

/// Runs a stage of the shim; `arguments` are those after [`NAME`]. To be called before anything that costs time or memory:
/// a process of this lives as long as each attempt.
pub fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let stage = arguments.next();
    match (stage.as_deref().and_then(OsStr::to_str), arguments.next(), arguments.next()) {
        (Some(RUN), Some(folder), cgroup) => match run::run(Path::new(&folder), cgroup.as_deref().map(Path::new)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&error);
                ExitCode::FAILURE
            }
        },
        (Some(EXEC), None, None) => exec::run(),
        _ => {
            complain(&"mcplane shim is started by the server; there is nothing to do for a person");
            ExitCode::from(2)
        }
    }
}

/// Says what is wrong with the shim itself. On a full disk nobody hears it, and that is no reason to die.
fn complain(what: &dyn Display) {
    let _ = writeln!(std::io::stderr(), "{what}");
}
