//! `mcplane features`.

mod history;
mod join;

use clap::{Args, Subcommand};

use super::connection::{ConnectionArgs, encode};
use super::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  mcplane apply -f weather.yaml         a FeatureView
  mcplane features join --events flights.csv --timestamp at --output training.parquet \\
    --view weather.parquet,entities=origin,timestamp=time_hour,created=seen_at,ttl=3h
  mcplane features history weather      who materialised it, when, and from what
";

/// Join features to events as of their time, and see who made them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Namespace; without it the login's, or `default`
    #[arg(short, long, global = true)]
    namespace: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    Join(join::Arguments),
    /// Show the last materialisations of a view
    History {
        /// The view
        name: String,
    },
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { command, namespace, connection } = arguments;
    match command {
        Command::Join(arguments) => join::run(&arguments),
        Command::History { name } => super::wait_for(history::run(name, namespace, connection)),
    }
}

/// What went wrong with files or a query, in its own words.
fn failed(error: &mcplane_core::Error) -> Failure {
    match error {
        mcplane_core::Error::BadRequest(message) => Failure::failed(message),
        other => Failure::from_error("this should not happen", other),
    }
}

/// The path of a view in the API.
fn path_of(namespace: &str, name: &str) -> String {
    format!("/apis/mcplane.io/v1alpha1/namespaces/{}/featureviews/{}", encode(namespace), encode(name))
}
