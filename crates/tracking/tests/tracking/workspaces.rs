//! Workspaces, which are namespaces.

use axum::http::Method;
use serde_json::{Value, json};

use crate::rig::{Api, Store};

const ROOT: &str = "/api/3.0/mlflow/workspaces";

async fn names(api: &Api) -> Vec<String> {
    let listed = api.get(ROOT).await.json();
    listed["workspaces"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

pub(crate) async fn workspaces_live_and_die(store: Store) {
    let api = store.start().await;
    api.run_controllers();
    let made = api.post(ROOT, &json!({"name": "team-a", "description": "d"})).await;
    assert_eq!((made.status, made.json()), (201, json!({"workspace": {"name": "team-a", "description": "d"}})));
    assert_eq!(names(&api).await, ["default", "other", "team-a"]);
    let again = api.post(ROOT, &json!({"name": "team-a"})).await.error();
    assert_eq!(again, (400, "RESOURCE_ALREADY_EXISTS".into(), "Workspace 'team-a' already exists.".into()));
    let namespace = api.get("/api/v1/namespaces/team-a").await.json();
    assert_eq!(namespace["metadata"]["annotations"]["mcplane.io/description"], json!("d"));

    let path = format!("{ROOT}/team-a");
    let root = json!({"description": "e", "default_artifact_root": "s3://bucket/a/"});
    let changed = api.json(Method::PATCH, &path, &root).await.json()["workspace"].clone();
    assert_eq!(changed, json!({"name": "team-a", "description": "e", "default_artifact_root": "s3://bucket/a/"}));
    assert_eq!(api.get(&path).await.json()["workspace"], changed);
    let headers = [("content-type", "application/json"), ("x-mlflow-workspace", "team-a")];
    let body = json!({"name": "x"}).to_string().into_bytes();
    let made = api.send(Method::POST, "/api/2.0/mlflow/experiments/create", &headers, body).await;
    assert_eq!(made.json()["experiment_id"], json!("1"));
    let found = api.send(Method::GET, "/api/2.0/mlflow/experiments/get?experiment_id=1", &headers, vec![]).await;
    assert_eq!(found.json()["experiment"]["artifact_location"], json!("s3://bucket/a/1"));
    let cleared = api.json(Method::PATCH, &path, &json!({"default_artifact_root": ""})).await.json();
    assert_eq!(cleared, json!({"workspace": {"name": "team-a", "description": "e"}}));

    let (status, code, message) = api.json(Method::DELETE, &path, &Value::Null).await.error();
    assert_eq!((status, code.as_str()), (500, "INVALID_STATE"));
    assert!(message.contains("table 'experiments' still contains 1 resource(s)"), "{message}");
    let gone = api.send(Method::DELETE, &format!("{path}?mode=CASCADE"), &[], vec![]).await;
    assert_eq!((gone.status, gone.text().as_str()), (204, ""));
    assert_eq!(api.get(&path).await.error().0, 404);
    assert_eq!(names(&api).await, ["default", "other"]);
}

pub(crate) async fn workspace_requests_are_checked(store: Store) {
    let api = store.start().await;
    for (body, words) in [
        (json!({}), "Missing value for required parameter 'name'."),
        (json!({"name": "default"}), "The 'default' workspace is reserved and cannot be created"),
        (json!({"name": "Team"}), "must match the pattern"),
        (json!({"name": "a"}), "must be between 2 and 63 characters."),
        (json!({"name": "api"}), "Workspace name 'api' is reserved and cannot be used."),
        (json!({"name": "../x"}), "must match the pattern"),
        (json!({"name": "aa", "default_artifact_root": "x"}), "Invalid value for 'default_artifact_root'."),
        (json!({"name": "aa", "default_artifact_root": "s3://b#x"}), "can't include fragments"),
    ] {
        let (status, code, message) = api.post(ROOT, &body).await.error();
        assert!(message.contains(words), "{body}: {message}");
        assert_eq!((status, code.as_str()), (400, "INVALID_PARAMETER_VALUE"), "{body}");
    }
    let path = |end: &str| format!("{ROOT}/{end}");
    assert_eq!(api.get(&path("nowhere")).await.error().2, "Workspace 'nowhere' not found");
    let nothing = api.json(Method::PATCH, &path("other"), &json!({})).await.error();
    assert_eq!(nothing.2, "Workspace update must have at least one key");
    let reserved = api.send(Method::DELETE, &path("default"), &[], vec![]).await.error();
    assert_eq!(reserved.2, "The 'default' workspace is reserved and cannot be deleted");
    let mode = api.send(Method::DELETE, &path("other?mode=FORCE"), &[], vec![]).await.error();
    assert_eq!(mode.2, "Invalid deletion mode 'FORCE'. Must be one of: SET_DEFAULT, CASCADE, RESTRICT");
    assert_eq!(api.send(Method::DELETE, &path("other?mode=SET_DEFAULT"), &[], vec![]).await.status, 501);
    assert_eq!(names(&api).await, ["default", "other"]);
}
