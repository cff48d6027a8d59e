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

/// CVE-2023-4033, CVE-2023-6940, CVE-2025-14287: names become words of a command. CVE-2024-37052 to -37061: what a model has in
/// it runs when it is looked at.
pub(crate) async fn nothing_is_run(store: Store) {
    let api = store.start().await;
    let marker = tempfile::tempdir().unwrap().path().join("evil");
    let evil = format!("`touch {0}`; $(touch {0}) | touch {0} && touch {0}", marker.display());
    let run = api.run().await;
    for (path, body) in [
        ("experiments/create", json!({"name": evil})),
        ("runs/set-tag", json!({"run_id": run, "key": "mlflow.source.name", "value": evil})),
        ("runs/log-parameter", json!({"run_id": run, "key": "p", "value": evil})),
        ("registered-models/create", json!({"name": evil.replace('/', "_")})),
    ] {
        api.ok(path, body).await;
    }
    let read = api.read(&format!("runs/get?run_id={run}")).await;
    assert_eq!(read["run"]["data"]["params"][0]["value"], json!(evil), "it is text");
    // A pickle that calls `os.system`.
    let pickle = format!("cos\nsystem\n(S'touch {}'\ntR.", marker.display()).into_bytes();
    let path = format!("{FILES}/0/{run}/artifacts/model.pkl");
    assert_eq!(api.send(Method::PUT, &path, &[], pickle.clone()).await.status, 200);
    let version = json!({"version": "v1.0.0", "model_path": format!("runs:/{run}/model.pkl")});
    let made = api.post("/models/v1/namespaces/default/models/evil/versions", &version).await;
    assert_eq!((made.status, &made.json()["size"]), (200, &json!(pickle.len())));
    let kept = api.get("/models/v1/namespaces/default/models/evil/versions/1/files/model.pkl").await;
    assert_eq!(kept.body, pickle);
    assert!(!marker.exists());
}

/// The manual names the test that shows each class refused; a test of that name must be there.
#[test]
fn every_class_has_its_test() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let manual = std::fs::read_to_string(root.join("docs/security.md")).unwrap();
    let mut found = 0;
    for line in manual.lines().filter(|line| line.starts_with("| CVE")) {
        let tests = line.split('`').filter_map(|text| text.split_once(".rs::"));
        let before = found;
        for (file, name) in tests {
            let source = std::fs::read_to_string(root.join(format!("crates/{file}.rs")));
            let source = source.unwrap_or_else(|error| panic!("crates/{file}.rs: {error}"));
            assert!(source.contains(&format!("fn {name}(")), "crates/{file}.rs has no test {name}");
            found += 1;
        }
        assert!(found > before, "no test: {line}");
    }
    assert!(found > 20, "{found} tests");
}
