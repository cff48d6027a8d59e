//! `mcplane features`.

mod history;
mod join;
#[cfg(feature = "sql")]
mod materialize;

use clap::{Args, Subcommand};

use super::connection::{Connection, Place, encode};
use super::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  mcplane apply -f weather.yaml                              a FeatureView
  mcplane features materialize weather --output features/    its query over its files, to Parquet
  mcplane features join --events flights.csv --timestamp at --output training.parquet \\
    --view features/weather.parquet                          each flight with the weather known by then
  mcplane features history weather                           who materialised it, when, and from what
";

/// Make features from files, and join them to events as of their time
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[cfg(feature = "sql")]
    Materialize(materialize::Arguments),
    Join(join::Arguments),
    /// Show the last materialisations of a view
    History {
        /// The view
        name: String,
    },
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { command, place } = arguments;
    match command {
        #[cfg(feature = "sql")]
        Command::Materialize(arguments) => materialize::run(arguments, place),
        Command::Join(arguments) => join::run(&arguments),
        Command::History { name } => super::wait_for(history::run(name, place)),
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
fn path_of(server: &Connection, name: &str) -> String {
    format!("/apis/mcplane.io/v1alpha1/namespaces/{}/featureviews/{}", encode(&server.namespace), encode(name))
}
