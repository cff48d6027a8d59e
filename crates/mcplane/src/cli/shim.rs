//! `mcplane shim`: what holds an attempt's process. The server starts it; it is no command for people.

use std::process::ExitCode;

/// Runs this process as a shim, if it was started as one. To be asked before anything else is set up: one such process
/// lives as long as each attempt.
pub fn shim() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    (arguments.next()? == mcplane_agent::shim::NAME).then(|| mcplane_agent::shim::main(arguments))
}
