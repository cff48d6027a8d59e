//! Scorers.

use axum::http::Method;
use serde_json::json;

use crate::rig::Store;

const SCORERS: &str = "/api/3.0/mlflow/scorers";

pub(crate) async fn scorers_are_versions(store: Store) {
    let api = store.start().await;
    let content = r#"{"name": "s", "instructions_judge_pydantic_data": {"model": "openai:/gpt-4"}}"#;
    let new = |name: &str, content: &str| json!({"experiment_id": "0", "name": name, "serialized_scorer": content});
    let register =
        async |name: &str, content: &str| api.post(&format!("{SCORERS}/register"), &new(name, content)).await;
    let first = register("s", content).await.json();
    assert_eq!((&first["version"], &first["experiment_id"], &first["name"]), (&json!(1), &json!("0"), &json!("s")));
    let second = register("s", content).await.json();
    assert_eq!((&second["version"], &second["scorer_id"]), (&json!(2), &first["scorer_id"]));
    assert_eq!(register("a", content).await.status, 200);
    for (name, content, status, why) in [
        ("s", r#"{"call_source": "def f(): pass"}"#, 400, "Custom scorer registration (using @scorer decorator)"),
        ("s", "{", 400, "serialized_scorer must be valid JSON"),
        (" ", content, 400, "Scorer name cannot be empty or contain only whitespace."),
    ] {
        let error = register(name, content).await.error();
        assert!(error.0 == status && error.2.starts_with(why), "{error:?}");
    }

    let get = async |path: String| api.get(&format!("{SCORERS}/{path}")).await;
    for path in ["list", "list?experiment_id=0", "list?experiment_ids=0&experiment_ids=7"] {
        let found = get(path.to_owned()).await.json();
        let found: Vec<_> = found["scorers"].as_array().unwrap().iter().collect();
        let names: Vec<_> = found.iter().map(|scorer| (&scorer["scorer_name"], &scorer["scorer_version"])).collect();
        assert_eq!(names, [(&json!("a"), &json!(1)), (&json!("s"), &json!(2))], "{path}");
    }
    assert_eq!(get("list?experiment_id=0&experiment_ids=0".to_owned()).await.status, 400);
    let versions = get("versions?experiment_id=0&name=s".to_owned()).await.json();
    assert_eq!(versions["scorers"].as_array().unwrap().len(), 2);
    let one = get("get?experiment_id=0&name=s&version=1".to_owned()).await.json();
    assert_eq!((&one["scorer"]["scorer_version"], &one["scorer"]["serialized_scorer"]), (&json!(1), &json!(content)));
    assert_eq!(get("get?experiment_id=0&name=s".to_owned()).await.json()["scorer"]["scorer_version"], json!(2));
    let missing = get("get?experiment_id=0&name=s&version=9".to_owned()).await.error();
    assert_eq!(
        (missing.0, missing.2.as_str()),
        (404, "Scorer with name 's' and version 9 not found for experiment 0.")
    );
    let theirs = api.send(Method::GET, &format!("{SCORERS}/list"), &[("x-mlflow-workspace", "other")], vec![]).await;
    assert_eq!(theirs.json(), json!({}), "another namespace has none");

    let delete = async |body: serde_json::Value| api.json(Method::DELETE, &format!("{SCORERS}/delete"), &body).await;
    assert_eq!(delete(json!({"experiment_id": "0", "name": "s", "version": 1})).await.status, 200);
    assert_eq!(delete(json!({"experiment_id": "0", "name": "s", "version": 1})).await.status, 404);
    assert_eq!(delete(json!({"experiment_id": "0", "name": "s"})).await.status, 200);
    let gone = get("versions?experiment_id=0&name=s".to_owned()).await.error();
    assert_eq!(gone.2, "Scorer with name 's' not found for experiment 0.");
    assert_eq!(register("s", content).await.json()["version"], json!(1));
}
