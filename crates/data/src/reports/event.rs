//! A report as lineage knows it: an OpenLineage event of a run that read a file and asserted things of it.

use mcplane_core::{Timestamp, clock};
use serde_json::{Value, json};

use crate::contracts::{Outcome, Report};

const PRODUCER: &str = concat!("https://mcplane.io/data/", env!("CARGO_PKG_VERSION"));
/// Broken expectations that are named; the report has all.
const MOST_NAMED: usize = 50;

/// The event of the report `id`; none for a file that could not be read to its end, whose content nobody knows.
///
/// The run is the report, its job the contract, and its input the file under its SHA-256. A broken contract is a run that failed.
pub(super) fn event(namespace: &str, contract: &str, id: &str, report: &Report, at: Timestamp) -> Option<Value> {
    if report.sha256.is_empty() {
        return None;
    }
    let own = format!("mcplane:{namespace}");
    let job = format!("datacontract/{contract}");
    let (place, name) = report.path.as_deref().map_or((own.as_str(), report.file.as_str()), |path| ("file", path));
    let failed = report.outcome == Outcome::Failed;
    let broken = report.violations.iter().take(MOST_NAMED).map(|violation| {
        let mut assertion = json!({"assertion": violation.expected, "success": false});
        if let Some(column) = &violation.column {
            assertion["column"] = column.as_str().into();
        }
        assertion
    });
    let assertions: Vec<Value> = std::iter::once(json!({"assertion": job, "success": !failed})).chain(broken).collect();
    Some(json!({
        "eventType": if failed { "FAIL" } else { "COMPLETE" },
        "eventTime": clock::rfc3339_micro(at),
        "producer": PRODUCER,
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": id, "facets": {}},
        "job": {"namespace": own, "name": job, "facets": {}},
        "inputs": [{
            "namespace": place,
            "name": name,
            "facets": {
                "version": facet(
                    json!({"datasetVersion": format!("sha256:{}", report.sha256)}),
                    "DatasetVersionDatasetFacet",
                ),
            },
            "inputFacets": {
                "dataQualityMetrics": facet(
                    json!({"rowCount": report.rows, "bytes": report.bytes, "columnMetrics": {}}),
                    "DataQualityMetricsInputDatasetFacet",
                ),
                "dataQualityAssertions": facet(json!({"assertions": assertions}), "DataQualityAssertionsDatasetFacet"),
            },
        }],
        "outputs": [],
    }))
}

fn facet(mut facet: Value, class: &str) -> Value {
    facet["_producer"] = PRODUCER.into();
    facet["_schemaURL"] = format!("https://openlineage.io/spec/facets/1-0-1/{class}.json#/$defs/{class}").into();
    facet
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(more: Value) -> Report {
        let mut report = json!({"outcome": "Passed", "file": "a.csv", "sha256": "ab", "rows": 3, "bytes": 9});
        report.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(report).unwrap()
    }

    fn told(more: Value) -> Option<Value> {
        event("lab", "flights", "67b3da4b-4218-4903-b5f8-dfd7e2cb75cb", &report(more), 0)
    }

    #[test]
    fn a_report_is_a_run_of_its_contract_on_a_file() {
        let event = told(json!({"path": "/data/a.csv"})).unwrap();
        assert_eq!(event["run"]["runId"], "67b3da4b-4218-4903-b5f8-dfd7e2cb75cb");
        assert_eq!(
            (&event["job"]["namespace"], &event["job"]["name"]),
            (&json!("mcplane:lab"), &json!("datacontract/flights"))
        );
        let input = &event["inputs"][0];
        assert_eq!((&input["namespace"], &input["name"]), (&json!("file"), &json!("/data/a.csv")));
        assert_eq!(input["facets"]["version"]["datasetVersion"], "sha256:ab");
        assert_eq!(input["inputFacets"]["dataQualityMetrics"]["rowCount"], 3);
        assert_eq!(event["eventType"], "COMPLETE");
        let nameless = &told(json!({})).unwrap()["inputs"][0];
        assert_eq!((&nameless["namespace"], &nameless["name"]), (&json!("mcplane:lab"), &json!("a.csv")));
    }

    #[test]
    fn a_broken_contract_is_a_failure_that_names_what_broke_but_no_data() {
        let violation = json!({"column": "a", "expectation": "range", "severity": "hard", "expected": "5 or less", "rows": 2,
                               "first": [{"row": 3, "value": "secret"}]});
        let event = told(json!({"outcome": "Failed", "violations": [violation]})).unwrap();
        assert_eq!(event["eventType"], "FAIL");
        let assertions = &event["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"];
        assert_eq!(
            assertions,
            &json!([{"assertion": "datacontract/flights", "success": false},
                    {"assertion": "5 or less", "success": false, "column": "a"}])
        );
        assert!(!event.to_string().contains("secret"));
        assert_eq!(told(json!({"sha256": ""})), None);
    }
}
