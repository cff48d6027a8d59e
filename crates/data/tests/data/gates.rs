//! Gates as objects, decisions, and what delivery asks.

use axum::http::Method;
use mcplane_db::audit;
use serde_json::{Value, json};

use crate::rig::{Api, Store};

const GATES: &str = "/apis/mcplane.io/v1alpha1/namespaces/lab/gates";
const DECISIONS: &str = "/data/v1/namespaces/lab/decisions";

async fn gate(api: &Api, name: &str, spec: Value) -> (u16, Value) {
    api.post(GATES, &json!({"metadata": {"name": name}, "spec": spec})).await
}

fn threshold() -> Value {
    json!({"columns": {"label": "l", "prediction": "p"}, "thresholds": [{"metric": "f1", "min": 0.9}], "minRows": 10})
}

fn asked(gate: &str, version: &str, f1: f64) -> Value {
    let evaluation = json!({"file": "held-out.csv", "sha256": "a".repeat(64), "rows": 100, "challenger": {"f1": f1}});
    json!({"gate": gate, "model": "fraud", "version": version, "evaluation": evaluation})
}

async fn deployable(api: &Api, version: &str, gates: &str) -> Value {
    let query = if gates.is_empty() { String::new() } else { format!("?gates={gates}") };
    api.get(&format!("/data/v1/namespaces/lab/models/fraud/versions/{version}/deployable{query}")).await
}

pub(crate) async fn gates_are_checked(store: Store) {
    let api = store.start().await;
    let (status, answer) = gate(&api, "good", threshold()).await;
    assert_eq!(status, 201, "{answer}");
    for (spec, path) in [
        (json!({"columns": {"label": "l"}, "thresholds": [{"metric": "f1", "min": 0.9}]}), "spec.columns.prediction"),
        (json!({"columns": {"label": "l"}}), "spec.thresholds"),
        (json!({"columns": {"label": "l", "prediction": "p"}, "thresholds": [{"metric": "best", "min": 1}]}), "metric"),
    ] {
        let (status, answer) = gate(&api, "bad", spec).await;
        assert_eq!(status, 422, "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(path), "{path} in {answer}");
    }
}

pub(crate) async fn decisions_are_made_and_overridden(store: Store) {
    let api = store.start().await;
    gate(&api, "quality", threshold()).await;
    assert_eq!(deployable(&api, "1", "").await["allowed"], false, "nobody has decided");

    let (status, passed) = api.post(DECISIONS, &asked("quality", "1", 0.95)).await;
    assert_eq!((status, &passed["verdict"]), (201, &json!("Pass")), "{passed}");
    assert_eq!(deployable(&api, "1", "").await["allowed"], true);
    assert_eq!(deployable(&api, "1", "quality,safety").await["allowed"], false, "one gate has not decided");
    assert_eq!(api.get("/api/v1/namespaces/lab/events").await["items"], json!([]));

    let (_, refused) = api.post(DECISIONS, &asked("quality", "2", 0.5)).await;
    assert_eq!(refused["verdict"], "Refuse");
    assert_eq!(refused["reasons"], json!(["Refuse: f1 is 0.500000, and must be at least 0.9"]));
    assert_eq!(refused["policy"]["thresholds"][0]["min"], 0.9, "the policy of the day is kept");
    let told = api.get("/api/v1/namespaces/lab/events").await;
    assert_eq!((&told["items"][0]["reason"], &told["items"][0]["type"]), (&json!("ModelRefused"), &json!("Warning")));
    assert_eq!(deployable(&api, "2", "").await["allowed"], false);

    let path = |decision: &Value| format!("{DECISIONS}/{}/override", decision["id"].as_str().unwrap());
    let reason = json!({"reason": "the label of March was wrong"});
    for (decision, body, status) in [(&passed, &reason, 409), (&refused, &json!({"reason": " "}), 400)] {
        assert_eq!(api.post(&path(decision), body).await.0, status);
    }
    let (status, overridden) = api.post(&path(&refused), &reason).await;
    assert_eq!((status, &overridden["override"]["reason"]), (200, &reason["reason"]), "{overridden}");
    assert_eq!((&overridden["verdict"], api.post(&path(&refused), &reason).await.0), (&json!("Refuse"), 409));
    assert_eq!(deployable(&api, "2", "quality").await["allowed"], true);
    let entries = api.db.audit(&audit::Query { limit: 100, ..audit::Query::default() }).await.unwrap();
    let entry = entries.iter().map(|record| &record.entry).find(|entry| entry.verb == "override").unwrap();
    assert_eq!(entry.resource, "decisions.data.mcplane.io");
    assert!(entry.detail.ends_with("fraud 2 by gate quality: the label of March was wrong"), "{}", entry.detail);

    // The newest decision counts.
    api.post(DECISIONS, &asked("quality", "1", 0.1)).await;
    assert_eq!(deployable(&api, "1", "").await["allowed"], false);
    let page = api.get(&format!("{DECISIONS}?model=fraud&version=1&limit=1")).await;
    assert_eq!(page["decisions"][0]["verdict"], "Refuse");
    let rest = format!("{DECISIONS}?version=1&continue={}", page["continue"].as_str().unwrap());
    assert_eq!(api.get(&rest).await["decisions"], json!([passed]));

    for (body, status) in
        [(asked("gone", "1", 1.0), 404), (asked("quality", "", 1.0), 400), (json!({"gate": "quality"}), 400)]
    {
        assert_eq!(api.post(DECISIONS, &body).await.0, status, "{body}");
    }
    assert_eq!(api.call(Method::GET, &format!("{DECISIONS}/none"), axum::body::Body::empty()).await.0, 404);
}
