//! `mcplane version`.

use clap::Args;

use super::failure::Failure;
use super::output;

/// Print the version of this program
#[derive(Debug, Args)]
pub(super) struct Arguments {}

pub(super) fn run(_: &Arguments) -> Result<(), Failure> {
    let revision = option_env!("MCPLANE_BUILD_COMMIT").map_or_else(String::new, |commit| format!(" ({commit})"));
    output::print_line(&format!("mcplane {}{revision}", env!("CARGO_PKG_VERSION")))
}
