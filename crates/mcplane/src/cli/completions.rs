//! `mcplane completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::failure::Failure;
use super::output;

const EXAMPLES: &str = "\
Examples:
  mcplane completions bash > ~/.local/share/bash-completion/completions/mcplane
  mcplane completions zsh > \"${fpath[1]}/_mcplane\"
  mcplane completions fish > ~/.config/fish/completions/mcplane.fish
";

/// Print a shell's completion script
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::Cli::command(), "mcplane", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
