//! Experiments.

use axum::http::Method;
use serde_json::{Value, json};

use crate::rig::Store;

pub(crate) async fn experiments_live_and_die(store: Store) {
    let api = store.start().await;
    let first = &api.read("experiments/get?experiment_id=0").await["experiment"];
    assert_eq!((&first["name"], &first["artifact_location"]), (&json!("Default"), &json!("mlflow-artifacts:/0")));
    assert_eq!(first.get("tags"), None, "empty lists are left out");

    let new = json!({"name": "iris", "tags": [{"key": "b", "value": "2"}, {"key": "a", "value": "1"}]});
    assert_eq!(api.ok("experiments/create", new).await, json!({"experiment_id": "1"}));
    let found = api.read("experiments/get-by-name?experiment_name=iris").await["experiment"].clone();
    assert_eq!(found["tags"], json!([{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]));
    assert_eq!((&found["lifecycle_stage"], &found["workspace"]), (&json!("active"), &json!("default")));
    let run = api.run_in("1").await;

    api.ok("experiments/update", json!({"experiment_id": "1", "new_name": "iris2"})).await;
    api.ok("experiments/set-experiment-tag", json!({"experiment_id": "1", "key": "a", "value": "3"})).await;
    api.ok("experiments/delete-experiment-tag", json!({"experiment_id": "1", "key": "b"})).await;
    let found = api.read("experiments/get?experiment_id=1").await["experiment"].clone();
    assert_eq!((&found["name"], &found["tags"]), (&json!("iris2"), &json!([{"key": "a", "value": "3"}])));

    let stage =
        async |run: &str| api.read(&format!("runs/get?run_id={run}")).await["run"]["info"]["lifecycle_stage"].clone();
    api.ok("experiments/delete", json!({"experiment_id": "1"})).await;
    assert_eq!(stage(&run).await, json!("deleted"));
    let gone = (404, "RESOURCE_DOES_NOT_EXIST".to_owned(), "No Experiment with id=1 exists".to_owned());
    assert_eq!(api.fails("experiments/delete", json!({"experiment_id": "1"})).await, gone);
    let (status, code, _) = api.fails("experiments/create", json!({"name": "iris2"})).await;
    assert_eq!((status, code.as_str()), (400, "RESOURCE_ALREADY_EXISTS"), "a deleted experiment keeps its name");
    let (status, code, message) = api.fails("experiments/update", json!({"experiment_id": "1", "new_name": "x"})).await;
    assert_eq!(
        (status, code.as_str(), message.as_str()),
        (500, "INVALID_STATE", "Cannot rename a non-active experiment.")
    );
    api.ok("experiments/restore", json!({"experiment_id": "1"})).await;
    assert_eq!(stage(&run).await, json!("active"));
}

pub(crate) async fn locations_are_checked(store: Store) {
    let api = store.start().await;
    let here = std::env::current_dir().unwrap().join("files/x").display().to_string();
    for (given, kept) in [("files/x", here.as_str()), ("/srv/x", "/srv/x"), ("s3://b/x?region=a", "s3://b/x?region=a")]
    {
        let made = api.ok("experiments/create", json!({"name": given, "artifact_location": given})).await;
        let id = made["experiment_id"].as_str().unwrap();
        let found = api.read(&format!("experiments/get?experiment_id={id}")).await;
        assert_eq!(found["experiment"]["artifact_location"], json!(kept));
    }
    let host = "'artifact_location' cannot use the 'http' scheme: the 'http' scheme addresses a host other than";
    for (bad, why) in [
        ("http://169.254.169.254/latest", host),
        ("http://h/api/2.0/mlflow-artifacts/artifacts/1", host),
        ("mlflow-artifacts://h/x", "'artifact_location' cannot use the 'mlflow-artifacts' scheme"),
        ("s3://b/x#f", "'artifact_location' URL can't include fragments or params."),
        ("s3://b/x?a=%252e%252e/b", "Invalid query string"),
        ("runs:/x", "Artifact location cannot be a runs:/ URI. Given: 'runs:/x'"),
    ] {
        let (status, _, message) =
            api.fails("experiments/create", json!({"name": bad, "artifact_location": bad})).await;
        assert!(status == 400 && message.starts_with(why), "{bad}: {message}");
    }
}

pub(crate) async fn requests_are_checked(store: Store) {
    let api = store.start().await;
    let refused = async |body: Value| api.fails("experiments/create", body).await.2;
    assert!(refused(json!({})).await.starts_with("Missing value for required parameter 'name'."));
    assert!(refused(json!({"name": 123})).await.starts_with("Invalid value 123 for parameter 'name' supplied:"));
    assert!(refused(json!({"name": "a", "tags": "5"})).await.contains(r#"Invalid value "5" for parameter 'tags'"#));
    assert_eq!(refused(json!({"name": "x".repeat(501)})).await, "'name' exceeds the maximum length of 500 characters");
    let untyped = api.send(Method::POST, "/api/2.0/mlflow/experiments/create", &[], b"{}".to_vec()).await;
    assert_eq!(untyped.error().2, "Bad Request. Content-Type header is missing.");
    let nowhere = api.get("/api/2.0/mlflow/nothing").await;
    assert_eq!((nowhere.status, nowhere.text().contains("<title>404 Not Found")), (404, true));
    let wrong_method = api.get("/ajax-api/2.0/mlflow/experiments/create").await;
    assert_eq!((wrong_method.status, wrong_method.text().contains("<title>405")), (405, true));
    assert!(
        api.get("/api/2.0/mlflow/experiments/get?experiment_id=abc")
            .await
            .error()
            .2
            .contains("must be a valid integer")
    );
}

pub(crate) async fn workspaces_are_apart(store: Store) {
    let api = store.start().await;
    api.experiment("mine").await;
    let run = api.run_in("1").await;
    let other = [("x-mlflow-workspace", "other"), ("content-type", "application/json")];
    let see = async |path: &str| api.send(Method::GET, path, &other, vec![]).await;
    assert_eq!(see("/api/2.0/mlflow/experiments/get?experiment_id=1").await.status, 404);
    assert_eq!(see(&format!("/api/2.0/mlflow/runs/get?run_id={run}")).await.status, 404);
    let body = json!({"run_id": run, "key": "k", "value": "v"}).to_string();
    for path in ["runs/set-tag", "runs/log-parameter", "runs/delete"] {
        let answer =
            api.send(Method::POST, &format!("/api/2.0/mlflow/{path}"), &other, body.clone().into_bytes()).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    let named = json!({"name": "mine"}).to_string().into_bytes();
    let made = api.send(Method::POST, "/api/2.0/mlflow/experiments/create", &other, named).await;
    assert_eq!(made.json(), json!({"experiment_id": "1"}), "ids and names are of the namespace");
    let theirs = see("/api/2.0/mlflow/experiments/get?experiment_id=1").await.json();
    assert_eq!(theirs["experiment"]["artifact_location"], json!("mlflow-artifacts:/workspaces/other/1"));
    let unknown = [("x-mlflow-workspace", "nobody")];
    let answer = api.send(Method::GET, "/api/2.0/mlflow/experiments/get?experiment_id=0", &unknown, vec![]).await;
    assert_eq!(answer.error().0, 404);
}

pub(crate) async fn pages_learn_what_is_not_here(store: Store) {
    let api = store.start().await;
    let endpoints = api.get("/ajax-api/2.0/mlflow/gateway-proxy?gateway_path=api/2.0/endpoints/").await;
    assert_eq!((endpoints.status, endpoints.json()), (200, json!({"endpoints": []})));
    let telemetry = api.get("/ajax-api/3.0/mlflow/ui-telemetry").await;
    assert_eq!((telemetry.status, telemetry.json()["disable_ui_telemetry"].clone()), (200, json!(true)));
}
