//! Quotas on numbers of objects.

use futures::future::join_all;
use mcplane_db::Arg;
use serde_json::{Value, json};

use crate::rig::{Api, CONFIG_MAPS, Store, cm};

const QUOTAS: &str = "/api/v1/namespaces/ns/resourcequotas";

/// The counter of `ns` as it is stored.
pub(crate) async fn counter(api: &Api, name: &str) -> i64 {
    let sql = "SELECT value FROM counters WHERE namespace = $1 AND name = $2";
    let rows = api.db.fetch(sql, vec![Arg::from("ns"), Arg::from(name)]).await.unwrap();
    rows.first().map_or(0, |row| row.int(0).unwrap())
}

fn quota(name: &str, hard: &Value) -> Value {
    json!({"metadata": {"name": name}, "spec": {"hard": hard}})
}

pub(crate) async fn a_storm_of_creates_stops_at_the_limit(store: Store) {
    let api = store.start().await;
    api.config_map("before", &json!({})).await;
    api.post(QUOTAS, &quota("tight", &json!({"count/configmaps": "10"}))).await.is(201);
    api.post(QUOTAS, &quota("wide", &json!({"configmaps": "50"}))).await.is(201);
    let storm = join_all((0..64).map(|number| {
        let api = &api;
        async move { api.post(CONFIG_MAPS, &json!({"metadata": {"name": format!("o{number}")}})).await }
    }));
    let answers = storm.await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 9);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        let message = refused.refused(403, "Forbidden");
        assert!(message.contains("exceeded quota: tight"), "{message}");
        assert!(message.contains("used: count/configmaps=10, limited: count/configmaps=10"), "{message}");
    }
    assert_eq!((api.names(CONFIG_MAPS).await.len(), counter(&api, "count/configmaps").await), (10, 10));
    // Full, it lets others through, and changes, and deletions; then there is room for one.
    api.post("/api/v1/namespaces/ns/secrets", &json!({"metadata": {"name": "s"}})).await.is(201);
    api.merge(&cm("before"), &json!({"data": {"k": "w"}})).await.is(200);
    api.delete(&cm("before")).await.is(200);
    api.config_map("after", &json!({})).await;
    api.post(CONFIG_MAPS, &json!({"metadata": {"name": "more"}})).await.refused(403, "Forbidden");
    api.namespace("other").await;
    api.post("/api/v1/namespaces/other/configmaps", &json!({"metadata": {"name": "a"}})).await.is(201);
    // A quota binds from its acknowledgement on, and no longer than it exists.
    api.merge(&format!("{QUOTAS}/tight"), &json!({"spec": {"hard": {"count/configmaps": "11"}}})).await.is(200);
    api.config_map("eleventh", &json!({})).await;
    api.post(CONFIG_MAPS, &json!({"metadata": {"name": "more"}})).await.refused(403, "Forbidden");
    api.delete(&format!("{QUOTAS}/tight")).await.is(200);
    api.config_map("twelfth", &json!({})).await;
    // After a restart, too.
    api.stop().await;
    let api = store.open().await;
    api.post(QUOTAS, &quota("full", &json!({"configmaps": "12"}))).await.is(201);
    api.post(CONFIG_MAPS, &json!({"metadata": {"name": "more"}})).await.refused(403, "Forbidden");
}

pub(crate) async fn counters_follow_every_way_to_go(store: Store) {
    let api = store.start().await;
    let count = async || counter(&api, "count/configmaps").await;
    for name in ["a", "b", "c", "d", "e"] {
        let finalizers = if name == "e" { json!(["example.com/hold"]) } else { json!([]) };
        api.config_map(name, &json!({"finalizers": finalizers})).await;
    }
    assert_eq!(count().await, 5);
    api.post(CONFIG_MAPS, &json!({"metadata": {"name": "a"}})).await.refused(409, "AlreadyExists");
    api.post(CONFIG_MAPS, &json!({"metadata": {"name": "A"}})).await.refused(422, "Invalid");
    assert_eq!(count().await, 5);
    api.delete(&cm("a")).await.is(200);
    api.delete(&cm("a")).await.refused(404, "NotFound");
    assert_eq!(count().await, 4);
    api.delete(CONFIG_MAPS).await.is(200);
    assert_eq!(count().await, 1);
    let mut held = api.get(&cm("e")).await.is(200);
    held["metadata"]["finalizers"] = json!([]);
    api.put(&cm("e"), &held).await.is(200);
    assert_eq!(count().await, 0);
}

pub(crate) async fn status_follows(store: Store) {
    let api = store.run().await;
    let hard =
        json!({"count/configmaps": "100", "count/virtualservices.networking.istio.io": "5", "requests.cpu": "4"});
    api.post(QUOTAS, &quota("q", &hard)).await.is(201);
    let path = format!("{QUOTAS}/q");
    let used = async |number: usize| {
        let wanted = json!({
            "count/configmaps": number.to_string(), "count/virtualservices.networking.istio.io": "0", "requests.cpu": "0",
        });
        let answer = api.eventually(&path, |answer| answer.json()["status"]["used"] == wanted).await;
        assert_eq!(answer.json()["status"]["hard"], hard);
    };
    used(0).await;
    join_all((0..40).map(|number| api.config_map_owned(format!("o{number}")))).await;
    used(40).await;
    api.delete(&cm("o1")).await.is(200);
    used(39).await;
    api.delete(CONFIG_MAPS).await.is(200);
    used(0).await;
    api.stop().await;
}
