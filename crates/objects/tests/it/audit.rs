//! What the audit log holds after requests of every outcome.

use mcplane_db::audit::Query;
use serde_json::json;

use crate::rig::{CONFIG_MAPS, Store, cm};

pub(crate) async fn every_outcome_is_recorded(store: Store) {
    let api = store.start().await;
    let object = json!({"metadata": {"name": "a"}});
    api.post(CONFIG_MAPS, &object).await.is(201);
    api.post(CONFIG_MAPS, &object).await.refused(409, "AlreadyExists");
    api.post(CONFIG_MAPS, &json!({"metadata": {"generateName": "g-"}})).await.is(201);
    api.post(CONFIG_MAPS, &json!({"metadata": {"name": "A"}})).await.refused(422, "Invalid");
    api.put(&cm("a"), &json!({"metadata": {"name": "a"}, "data": {"k": "v"}})).await.is(200);
    api.merge(&cm("a"), &json!({"metadata": {"finalizers": ["example.com/hold"]}})).await.is(200);
    api.get(&cm("a")).await.is(200);
    api.get(&cm("none")).await.refused(404, "NotFound");
    api.delete(&cm("a")).await.is(200);
    api.merge(&cm("a"), &json!({"metadata": {"finalizers": null}})).await.is(200);
    api.delete(&cm("a")).await.refused(404, "NotFound");
    api.delete(CONFIG_MAPS).await.is(200);
    api.post("/api/v1/namespaces/ns/gizmos", &object).await.refused(404, "NotFound");
    // Told by other changes, or too frequent to be told.
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": "ns"}});
    api.post("/api/v1/namespaces/ns/events", &event).await.is(201);

    let records = api.db.audit(&Query { limit: 100, ..Query::default() }).await.unwrap();
    let told: Vec<String> = records
        .iter()
        .rev()
        .map(|record| {
            let entry = &record.entry;
            assert_eq!((entry.actor.as_str(), entry.source.as_str(), entry.trace.len()), ("tester", "192.0.2.1", 32));
            let name = if entry.name.starts_with("g-") { "g" } else { &entry.name };
            format!("{} {}/{}/{name} {} {}", entry.verb, entry.resource, entry.namespace, entry.outcome, entry.code)
        })
        .collect();
    assert_eq!(
        told,
        [
            "create namespaces//ns allowed 201",
            "create configmaps/ns/a allowed 201",
            "create configmaps/ns/ failed 409",
            "create configmaps/ns/g allowed 201",
            "create configmaps/ns/ failed 422",
            "update configmaps/ns/a allowed 200",
            "patch configmaps/ns/a allowed 200",
            "delete configmaps/ns/a allowed 200",
            "patch configmaps/ns/a allowed 200",
            "delete configmaps/ns/a failed 404",
            "delete configmaps/ns/g allowed 200",
            "create gizmos/ns/ failed 404",
        ]
    );
    assert!(records.iter().any(|record| record.entry.detail.contains("already exists")));
    assert_eq!(api.db.verify_audit().await.unwrap(), Ok(told.len() as i64));
}
