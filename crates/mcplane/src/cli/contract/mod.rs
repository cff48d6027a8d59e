//! `mcplane contract`.

mod check;
mod reports;
mod suggest;
mod text;

use clap::{Args, Subcommand};
use mcplane_data::columns::CsvFormat;

use super::connection::Place;
use super::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  mcplane contract suggest flights.csv > contract.yaml        write what the data keeps, to be changed
  mcplane contract check flights.csv -f contract.yaml         check a file here, without any server
  mcplane apply -f contract.yaml                              give the contract to a server
  mcplane contract check new.parquet --contract flights       check a file here, and report it there
  mcplane contract reports flights                            what checks of it came to

Files are CSV (also in gzip or Zstandard) and Parquet. They are read where the command runs and stay there.

Exit codes of `check`:
  0  no hard expectation is broken     1  one is, or a file can't be read
";

/// Check data against contracts
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
    /// Write the contract that a file keeps
    ///
    /// Bounds of numbers are what happens to be in the file, so they are soft; read it and say what you mean.
    Suggest(suggest::Suggest),
    /// Check files against a contract
    Check(check::Check),
    /// List what checks came to
    Reports(reports::Reports),
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { command, place } = arguments;
    match command {
        Command::Suggest(command) => suggest::run(&command),
        Command::Check(command) => check::run(&command, &place).await,
        Command::Reports(command) => reports::run(&command, &place).await,
    }
}

/// How CSV files are written.
#[derive(Debug, Args)]
struct CsvArgs {
    /// Character between the fields of CSV
    #[arg(long, value_name = "CHARACTER", default_value_t = ',')]
    delimiter: char,
    /// Text that stands for nothing, besides the empty one; may be repeated
    #[arg(long = "null", value_name = "TEXT")]
    nulls: Vec<String>,
}

impl CsvArgs {
    fn format(&self) -> CsvFormat {
        let usual = CsvFormat::default();
        let null_values = usual.null_values.into_iter().chain(self.nulls.iter().cloned()).collect();
        CsvFormat { delimiter: self.delimiter, null_values }
    }
}
