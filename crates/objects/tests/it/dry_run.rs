//! Dry runs of every verb.

use axum::http::Method;
use serde_json::{Value, json};

use crate::rig::{CONFIG_MAPS, Store, cm};

const QUOTAS: &str = "/api/v1/namespaces/ns/resourcequotas";

pub(crate) async fn nothing_changes_and_the_answer_tells_what_would(store: Store) {
    let api = store.start().await;
    let object = api.config_map("a", &json!({})).await;
    let held = api.config_map("held", &json!({"finalizers": ["example.com/hold"]})).await;
    api.post(QUOTAS, &json!({"metadata": {"name": "q"}, "spec": {"hard": {"count/configmaps": "3"}}})).await.is(201);
    let (before, audited) = (api.revision(), audited(&api).await);
    let dry = |path: &str| format!("{path}?dryRun=All");

    let created = api.post(&dry(CONFIG_MAPS), &json!({"metadata": {"name": "b"}, "data": {"x": "y"}})).await.is(201);
    assert_eq!((&created["data"], created["metadata"]["uid"].is_string()), (&json!({"x": "y"}), true));
    assert_eq!(created["metadata"]["resourceVersion"], Value::Null);
    api.get(&cm("b")).await.refused(404, "NotFound");
    let generated = api.post(&dry(CONFIG_MAPS), &json!({"metadata": {"generateName": "g-"}})).await.is(201);
    assert!(generated["metadata"]["name"].as_str().unwrap().starts_with("g-"));
    let invalid = api.post(&dry(CONFIG_MAPS), &json!({"metadata": {"name": "B"}})).await;

    let mut next = object.clone();
    next["data"] = json!({"k": "w"});
    assert_eq!(api.put(&dry(&cm("a")), &next).await.is(200), next);
    assert_eq!(api.merge(&dry(&cm("a")), &json!({"data": {"k": "w"}})).await.is(200), next);
    let mut stale = next.clone();
    stale["metadata"]["resourceVersion"] = "1".into();
    let conflict = api.put(&dry(&cm("a")), &stale).await;

    assert_eq!(api.delete(&dry(&cm("a"))).await.is(200)["status"], "Success");
    let would_wait = api.delete(&dry(&cm("held"))).await.is(200);
    assert!(would_wait["metadata"]["deletionTimestamp"].is_string());
    let would_wait =
        api.delete_with(&cm("a"), &json!({"propagationPolicy": "Foreground", "dryRun": ["All"]})).await.is(200);
    assert_eq!(would_wait["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    let all = api.delete(&dry(CONFIG_MAPS)).await.is(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 2);

    assert_eq!(api.revision(), before);
    assert_eq!(self::audited(&api).await, audited);
    assert_eq!(api.get(CONFIG_MAPS).await.is(200)["items"], json!([object, held]));

    // What would be refused is refused.
    invalid.refused(422, "Invalid");
    conflict.refused(409, "Conflict");
    api.post(&dry(CONFIG_MAPS), &json!({"metadata": {"name": "a"}})).await.refused(409, "AlreadyExists");
    api.config_map("third", &json!({})).await;
    let over = api.post(&dry(CONFIG_MAPS), &json!({"metadata": {"name": "fourth"}})).await;
    assert!(over.refused(403, "Forbidden").contains("exceeded quota"));
    let nowhere = dry("/api/v1/namespaces/nowhere/configmaps");
    api.post(&nowhere, &json!({"metadata": {"name": "a"}})).await.refused(404, "NotFound");
    for (method, path) in [(Method::POST, CONFIG_MAPS.to_owned()), (Method::PUT, cm("a")), (Method::DELETE, cm("a"))] {
        let headers = [("content-type", "application/json")];
        let answer = api.send(method, &format!("{path}?dryRun=Yes"), &headers, next.to_string().into_bytes()).await;
        answer.refused(400, "BadRequest");
    }
}

async fn audited(api: &crate::rig::Api) -> usize {
    // Failures are recorded, dry or not; what would have succeeded is not.
    let query = mcplane_db::audit::Query { limit: 1000, ..Default::default() };
    api.db.audit(&query).await.unwrap().iter().filter(|record| record.entry.outcome == "allowed").count()
}
