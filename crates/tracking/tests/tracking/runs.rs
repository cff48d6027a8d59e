//! Runs, their parameters and tags.

use serde_json::json;

use crate::rig::Store;

pub(crate) async fn runs_live_and_die(store: Store) {
    let api = store.start().await;
    let body =
        json!({"experiment_id": "0", "user_id": "ann", "start_time": "12", "tags": [{"key": "a", "value": "b"}]});
    let run = api.ok("runs/create", body).await["run"].clone();
    let id = run["info"]["run_id"].as_str().unwrap();
    assert_eq!(run["info"]["run_uuid"], json!(id));
    assert_eq!((&run["info"]["start_time"], &run["info"]["status"]), (&json!(12), &json!("RUNNING")));
    assert_eq!(run["info"]["artifact_uri"], json!(format!("mlflow-artifacts:/0/{id}/artifacts")));
    assert_eq!(run["info"].get("end_time"), None);
    assert_eq!(run["data"]["tags"][1]["value"], run["info"]["run_name"]);

    let change = json!({"run_id": id, "status": "FINISHED", "end_time": 20, "run_name": "best"});
    let info = api.ok("runs/update", change).await["run_info"].clone();
    assert_eq!(
        (&info["status"], &info["end_time"], &info["run_name"]),
        (&json!("FINISHED"), &json!(20), &json!("best"))
    );

    api.ok("runs/delete", json!({"run_id": id})).await;
    let (status, code, message) = api.fails("runs/set-tag", json!({"run_id": id, "key": "a", "value": "b"})).await;
    assert_eq!((status, code.as_str()), (400, "INVALID_PARAMETER_VALUE"));
    assert_eq!(message, format!("The run {id} must be in the 'active' state. Current state is deleted."));
    api.ok("runs/restore", json!({"run_id": id})).await;
    let found = api.read(&format!("runs/get?run_uuid={id}")).await["run"].clone();
    assert_eq!(found["info"]["lifecycle_stage"], json!("active"));
    let (status, _, message) = api.fails("runs/delete", json!({"run_id": "none"})).await;
    assert_eq!((status, message.as_str()), (404, "Run with id=none not found"));
    assert_eq!(api.fails("runs/create", json!({"experiment_id": "9"})).await.0, 404);
}

pub(crate) async fn names_are_tags(store: Store) {
    let api = store.start().await;
    let clash = json!({"run_name": "a", "tags": [{"key": "mlflow.runName", "value": "b"}]});
    assert!(api.fails("runs/create", clash).await.2.starts_with("Both 'run_name' argument and 'mlflow.runName' tag"));
    let id = api.run().await;
    api.ok("runs/set-tag", json!({"run_id": id, "key": "mlflow.runName", "value": "renamed"})).await;
    let run = api.read(&format!("runs/get?run_id={id}")).await["run"].clone();
    assert_eq!(run["info"]["run_name"], json!("renamed"));
    assert_eq!(run["data"]["tags"], json!([{"key": "mlflow.runName", "value": "renamed"}]));
}

pub(crate) async fn parameters_are_written_once(store: Store) {
    let api = store.start().await;
    let id = api.run().await;
    let param = |value: &str| json!({"run_id": id, "key": "lr", "value": value});
    api.ok("runs/log-parameter", param("0.1")).await;
    api.ok("runs/log-parameter", param("0.1")).await;
    let (status, code, message) = api.fails("runs/log-parameter", param("0.2")).await;
    assert_eq!((status, code.as_str()), (400, "INVALID_PARAMETER_VALUE"));
    assert!(message.contains("Param with key='lr' was already logged with value='0.1'"), "{message}");
    api.ok("runs/log-parameter", json!({"run_id": id, "key": "long", "value": "v".repeat(7000)})).await;
    let params = api.read(&format!("runs/get?run_id={id}")).await["run"]["data"]["params"].clone();
    assert_eq!(params[0]["value"].as_str().unwrap().len(), 6000, "a long value is cut, as the reference does");
    assert_eq!(params[1], json!({"key": "lr", "value": "0.1"}));
    let (_, _, message) = api.fails("runs/log-parameter", json!({"run_id": id, "key": "a/../b", "value": "x"})).await;
    assert!(
        message.starts_with(r#"Invalid value "a/../b" for parameter 'key' supplied: Names may be treated as files"#)
    );
}
