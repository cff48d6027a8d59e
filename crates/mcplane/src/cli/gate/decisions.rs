//! `mcplane gate decisions`.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::decisions_of;
use crate::cli::connection::{Connection, query};
use crate::cli::failure::Failure;
use crate::cli::output::{complain, print};
use crate::cli::table::Columns;

#[derive(Debug, Args)]
pub(super) struct Decisions {
    /// Only those on this model
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Only those on this version
    #[arg(long)]
    version: Option<String>,
    /// Only those of this gate
    #[arg(long, value_name = "NAME")]
    gate: Option<String>,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=1000))]
    limit: i64,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// A line for each
    Table,
    /// Everything
    Json,
}

pub(super) async fn run(command: &Decisions, server: &Connection) -> Result<(), Failure> {
    let limit = command.limit.to_string();
    let wanted = [
        ("model", command.model.as_deref()),
        ("version", command.version.as_deref()),
        ("gate", command.gate.as_deref()),
        ("limit", Some(limit.as_str())),
    ];
    let answer: Value = server.get(&format!("{}{}", decisions_of(server), query(&wanted))).await?;
    let decisions = answer["decisions"].as_array().map(Vec::as_slice).unwrap_or_default();
    match command.output {
        Format::Json => print(&format!("{answer:#}\n")),
        Format::Table if decisions.is_empty() => {
            complain(&format!("no decisions found in namespace {}", server.namespace));
            Ok(())
        }
        Format::Table => print(&table(decisions)),
    }
}

fn table(decisions: &[Value]) -> String {
    let mut rows =
        vec![["MODEL", "VERSION", "GATE", "VERDICT", "OVERRIDDEN BY", "AT", "ID"].map(str::to_owned).to_vec()];
    rows.extend(decisions.iter().map(|decision| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let fields = ["model", "version", "gate", "verdict"].map(|field| text(&decision[field]));
        let rest = [text(&decision["override"]["by"]), text(&decision["at"]), text(&decision["id"])];
        fields.into_iter().chain(rest).collect()
    }));
    Columns::default().align(&rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn decisions_are_a_table() {
        let decision = |version: &str, word: Value| {
            json!({"id": "5f0c", "gate": "g", "model": "fraud", "version": version, "verdict": "Refuse",
                   "at": "2026-11-23T03:00:00Z", "override": word})
        };
        insta::assert_snapshot!(table(&[decision("8", json!({"by": "ann"})), decision("7", Value::Null)]), @r"
        MODEL   VERSION   GATE   VERDICT   OVERRIDDEN BY   AT                     ID
        fraud   8         g      Refuse    ann             2026-11-23T03:00:00Z   5f0c
        fraud   7         g      Refuse                    2026-11-23T03:00:00Z   5f0c
        ");
    }
}
