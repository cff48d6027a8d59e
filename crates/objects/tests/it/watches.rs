//! Watches as their clients read them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};

use crate::rig::{CONFIG_MAPS, Store, cm, revision_of, text};

pub(crate) async fn a_watch_follows_a_revision(store: Store) {
    let api = store.start().await;
    let first = api.config_map("a", &json!({})).await;
    let changed = api.merge(&cm("a"), &json!({"data": {"k": "w"}})).await.is(200);
    let mut watch = api.watch(CONFIG_MAPS, &format!("resourceVersion={}", revision_of(&first))).await;
    assert_eq!(watch.next().await.unwrap(), json!({"type": "MODIFIED", "object": changed}));
    let second = api.config_map("b", &json!({})).await;
    assert_eq!(watch.next().await.unwrap(), json!({"type": "ADDED", "object": second}));
    api.delete(&cm("a")).await.is(200);
    let event = watch.next().await.unwrap();
    let mut last = changed.clone();
    last["metadata"]["resourceVersion"] = api.revision().to_string().into();
    assert_eq!(event, json!({"type": "DELETED", "object": last}));
    // From before everything, as one reads it again.
    let mut again = api.watch(CONFIG_MAPS, &format!("resourceVersion={}", revision_of(&first) - 1)).await;
    assert_eq!(again.steps().await, ["ADDED a", "MODIFIED a", "ADDED b", "DELETED a"]);
}

pub(crate) async fn a_watch_without_revision_begins_with_what_is(store: Store) {
    let api = store.start().await;
    let (a, b) = (api.config_map("a", &json!({})).await, api.config_map("b", &json!({})).await);
    for query in ["", "resourceVersion=0"] {
        let mut watch = api.watch(CONFIG_MAPS, query).await;
        assert_eq!(watch.next().await.unwrap(), json!({"type": "ADDED", "object": a}));
        assert_eq!(watch.next().await.unwrap(), json!({"type": "ADDED", "object": b}));
        api.config_map("c", &json!({})).await;
        assert_eq!(watch.steps().await, ["ADDED c"]);
        api.delete(&cm("c")).await.is(200);
        assert_eq!(watch.steps().await, ["DELETED c"]);
    }
}

pub(crate) async fn initial_events_end_with_a_bookmark(store: Store) {
    let api = store.start().await;
    api.config_map("a", &json!({})).await;
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = api.watch(CONFIG_MAPS, query).await;
    assert_eq!(watch.steps().await, ["ADDED a"]);
    let bookmark = watch.next().await.unwrap();
    assert_eq!((&bookmark["type"], &bookmark["object"]["kind"]), (&json!("BOOKMARK"), &json!("ConfigMap")));
    assert_eq!(revision_of(&bookmark["object"]), api.revision());
    assert_eq!(bookmark["object"]["metadata"]["annotations"], json!({"k8s.io/initial-events-end": "true"}));
    api.config_map("b", &json!({})).await;
    assert_eq!(watch.steps().await, ["ADDED b"]);

    let partial = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let mut watch = api.watch_as(CONFIG_MAPS, query, partial).await;
    for kind in ["ADDED", "ADDED", "BOOKMARK"] {
        let event = watch.next().await.unwrap();
        assert_eq!((&event["type"], &event["object"]["kind"]), (&json!(kind), &json!("PartialObjectMetadata")));
        assert_eq!(event["object"]["data"], Value::Null);
    }
    for wrong in [
        "sendInitialEvents=true",
        "sendInitialEvents=true&resourceVersionMatch=Exact&resourceVersion=1",
        "sendInitialEvents=perhaps&resourceVersionMatch=NotOlderThan",
    ] {
        api.get(&format!("{CONFIG_MAPS}?watch=1&{wrong}")).await.refused(400, "BadRequest");
    }
    let future = format!("{CONFIG_MAPS}?watch=1&{query}&resourceVersion={}", api.revision() + 1);
    api.get(&future).await.refused(504, "Timeout");
}

pub(crate) async fn selections_see_objects_come_and_go(store: Store) {
    let api = store.start().await;
    let from = format!("resourceVersion={}", api.revision());
    let mut watch = api.watch(CONFIG_MAPS, &format!("{from}&labelSelector=on%3Dyes")).await;
    let label = |on: &str| json!({"metadata": {"labels": {"on": on}}});
    api.config_map("a", &json!({"labels": {"on": "no"}})).await;
    api.config_map("b", &json!({"labels": {"on": "yes"}})).await;
    let added = api.merge(&cm("a"), &label("yes")).await.is(200);
    api.merge(&cm("a"), &json!({"data": {"k": "w"}})).await.is(200);
    let left = api.merge(&cm("a"), &label("no")).await.is(200);
    api.merge(&cm("a"), &json!({"data": {"k": "x"}})).await.is(200);
    api.delete(&cm("a")).await.is(200);
    api.delete(&cm("b")).await.is(200);
    assert_eq!(watch.steps().await, ["ADDED b"]);
    assert_eq!(watch.next().await.unwrap(), json!({"type": "ADDED", "object": added}));
    assert_eq!(watch.steps().await, ["MODIFIED a"]);
    let event = watch.next().await.unwrap();
    assert_eq!(event["type"], "DELETED");
    // It is told as it last was to this watch, at the revision at which it left.
    assert_eq!(event["object"]["metadata"]["resourceVersion"], left["metadata"]["resourceVersion"]);
    assert_eq!(event["object"]["metadata"]["labels"], json!({"on": "yes"}));
    assert_eq!(watch.steps().await, ["DELETED b"]);

    // An object that leaves by the very change that lets it go.
    let mut watch =
        api.watch("/api/v1/namespaces/ns/secrets", &format!("{from}&fieldSelector=type%3Dexample.com/x")).await;
    let secrets = "/api/v1/namespaces/ns/secrets";
    api.post(secrets, &json!({"metadata": {"name": "plain"}})).await.is(201);
    let special = json!({"metadata": {"name": "s"}, "type": "example.com/x", "stringData": {"k": "v"}});
    let special = api.post(secrets, &special).await.is(201);
    assert_eq!(watch.next().await.unwrap(), json!({"type": "ADDED", "object": special}));
    api.delete(&format!("{secrets}/plain")).await.is(200);
    api.delete(&format!("{secrets}/s")).await.is(200);
    let gone = watch.next().await.unwrap();
    assert_eq!((&gone["type"], &gone["object"]["data"]), (&json!("DELETED"), &json!({"k": "dg=="})));
}

pub(crate) async fn namespaces_and_names_filter(store: Store) {
    let api = store.start().await;
    api.namespace("other").await;
    let from = format!("resourceVersion={}", api.revision());
    let mut own = api.watch(CONFIG_MAPS, &from).await;
    let mut all = api.watch("/api/v1/configmaps", &from).await;
    let mut one = api.watch(CONFIG_MAPS, &format!("{from}&fieldSelector=metadata.name%3Db")).await;
    let mut path = api.watch(&cm("b"), &from).await;
    let mut other = api.watch("/api/v1/configmaps", &format!("{from}&fieldSelector=metadata.namespace%3Dother")).await;
    api.config_map("a", &json!({})).await;
    api.post("/api/v1/namespaces/other/configmaps", &json!({"metadata": {"name": "b"}})).await.is(201);
    api.config_map("b", &json!({"labels": {"ns": "ns"}})).await;
    api.post("/api/v1/namespaces/other/configmaps", &json!({"metadata": {"name": "z"}})).await.is(201);
    assert_eq!(own.steps().await, ["ADDED a", "ADDED b"]);
    assert_eq!(all.steps().await, ["ADDED a", "ADDED b", "ADDED b", "ADDED z"]);
    assert_eq!(other.steps().await, ["ADDED b", "ADDED z"]);
    for watch in [&mut one, &mut path] {
        let event = watch.next().await.unwrap();
        assert_eq!(event["object"]["metadata"]["labels"], json!({"ns": "ns"}));
    }
}

pub(crate) async fn watches_end_in_time(store: Store) {
    let api = store.start().await;
    api.config_map("a", &json!({})).await;
    let started = Instant::now();
    let events = api.watch(CONFIG_MAPS, "timeoutSeconds=1").await.rest().await;
    assert_eq!(events.len(), 1);
    assert!(started.elapsed() >= Duration::from_secs(1) && started.elapsed() < Duration::from_secs(20));

    // However much there is to tell.
    let busy = async {
        loop {
            api.merge(&cm("a"), &json!({"data": {"k": rand::random::<u32>().to_string()}})).await.is(200);
        }
    };
    let watch = async { api.watch(CONFIG_MAPS, "timeoutSeconds=2").await.rest().await };
    tokio::select! {
        () = busy => {}
        events = watch => assert!(events.len() > 1),
    }
    let watch = api.watch(CONFIG_MAPS, "").await;
    api.stop().await;
    watch.rest().await;
}

pub(crate) async fn old_and_future_revisions_are_told(store: Store) {
    let api = store.start().await;
    let old = revision_of(&api.config_map("a", &json!({})).await);
    api.config_map("b", &json!({})).await;
    let now = revision_of(&api.config_map("c", &json!({})).await);
    let mut overtaken = api.watch(CONFIG_MAPS, &format!("resourceVersion={old}")).await;
    assert_eq!(overtaken.steps().await, ["ADDED b", "ADDED c"]);
    api.db.compact_to(now).await.unwrap();
    let events = api.watch(CONFIG_MAPS, &format!("resourceVersion={old}")).await.rest().await;
    assert_eq!(events.len(), 1);
    let status = &events[0]["object"];
    assert_eq!(events[0]["type"], "ERROR");
    assert_eq!(
        (&status["kind"], &status["code"], &status["reason"]),
        (&json!("Status"), &json!(410), &json!("Expired"))
    );
    // Who is up to date needs no past.
    api.config_map("d", &json!({})).await;
    assert_eq!(overtaken.steps().await, ["ADDED d"]);
    let mut current = api.watch(CONFIG_MAPS, &format!("resourceVersion={now}")).await;
    assert_eq!(current.steps().await, ["ADDED d"]);
    let future = api.get(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={}", api.revision() + 1)).await;
    future.refused(504, "Timeout");
}

pub(crate) async fn concurrent_writes_are_seen_once_and_in_order(store: Store) {
    const WRITERS: usize = 16;
    const EACH: usize = 20;
    let api = store.start().await;
    let start = api.revision();
    let from_start = format!("resourceVersion={start}");
    let mut early = api.watch(CONFIG_MAPS, &from_start).await;
    let write = async |writer: usize| {
        let (name, mut acknowledged) = (format!("w{writer}"), Vec::new());
        for number in 0..EACH {
            let revision = match number % 4 {
                0 => revision_of(&api.config_map(&name, &json!({})).await),
                3 => {
                    api.delete(&cm(&name)).await.is(200);
                    continue;
                }
                _ => {
                    let patch = json!({"data": {"n": number.to_string()}});
                    revision_of(&api.merge(&cm(&name), &patch).await.is(200))
                }
            };
            acknowledged.push(revision);
        }
        acknowledged
    };
    // Some begin in the middle: what they list and what they then see make up the whole.
    let joiner = async {
        let mut joined = Vec::new();
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let list = api.get(CONFIG_MAPS).await.is(200);
            joined.push((
                revision_of(&list),
                api.watch(CONFIG_MAPS, &format!("resourceVersion={}", revision_of(&list))).await,
            ));
        }
        joined
    };
    let (acknowledged, joined) = tokio::join!(join_all((0..WRITERS).map(write)), joiner);
    let end = api.revision();
    assert_eq!(end - start, (WRITERS * EACH) as i64);
    let mut seen = Vec::new();
    for _ in 0..WRITERS * EACH {
        let event = early.next().await.unwrap();
        seen.push(revision_of(&event["object"]));
    }
    assert_eq!(seen, (start + 1..=end).collect::<Vec<_>>());
    let acknowledged: BTreeSet<i64> = acknowledged.into_iter().flatten().collect();
    assert!(acknowledged.is_subset(&seen.iter().copied().collect()));
    for (revision, mut watch) in joined {
        for expected in revision + 1..=end {
            assert_eq!(revision_of(&watch.next().await.unwrap()["object"]), expected);
        }
    }
}

/// Who may watch one object by its name sees no other, whatever selector comes with it.
pub(crate) async fn a_name_in_the_path_is_the_only_one(store: Store) {
    let api = store.start().await;
    let secrets = "/api/v1/namespaces/ns/secrets";
    for name in ["mine", "yours"] {
        api.post(secrets, &json!({"metadata": {"name": name}, "type": "example.com/x"})).await.is(201);
    }
    let initial = async |query: &str| -> Vec<String> {
        let events = api.watch(&format!("{secrets}/mine"), &format!("timeoutSeconds=1&{query}")).await.rest().await;
        events.iter().map(|event| text(&event["object"]["metadata"]["name"])).collect()
    };
    assert_eq!(initial("").await, ["mine"]);
    assert!(initial("fieldSelector=metadata.name%3Dyours").await.is_empty());
    assert!(initial("fieldSelector=type%3Dother").await.is_empty());
    let from = api.revision();
    let query = format!("resourceVersion={from}&fieldSelector=metadata.name%3Dmine,type%3Dother");
    let mut none = api.watch(secrets, &format!("{query}&timeoutSeconds=2")).await;
    let query = format!("resourceVersion={from}&fieldSelector=metadata.name%3Dyours&timeoutSeconds=2");
    let mut foreign = api.watch(&format!("{secrets}/mine"), &query).await;
    for name in ["mine", "yours"] {
        api.merge(&format!("{secrets}/{name}"), &json!({"metadata": {"labels": {"x": "y"}}})).await.is(200);
    }
    assert_eq!(none.next().await, None);
    assert_eq!(foreign.next().await, None);
}
