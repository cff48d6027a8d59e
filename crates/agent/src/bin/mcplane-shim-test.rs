//! The shim alone, for the tests and the benchmark of this crate; the real one is `mcplane shim`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|name| name == mcplane_agent::shim::NAME) {
        return mcplane_agent::shim::main(arguments);
    }
    ExitCode::from(2)
}
