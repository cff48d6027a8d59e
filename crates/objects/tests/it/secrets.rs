//! Secrets at rest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::rig::{Api, Store, revision_of};

const SECRETS: &str = "/api/v1/namespaces/ns/secrets";
/// Found nowhere but where a secret leaks; as it is, and as base64 shows it at each of three offsets.
const PLAIN: &str = "hunter2-correct-horse-battery-staple";

pub(crate) async fn the_store_never_holds_a_secret(store: Store) {
    let api = store.run().await;
    // As `kubectl apply` sends it: the annotation repeats the secret.
    let data = json!({"password": STANDARD.encode(PLAIN)});
    let applied = json!({"data": data, "stringData": {"plain": PLAIN}}).to_string();
    let annotations =
        json!({"kubectl.kubernetes.io/last-applied-configuration": applied, "a": "\"},{\",\"sealed\":\"x\"}"});
    let secret = json!({
        "metadata": {"name": "a", "annotations": annotations, "finalizers": ["example.com/hold"]},
        "data": data, "stringData": {"plain": PLAIN},
    });
    let created = api.post(SECRETS, &secret).await.is(201);
    assert_eq!(created["metadata"]["annotations"], annotations);
    let path = format!("{SECRETS}/a");
    assert_eq!(api.get(&path).await.is(200), created);
    let mut watch = api.watch(SECRETS, "").await;
    assert_eq!(watch.next().await.unwrap()["object"], created);

    let changed = api.merge(&path, &json!({"stringData": {"more": PLAIN}})).await.is(200);
    assert_eq!(changed["data"]["more"], STANDARD.encode(PLAIN));
    assert_eq!(watch.next().await.unwrap()["object"], changed);
    // What fails is recorded, without what it failed on.
    for (field, value) in [
        ("data", json!({"x": PLAIN})),
        ("data", json!({"x": [PLAIN]})),
        ("data", json!(PLAIN)),
        ("stringData", json!({"x": {"y": PLAIN}})),
        ("stringData", json!([PLAIN])),
        ("type", json!({"x": PLAIN})),
        ("immutable", json!(PLAIN)),
    ] {
        let wrong = json!({"metadata": {"name": "b"}, field: value});
        let refused = api.post(SECRETS, &wrong).await;
        assert!((400..500).contains(&refused.status), "{wrong}: {}", refused.text());
        let patch = json!({field: value});
        let refused = api.merge(&path, &patch).await;
        assert!((400..500).contains(&refused.status), "{patch}: {}", refused.text());
    }
    let test = json!([{"op": "test", "path": "/data/password", "value": PLAIN}]);
    api.patch(&path, "json", &test).await.refused(422, "Invalid");
    api.delete(&path).await.is(200);
    let last = api.merge(&path, &json!({"metadata": {"finalizers": null}})).await.is(200);
    assert_eq!(last["data"], changed["data"]);
    api.post(SECRETS, &secret).await.is(201);
    let past = format!("{SECRETS}?resourceVersion={}&resourceVersionMatch=Exact", revision_of(&changed));
    assert_eq!(api.get(&past).await.is(200)["items"], json!([changed]));

    // While the log is not written back, and after.
    leaks(&store, &api).await;
    api.stop().await;
    let api = store.open().await;
    leaks(&store, &api).await;
}

/// Looks through every file and every row.
async fn leaks(store: &Store, api: &Api) {
    let mut needles = vec![PLAIN.to_owned()];
    for offset in 0..3 {
        let shifted = STANDARD.encode(format!("{}{PLAIN}", "x".repeat(offset)));
        needles.push(shifted[4..shifted.len() - 4].to_owned());
    }
    for entry in std::fs::read_dir(store.directory()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for needle in &needles {
            let found = bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
            assert!(!found, "{} holds a secret", path.display());
        }
    }
    for (table, text) in
        [("objects", "body"), ("changes", "body || COALESCE(previous, '')"), ("audit", "name || detail")]
    {
        let rows = api.db.fetch(format!("SELECT {text} FROM {table}"), vec![]).await.unwrap();
        assert!(!rows.is_empty());
        for row in rows {
            let row = row.text(0).unwrap();
            assert!(needles.iter().all(|needle| !row.contains(needle.as_str())), "{table} holds a secret: {row}");
        }
    }
    if let Some(database) = store.database() {
        assert!(database.query("SELECT count(*) FROM objects").parse::<i64>().unwrap() > 0);
    }
}

pub(crate) async fn secrets_survive_a_restart(store: Store) {
    let api = store.start().await;
    let secret = json!({"metadata": {"name": "a", "annotations": {"n": "m"}}, "stringData": {"k": PLAIN}});
    let created = api.post(SECRETS, &secret).await.is(201);
    let bare = api.post(SECRETS, &json!({"metadata": {"name": "b"}})).await.is(201);
    api.stop().await;
    let api = store.open().await;
    assert_eq!(api.get(&format!("{SECRETS}/a")).await.is(200), created);
    assert_eq!(api.get(SECRETS).await.is(200)["items"], json!([created, bare]));
    let start = api.watch(SECRETS, "resourceVersion=1").await.next().await.unwrap();
    assert_eq!(start, json!({"type": "ADDED", "object": created}));
    api.stop().await;
    // With another key they stay closed, and only they.
    std::fs::remove_file(store.directory().join("secrets.key")).unwrap();
    let api = store.open().await;
    let refused = api.get(&format!("{SECRETS}/a")).await;
    assert_eq!(refused.refused(500, "InternalError"), "internal error");
    api.config_map("a", &json!({})).await;
}
