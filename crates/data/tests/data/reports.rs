//! Contracts as objects, and what checks of them reported.

use std::sync::Arc;
use std::time::Duration;

use mcplane_objects::controllers::Content as _;
use serde_json::{Value, json};

use crate::rig::{Api, Store};

const CONTRACTS: &str = "/apis/mcplane.io/v1alpha1/namespaces/lab/datacontracts";
const REPORTS: &str = "/data/v1/namespaces/lab/reports";

async fn contract(api: &Api, name: &str) {
    let spec = json!({"columns": [{"name": "a", "type": "integer", "max": 5}]});
    let (status, answer) = api.post(CONTRACTS, &json!({"metadata": {"name": name}, "spec": spec})).await;
    assert_eq!(status, 201, "{answer}");
}

fn report(digit: &str, severity: Option<&str>) -> Value {
    let violation = |severity| {
        json!({"column": "a", "expectation": "range", "severity": severity, "expected": "5 or less", "rows": 2,
               "first": [{"row": 3, "value": "7"}]})
    };
    let violations: Vec<Value> = severity.map(violation).into_iter().collect();
    json!({
        // What it comes to is not taken from the client.
        "outcome": "Passed", "file": "a.csv", "generation": 1, "format": "csv", "bytes": 10, "sha256": digit.repeat(64),
        "rows": 9, "expectations": 3, "violations": violations,
    })
}

fn with(mut report: Value, field: &str, value: &str) -> Value {
    report[field] = value.into();
    report
}

pub(crate) async fn contracts_are_checked(store: Store) {
    let api = store.start().await;
    contract(&api, "good").await;
    for (spec, path) in [
        (json!({"columns": [{"name": "a", "type": "integer", "min": "x"}]}), "spec.columns[0].min"),
        (json!({"columns": [{"name": "a", "type": "text"}]}), "spec.columns[0].type"),
        (json!({"columns": [{"name": "a"}]}), "spec.columns[0].type"),
        (json!({"keys": [["b"]]}), "spec.keys[0]"),
    ] {
        let (status, answer) = api.post(CONTRACTS, &json!({"metadata": {"name": "bad"}, "spec": spec})).await;
        assert_eq!(status, 422, "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(path), "{path} in {answer}");
    }
}

pub(crate) async fn reports_are_kept_and_shown(store: Store) {
    let api = store.start().await;
    contract(&api, "flights").await;
    let path = format!("{CONTRACTS}/flights");
    let send = async |digit: &str, severity| {
        let (status, answer) =
            api.post(REPORTS, &json!({"contract": "flights", "report": report(digit, severity)})).await;
        assert_eq!(status, 201, "{answer}");
        answer
    };
    let passed = send("a", None).await;
    assert_eq!((&passed["outcome"], &passed["by"]), (&json!("Passed"), &json!("system:mcplane:test")));
    let object = api.get(&path).await;
    let condition = &object["status"]["conditions"][0];
    assert_eq!((&condition["type"], &condition["status"]), (&json!("Passing"), &json!("True")), "{object}");
    assert_eq!((&object["status"]["lastReport"]["id"], &condition["observedGeneration"]), (&passed["id"], &json!(1)));

    assert_eq!(send("b", Some("soft")).await["outcome"], "Warned");
    let events = "/api/v1/namespaces/lab/events";
    assert_eq!(api.get(events).await["items"], json!([]), "nobody is alarmed");

    let failed = send("c", Some("hard")).await;
    let object = api.get(&path).await;
    let condition = &object["status"]["conditions"][0];
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("Failed")), "{object}");
    let told = api.get(events).await;
    let event = &told["items"][0];
    assert_eq!((&event["type"], &event["reason"]), (&json!("Warning"), &json!("ContractBroken")), "{told}");
    assert_eq!(event["involvedObject"]["uid"], object["metadata"]["uid"]);
    assert_eq!(event["message"], "a.csv: 1 of 3 expectations broken: a: 5 or less (2 rows)");
    let told = api.lineage.0.lock().unwrap().join("\n");
    let [first, second, last] = ["a", "b", "c"].map(|digit| format!(" a.csv sha256:{}", digit.repeat(64)));
    let (by, id) = ("system:mcplane:test", passed["id"].as_str().unwrap());
    assert!(
        told.starts_with(&format!("{by} {id}{first}\n")) && told.contains(&second) && told.ends_with(&last),
        "{told}"
    );

    let page = api.get(&format!("{REPORTS}?contract=flights&limit=2")).await;
    assert_eq!(page["reports"][0], failed);
    let rest = format!("{REPORTS}?limit=2&continue={}", page["continue"].as_str().unwrap());
    assert_eq!(api.get(&rest).await["reports"][0], passed);
    let of_file = api.get(&format!("{REPORTS}?sha256={}", "c".repeat(64))).await;
    assert_eq!(of_file["reports"], json!([failed]));
    assert_eq!(api.get(&format!("{REPORTS}/{}", failed["id"].as_str().unwrap())).await, failed);

    for (body, status) in [
        (json!({"contract": "gone", "report": report("a", None)}), 404),
        (json!({"contract": "flights", "report": report("A", None)}), 400),
        (json!({"contract": "flights", "report": with(report("a", None), "path", "data/a.csv")}), 400),
        (json!({"contract": "flights", "report": with(report("a", None), "file", &"a".repeat(901))}), 400),
        (json!({"contract": "flights"}), 400),
        (json!({"contract": "flights", "report": {"outcome": "Failed", "file": "x"}}), 400),
    ] {
        let (found, answer) = api.post(REPORTS, &body).await;
        assert_eq!(found, status, "{answer}");
    }
    let unreadable = json!({"outcome": "Failed", "file": "x", "fault": {"message": "it is gone", "row": 2}});
    let (status, answer) = api.post(REPORTS, &json!({"contract": "flights", "report": unreadable})).await;
    assert_eq!((status, &answer["outcome"]), (201, &json!("Failed")), "{answer}");
    assert_eq!(api.lineage.0.lock().unwrap().len(), 3, "nobody knows what is in a file that can't be read");
}

pub(crate) async fn what_was_not_told_is_told_later(store: Store) {
    let api = store.start().await;
    contract(&api, "late").await;
    api.post(REPORTS, &json!({"contract": "late", "report": report("d", Some("hard"))})).await;
    // As if the server had died between the report and what follows from it.
    let forget = "UPDATE contract_reports SET told = 0";
    api.db.write(move |tx| Box::pin(async move { tx.execute(forget, vec![]).await })).await.unwrap();
    let running = tokio::spawn(Arc::clone(&api.data).run());
    let untold = async || {
        let sql = "SELECT no FROM contract_reports WHERE told = 0".to_owned();
        api.db.fetch(sql, vec![]).await.unwrap().len()
    };
    for _ in 0..400 {
        if untold().await == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(untold().await, 0);
    running.abort();
    let events = api.get("/api/v1/namespaces/lab/events").await;
    assert_eq!(events["items"].as_array().unwrap().len(), 1, "told twice, but alarmed once");
    assert_eq!(api.lineage.0.lock().unwrap().len(), 1, "lineage knew it with the report");
}

pub(crate) async fn a_namespace_goes_with_its_reports(store: Store) {
    let api = store.start().await;
    contract(&api, "flights").await;
    api.post(REPORTS, &json!({"contract": "flights", "report": report("a", None)})).await;
    assert_eq!(api.data.empty("lab").await.unwrap(), None);
    assert_eq!(api.get(REPORTS).await["reports"], json!([]));
}
