//! Tricks by which servers of this protocol were broken into, each refused. Paths and sources have their own cases beside
//! artifacts and models; routes without a check, foreign hosts and file modes are tried on the whole server.

use axum::http::Method;
use serde_json::json;

use crate::rig::Store;

const FILES: &str = "/api/2.0/mlflow-artifacts/artifacts";

/// CVE-2024-1483, -1594, -2928, -3848, -1593, -3573: what follows `#`, `?` or `;`, and other forms of one place, pass a
/// check and mean something else when they are opened.
pub(crate) async fn locations_mean_one_place(store: Store) {
    let api = store.start().await;
    for location in [
        "mlflow-artifacts:/1#/../../../etc",
        "mlflow-artifacts:/1?/../../../etc",
        "mlflow-artifacts:/../etc",
        "mlflow-artifacts:/a/../../etc",
        "mlflow-artifacts:/%2e%2e/etc",
        "mlflow-artifacts:/%252e%252e/etc",
        "mlflow-artifacts:/..%5c..%5cetc",
        "mlflow-artifacts://host/../../etc",
        "mlflow-artifacts:/workspaces/other/1",
        "file:///etc#",
        "file:etc",
        "file://localhost/etc",
        "FILE:///etc",
        "http://169.254.169.254/latest",
    ] {
        let body = json!({"name": location, "artifact_location": location});
        let made = api.post("/api/2.0/mlflow/experiments/create", &body).await;
        if made.status == 400 {
            continue;
        }
        let run = api.run_in(made.json()["experiment_id"].as_str().unwrap()).await;
        for path in
            [format!("/get-artifact?run_id={run}&path=passwd"), format!("/api/2.0/mlflow/artifacts/list?run_id={run}")]
        {
            assert_eq!(api.get(&path).await.status, 400, "{location}: {path}");
        }
        let upload = format!("/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=passwd");
        assert_eq!(api.send(Method::POST, &upload, &[], b"x".to_vec()).await.status, 400, "{location}");
    }
}

/// CVE-2024-0520, CVE-2023-6975: a file is written where a header of the client says.
pub(crate) async fn headers_name_no_files(store: Store) {
    let api = store.start().await;
    let run = api.run().await;
    let headers = [("content-disposition", "attachment; filename=\"../../evil\""), ("x-original-url", "/../evil")];
    let path = format!("{FILES}/0/{run}/artifacts/good");
    assert_eq!(api.send(Method::PUT, &path, &headers, b"x".to_vec()).await.status, 200);
    let all = api.db.fetch("SELECT path FROM artifacts", vec![]).await.unwrap();
    assert_eq!((all.len(), all[0].text(0).unwrap()), (1, format!("0/{run}/artifacts/good").as_str()));
}

/// CVE-2023-6568, CVE-2024-27132: what a run or a request has in it runs in the browser of whoever looks.
pub(crate) async fn nothing_runs_in_browsers(store: Store) {
    let api = store.start().await;
    let run = api.run().await;
    for name in ["evil.html", "evil.svg", "evil.xhtml", "evil.js"] {
        let path = format!("{FILES}/0/{run}/artifacts/{name}");
        api.send(Method::PUT, &path, &[("content-type", "text/html")], b"<script>alert(1)</script>".to_vec()).await;
        for path in [path, format!("/get-artifact?run_id={run}&path={name}")] {
            let file = api.get(&path).await;
            let header = |name: &str| file.headers[name].to_str().unwrap().to_owned();
            assert!(["text/plain", "application/octet-stream"].contains(&header("content-type").as_str()), "{path}");
            assert!(header("content-disposition").starts_with("attachment"), "{path}");
            assert_eq!(header("x-content-type-options"), "nosniff");
            assert!(header("content-security-policy").contains("sandbox"), "{path}");
        }
    }
    let lost = api.get("/api/2.0/mlflow/%3Cscript%3Ealert(1)%3C/script%3E").await;
    assert!(lost.status == 404 && !lost.text().contains("script"), "{}", lost.text());
    let told = api.get("/api/2.0/mlflow/runs/get?run_id=%3Cscript%3E").await;
    assert_eq!(told.headers["content-type"], "application/json");
}

/// A page of somebody else's makes the browser send what it may send unasked: forms, and text.
pub(crate) async fn forms_of_foreign_pages_are_refused(store: Store) {
    let api = store.start().await;
    let body = json!({"name": "forged"}).to_string().into_bytes();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let headers = [("content-type", kind)];
        let sent = api.send(Method::POST, "/api/2.0/mlflow/experiments/create", &headers, body.clone());
        assert_eq!(sent.await.status, 400, "{kind}");
    }
    assert_eq!(api.get("/api/2.0/mlflow/experiments/get-by-name?experiment_name=forged").await.status, 404);
}

/// CVE-2024-3099: one model under a second, encoded name, which stands in for it.
pub(crate) async fn encoded_names_are_other_names(store: Store) {
    let api = store.start().await;
    api.ok("registered-models/create", json!({"name": "a b", "description": "real"})).await;
    let twin = api.post("/api/2.0/mlflow/registered-models/create", &json!({"name": "a%20b"})).await;
    let real = api.read("registered-models/get?name=a%20b").await;
    assert_eq!(real["registered_model"]["description"], json!("real"));
    if twin.status == 200 {
        let gone =
            api.json(Method::DELETE, "/api/2.0/mlflow/registered-models/delete", &json!({"name": "a%20b"})).await;
        assert_eq!(gone.status, 200, "{}", gone.text());
        assert_eq!(api.read("registered-models/get?name=a%20b").await, real);
    }
}

/// CVE-2024-6838, CVE-2025-0453: names without end, and one request that asks for everything many times over.
pub(crate) async fn sizes_are_limited(store: Store) {
    let api = store.start().await;
    let run = api.run().await;
    let long = "n".repeat(10_000);
    for (path, body) in [
        ("experiments/create", json!({"name": long})),
        ("experiments/set-experiment-tag", json!({"experiment_id": "0", "key": long, "value": "v"})),
        ("runs/log-parameter", json!({"run_id": run, "key": long, "value": "v"})),
        ("runs/set-tag", json!({"run_id": run, "key": long, "value": "v"})),
        ("runs/search", json!({"experiment_ids": ["0"], "max_results": 50_001})),
    ] {
        let (status, _, message) = api.fails(path, body).await;
        assert!(status == 400 && message.len() < 30_000, "{path}: {message}");
    }
    let aliases: String = (0..1000)
        .map(|n| format!("a{n}: mlflowGetExperiment(input: {{experimentId: \"0\"}}) {{ __typename }} "))
        .collect();
    let answer = api.post("/graphql", &json!({"query": format!("query {{ {aliases} }}")})).await;
    let refused = answer.status >= 400 || answer.json()["errors"].as_array().is_some_and(|errors| !errors.is_empty());
    assert!(refused, "{}", answer.text());
}
