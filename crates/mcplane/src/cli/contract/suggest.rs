//! `mcplane contract suggest`.

use std::path::PathBuf;

use clap::Args;
use mcplane_data::columns::{self, Limits};
use mcplane_data::contracts;
use serde_json::json;

use super::CsvArgs;
use crate::cli::failure::Failure;
use crate::cli::output::print;

#[derive(Debug, Args)]
pub(super) struct Suggest {
    /// The file
    file: PathBuf,
    /// Name of the contract; the file's if left out
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    csv: CsvArgs,
}

pub(super) fn run(command: &Suggest) -> Result<(), Failure> {
    let format = command.csv.format();
    let table = columns::open(&command.file, &format, &Limits::default());
    let spec = table.and_then(|table| contracts::suggest(table, &format));
    let spec = spec.map_err(|fault| Failure::failed(format!("{}: {fault}", command.file.display())))?;
    let name = command.name.clone().unwrap_or_else(|| name_of(&command.file));
    let object = json!({
        "apiVersion": "mcplane.io/v1alpha1", "kind": "DataContract", "metadata": {"name": name}, "spec": spec,
    });
    let yaml = serde_norway::to_string(&object)
        .map_err(|error| Failure::from_error("the contract can't be written as YAML", &error))?;
    print(&yaml)
}

/// The file's name as one of an object.
fn name_of(file: &std::path::Path) -> String {
    let stem = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.split('.').next());
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = stem.unwrap_or_default().chars().map(plain).take(63).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "data".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::name_of;

    #[test]
    fn files_name_contracts() {
        for (file, name) in [("a/Flights_2013.csv.gz", "flights-2013"), ("_.csv", "data"), ("/", "data")] {
            assert_eq!(name_of(Path::new(file)), name);
        }
    }
}
