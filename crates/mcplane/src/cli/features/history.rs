//! `mcplane features history`.

use serde_json::Value;

use crate::cli::connection::Place;
use crate::cli::failure::Failure;
use crate::cli::output::{complain, print};
use crate::cli::table::Columns;

pub(super) async fn run(name: String, place: Place) -> Result<(), Failure> {
    let connection = place.connect().await?;
    let view = super::path_of(&connection, &name);
    let answer: Value = connection.get(&format!("{view}/history")).await?;
    let listed = answer["materializations"].as_array().map(Vec::as_slice).unwrap_or_default();
    if listed.is_empty() {
        complain(&format!("featureview {name} was never materialised"));
        return Ok(());
    }
    print(&table(listed))
}

fn table(listed: &[Value]) -> String {
    let mut rows =
        vec![["FINISHED", "GENERATION", "ROWS", "FILES", "BY", "OUTPUT", "DIGEST"].map(str::to_owned).to_vec()];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    rows.extend(listed.iter().map(|one| {
        vec![
            text(&one["finishedAt"]),
            one["generation"].to_string(),
            one["rows"].to_string(),
            one["inputs"].as_array().map_or(0, Vec::len).to_string(),
            text(&one["recordedBy"]),
            text(&one["output"]),
            text(&one["outputDigest"]).chars().take(19).collect(),
        ]
    }));
    Columns::default().align(&rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn materialisations_are_a_table() {
        let one = json!({"finishedAt": "2026-11-01T00:00:00.000000Z", "generation": 2, "rows": 26115, "inputs": [{}, {}],
            "recordedBy": "ann", "output": "/data/weather.parquet", "outputDigest": "sha256:0123456789abcdef"});
        insta::assert_snapshot!(table(&[one]), @r"
        FINISHED                      GENERATION   ROWS    FILES   BY    OUTPUT                  DIGEST
        2026-11-01T00:00:00.000000Z   2            26115   2       ann   /data/weather.parquet   sha256:0123456789ab
        ");
    }
}
