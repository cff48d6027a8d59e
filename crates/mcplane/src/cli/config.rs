//! `mcplane config`.

use clap::{Args, Subcommand, ValueEnum};

use super::failure::Failure;
use super::output::{print, style};
use super::settings::Settings;
use crate::config::{Input, explain, load, nearest_key, render_table, render_yaml};

/// Show and explain the server's configuration
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show every value in force and where it came from
    ///
    /// Takes the same flags as `mcplane server`, and reads the same file and environment. Passwords are left out.
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        #[command(flatten)]
        settings: Box<Settings>,
        /// Form of the output
        #[arg(short, long, value_enum, default_value_t = Format::Table)]
        output: Format,
    },
    /// Explain settings: meaning, default and environment variable
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain {
        /// A key, or a section such as `server`; all without one
        key: Option<String>,
    },
}

const SHOW_EXAMPLES: &str = "\
Examples:
  mcplane config show
  MCPLANE_SERVER__MAX_BODY=8MiB mcplane config show
  mcplane config show -o yaml > mcplane.yaml
";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  mcplane config explain
  mcplane config explain server.tls
";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// Aligned columns
    Table,
    /// A configuration file with the same values
    Yaml,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Show { settings, output } => {
            let settings = settings.load()?.settings;
            print(&match output {
                Format::Table => render_table(&settings, style()),
                Format::Yaml => render_yaml(&settings),
            })
        }
        Command::Explain { key } => {
            let defaults = load(&Input::default())?.settings;
            let text = explain(key.as_deref(), &defaults, style()).ok_or_else(|| {
                let key = key.unwrap_or_default();
                let hint = nearest_key(&key).map(|nearest| format!("did you mean {nearest:?}?"));
                Failure::usage(format!("there is no setting {key:?}"))
                    .hint(hint.unwrap_or_else(|| "`mcplane config explain` lists all".to_owned()))
            })?;
            print(&text)
        }
    }
}
