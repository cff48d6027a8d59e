//! `mcplane contract reports`.

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::cli::connection::{Place, encode, query};
use crate::cli::failure::Failure;
use crate::cli::output::{complain, print};
use crate::cli::table::Columns;

#[derive(Debug, Args)]
pub(super) struct Reports {
    /// Only those of a contract
    contract: Option<String>,
    /// Only those of a file with this SHA-256
    #[arg(long, value_name = "DIGEST")]
    sha256: Option<String>,
    /// At most so many, newest first
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

pub(super) async fn run(command: &Reports, place: &Place) -> Result<(), Failure> {
    let server = place.connect().await?;
    let namespace = &server.namespace;
    let limit = command.limit.to_string();
    let wanted = [
        ("contract", command.contract.as_deref()),
        ("sha256", command.sha256.as_deref()),
        ("limit", Some(limit.as_str())),
    ];
    let answer: Value =
        server.get(&format!("/data/v1/namespaces/{}/reports{}", encode(namespace), query(&wanted))).await?;
    let reports = answer["reports"].as_array().map(Vec::as_slice).unwrap_or_default();
    match command.output {
        Format::Json => print(&format!("{answer:#}\n")),
        Format::Table if reports.is_empty() => {
            complain(&format!("no reports found in namespace {namespace}"));
            Ok(())
        }
        Format::Table => print(&table(reports)),
    }
}

fn table(reports: &[Value]) -> String {
    const DIGEST: usize = 12;
    let mut rows =
        vec![["CONTRACT", "OUTCOME", "ROWS", "BROKEN", "AT", "BY", "SHA256", "FILE"].map(str::to_owned).to_vec()];
    rows.extend(reports.iter().map(|report| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        vec![
            text(&report["contract"]),
            text(&report["outcome"]),
            report["report"]["rows"].to_string(),
            report["report"]["violations"].as_array().map_or(0, Vec::len).to_string(),
            text(&report["at"]),
            text(&report["by"]),
            text(&report["sha256"]).chars().take(DIGEST).collect(),
            text(&report["report"]["file"]),
        ]
    }));
    Columns::default().align(&rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reports_are_a_table() {
        let report = json!({
            "contract": "flights", "outcome": "Failed", "at": "2026-11-23T03:00:00Z", "by": "ann", "sha256": "ab".repeat(32),
            "report": {"rows": 9, "violations": [{}, {}], "file": "a.csv"},
        });
        insta::assert_snapshot!(table(&[report]), @r"
        CONTRACT   OUTCOME   ROWS   BROKEN   AT                     BY    SHA256         FILE
        flights    Failed    9      2        2026-11-23T03:00:00Z   ann   abababababab   a.csv
        ");
    }
}
