//! `mcplane gate evaluate`: rows are read here, the server decides from the numbers.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mcplane_data::columns::{self, CsvFormat, Limits};
use mcplane_data::gates::{Policy, Sample, evaluate};
use serde_json::{Value, json};

use super::{decisions_of, of, reasons};
use crate::cli::connection::{Connection, encode, request};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::print;

#[derive(Debug, Args)]
pub(super) struct Evaluate {
    /// Held-out rows, as CSV or Parquet
    file: PathBuf,
    /// The gate
    #[arg(long, value_name = "NAME")]
    gate: String,
    /// The model
    #[arg(long, value_name = "NAME")]
    model: String,
    /// Its version
    #[arg(long)]
    version: String,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// The verdict and its reasons
    Text,
    /// The whole decision
    Json,
}

pub(super) async fn run(command: &Evaluate, server: &Connection) -> Result<(), Failure> {
    let path =
        format!("/apis/mcplane.io/v1alpha1/namespaces/{}/gates/{}", encode(&server.namespace), encode(&command.gate));
    let gate: Value = server.get(&path).await?;
    let policy: Policy = serde_json::from_value(gate["spec"].clone())
        .map_err(|error| Failure::from_error("this mcplane does not know such a gate", &error))?;
    let file = command.file.display().to_string();
    let evaluation = columns::open(&command.file, &CsvFormat::default(), &Limits::default())
        .and_then(|table| Sample::read(table, &policy))
        .and_then(|sample| evaluate(&policy, &sample, &file))
        .map_err(|fault| Failure::failed(format!("{file}: {fault}")))?;
    let body = json!({
        "gate": command.gate, "model": command.model, "version": command.version, "evaluation": evaluation,
    });
    let decision: Value = server.json(request("POST", &decisions_of(server), Some(&body))?).await?;
    match command.output {
        Format::Json => print(&format!("{decision:#}\n"))?,
        Format::Text => print(&text(&decision))?,
    }
    if decision["verdict"] == "Pass" { Ok(()) } else { Err(Failure::told_already(Exit::Failed)) }
}

fn text(decision: &Value) -> String {
    let word = match decision["verdict"].as_str() {
        Some("Pass") => "passed",
        Some("Refuse") => "REFUSED",
        _ => "NOT PROVEN",
    };
    let id = decision["id"].as_str().unwrap_or_default();
    format!("{}: {word} (decision {id})\n{}", of(decision), reasons(decision))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_read_well() {
        let decision = json!({
            "id": "5f0c", "model": "fraud", "version": "7", "verdict": "Refuse",
            "reasons": ["Refuse: f1 is 0.5, and must be at least 0.9", "Pass: a\u{7}"],
        });
        assert_eq!(
            text(&decision),
            "fraud 7: REFUSED (decision 5f0c)\n  Refuse: f1 is 0.5, and must be at least 0.9\n  Pass: a\u{fffd}\n"
        );
    }
}
