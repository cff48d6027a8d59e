//! Deleting: preconditions, finalizers, collections.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::rig::{CONFIG_MAPS, Store, cm, revision_of, text, uid_of};

pub(crate) async fn preconditions_are_checked(store: Store) {
    let api = store.start().await;
    let object = api.config_map("a", &json!({})).await;
    let before = api.revision();
    for preconditions in [json!({"uid": "other"}), json!({"resourceVersion": "1"})] {
        let refused = api.delete_with(&cm("a"), &json!({"preconditions": preconditions})).await;
        assert!(refused.refused(409, "Conflict").contains("Precondition failed"));
    }
    assert_eq!(api.revision(), before);
    let both = json!({"uid": uid_of(&object), "resourceVersion": revision_of(&object).to_string()});
    api.delete_with(&cm("a"), &json!({"preconditions": both})).await.is(200);
}

pub(crate) async fn wrong_options_delete_nothing(store: Store) {
    let api = store.start().await;
    let object = api.config_map("a", &json!({})).await;
    for options in [
        json!({"preconditions": {"uid": 5}}),
        json!({"preconditions": "x"}),
        json!({"preconditions": {"resourceVersion": 5}}),
        json!({"propagationPolicy": "Sideways"}),
        json!({"propagationPolicy": 5}),
        json!({"orphanDependents": "yes"}),
        json!({"dryRun": "All"}),
        json!({"dryRun": ["Some"]}),
        json!({"dryRun": [1]}),
        json!({"orphanDependents": true, "propagationPolicy": "Background"}),
        json!({"kind": "ConfigMap", "apiVersion": "v1"}),
        json!([]),
    ] {
        let answer = api.delete_with(&cm("a"), &options).await;
        assert_eq!(answer.status, 400, "{options}: {}", answer.text());
    }
    for query in ["propagationPolicy=Sideways", "dryRun=Some", "orphanDependents=maybe"] {
        let answer = api.delete(&format!("{}?{query}", cm("a"))).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
    }
    assert_eq!(api.get(&cm("a")).await.is(200), object);
    for (kind, api_version) in [("DeleteOptions", "v1"), ("DeleteOptions", "meta.k8s.io/v1")] {
        let options = json!({"kind": kind, "apiVersion": api_version, "dryRun": ["All"], "gracePeriodSeconds": 0});
        api.delete_with(&cm("a"), &options).await.is(200);
    }
}

pub(crate) async fn finalizers_hold_an_object(store: Store) {
    let api = store.start().await;
    let finalizers = json!(["example.com/one", "example.com/two"]);
    let created = api.config_map("a", &json!({"finalizers": finalizers})).await;
    let held = api.delete(&cm("a")).await.is(200);
    assert_eq!((&held["kind"], &held["metadata"]["uid"]), (&json!("ConfigMap"), &created["metadata"]["uid"]));
    assert_eq!(held["metadata"]["finalizers"], finalizers);
    assert_eq!(held["metadata"]["deletionGracePeriodSeconds"], 0);
    text(&held["metadata"]["deletionTimestamp"]);
    assert_eq!(revision_of(&held), revision_of(&created) + 1);

    // Deleting it again changes nothing; it can still be changed otherwise, but not live on or get new finalizers.
    assert_eq!(api.delete(&cm("a")).await.is(200), held);
    let patch = json!({"metadata": {"deletionTimestamp": null, "labels": {"x": "y"}}});
    let changed = api.merge(&cm("a"), &patch).await.is(200);
    assert_eq!(changed["metadata"]["deletionTimestamp"], held["metadata"]["deletionTimestamp"]);
    let patch = json!({"metadata": {"finalizers": ["example.com/one", "example.com/new"]}});
    let refused = api.merge(&cm("a"), &patch).await.refused(422, "Invalid");
    assert!(refused.contains("no new finalizers can be added if the object is being deleted"), "{refused}");
    api.post(CONFIG_MAPS, &json!({"metadata": {"name": "a"}})).await.refused(409, "AlreadyExists");

    let one = json!({"metadata": {"finalizers": ["example.com/two"]}});
    assert_eq!(api.merge(&cm("a"), &one).await.is(200)["metadata"]["finalizers"], json!(["example.com/two"]));
    let mut watch = api.watch(CONFIG_MAPS, &format!("resourceVersion={}", api.revision())).await;
    let last = api.merge(&cm("a"), &json!({"metadata": {"finalizers": null}, "data": {"k": "last"}})).await.is(200);
    assert_eq!((&last["metadata"]["finalizers"], &last["data"]["k"]), (&json!(null), &json!("last")));
    api.get(&cm("a")).await.refused(404, "NotFound");
    let event = watch.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]), (&json!("DELETED"), &last));
    assert_eq!(api.revision(), revision_of(&last));

    // By replacement as well.
    api.config_map("b", &json!({"finalizers": ["example.com/one"]})).await;
    let mut held = api.delete(&cm("b")).await.is(200);
    held["metadata"]["finalizers"] = json!([]);
    api.put(&cm("b"), &held).await.is(200);
    api.get(&cm("b")).await.refused(404, "NotFound");
}

/// What a deletion without a word on dependents does is up to the finalizers that are there.
pub(crate) async fn a_set_finalizer_decides_unless_told_otherwise(store: Store) {
    let api = store.start().await;
    let finalizers = async |path: &str| match api.get(path).await {
        answer if answer.status == 404 => Value::Null,
        answer => answer.is(200)["metadata"]["finalizers"].clone(),
    };
    for (before, options, after) in [
        (json!(["orphan"]), json!({}), json!(["orphan"])),
        (json!(["foregroundDeletion"]), json!({}), json!(["foregroundDeletion"])),
        (json!(["orphan"]), json!({"propagationPolicy": "Foreground"}), json!(["foregroundDeletion"])),
        (json!(["orphan"]), json!({"propagationPolicy": "Background"}), json!(null)),
        (json!(["orphan"]), json!({"orphanDependents": false}), json!(null)),
        (json!([]), json!({"orphanDependents": true}), json!(["orphan"])),
        (json!([]), json!({"propagationPolicy": "Foreground"}), json!(["foregroundDeletion"])),
        (json!(["example.com/x"]), json!({"propagationPolicy": "Orphan"}), json!(["example.com/x", "orphan"])),
    ] {
        api.config_map("a", &json!({"finalizers": before})).await;
        api.delete_with(&cm("a"), &options).await.is(200);
        assert_eq!(finalizers(&cm("a")).await, after, "{before} {options}");
        if !after.is_null() {
            api.merge(&cm("a"), &json!({"metadata": {"finalizers": null}})).await.is(200);
        }
    }
    // A second deletion may change its mind.
    api.config_map("a", &json!({})).await;
    api.delete_with(&cm("a"), &json!({"propagationPolicy": "Foreground"})).await.is(200);
    api.delete(&cm("a")).await.is(200);
    assert_eq!(finalizers(&cm("a")).await, json!(["foregroundDeletion"]));
    api.delete_with(&cm("a"), &json!({"propagationPolicy": "Orphan"})).await.is(200);
    assert_eq!(finalizers(&cm("a")).await, json!(["orphan"]));
    api.delete_with(&cm("a"), &json!({"propagationPolicy": "Background"})).await.is(200);
    assert_eq!(finalizers(&cm("a")).await, json!(null));
}

pub(crate) async fn collections_are_deleted_by_selectors(store: Store) {
    let api = store.start().await;
    api.namespace("other").await;
    let others = "/api/v1/namespaces/other/configmaps";
    api.post(others, &json!({"metadata": {"name": "a", "labels": {"go": "yes"}}})).await.is(201);
    for name in ["a", "b", "c", "d", "e"] {
        let finalizers = if name == "c" { json!(["example.com/hold"]) } else { json!([]) };
        let go = if "abc".contains(name) { "yes" } else { "no" };
        api.config_map(name, &json!({"labels": {"go": go}, "finalizers": finalizers})).await;
    }
    let before = api.revision();
    api.delete(&format!("{CONFIG_MAPS}?labelSelector=a%20b")).await.refused(400, "BadRequest");
    api.delete(&format!("{CONFIG_MAPS}?fieldSelector=spec.x=1")).await.refused(400, "BadRequest");
    let dry = api.delete(&format!("{CONFIG_MAPS}?dryRun=All")).await.is(200);
    assert_eq!((dry["items"].as_array().unwrap().len(), api.revision()), (5, before));

    let gone = api.delete(&format!("{CONFIG_MAPS}?labelSelector=go%3Dyes")).await.is(200);
    assert_eq!(gone["kind"], "ConfigMapList");
    let names: Vec<String> =
        gone["items"].as_array().unwrap().iter().map(|item| text(&item["metadata"]["name"])).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(api.names(CONFIG_MAPS).await, ["c", "d", "e"]);
    let held = api.get(&cm("c")).await.is(200);
    assert!(held["metadata"]["deletionTimestamp"].is_string());

    api.delete(&format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3Dd")).await.is(200);
    assert_eq!(api.names(CONFIG_MAPS).await, ["c", "e"]);
    assert_eq!(api.names(others).await, ["a"]);
}

pub(crate) async fn large_collections_are_deleted(store: Store) {
    const MANY: usize = 1200;
    let api = store.start().await;
    let made = join_all((0..MANY).map(|number| {
        let labels = json!({"half": (number % 2).to_string()});
        let object = json!({"metadata": {"name": format!("o{number}"), "labels": labels}});
        let api = &api;
        async move { api.post(CONFIG_MAPS, &object).await.status }
    }));
    assert_eq!(made.await, [201; MANY]);
    let gone = api.delete(&format!("{CONFIG_MAPS}?labelSelector=half%3D1")).await.is(200);
    assert_eq!(gone["items"].as_array().unwrap().len(), MANY / 2);
    assert_eq!(api.names(CONFIG_MAPS).await.len(), MANY / 2);
    let gone = api.delete(CONFIG_MAPS).await.is(200);
    assert_eq!(gone["items"].as_array().unwrap().len(), MANY / 2);
    assert!(api.names(CONFIG_MAPS).await.is_empty());
}

/// However often, and by how many at once, an object is deleted or let go: its counter moves once.
pub(crate) async fn a_held_object_is_counted_once(store: Store) {
    let api = store.start().await;
    for round in 0..5 {
        api.config_map("a", &json!({"finalizers": ["example.com/hold"]})).await;
        let deletions = (0..8).map(|_| async { api.delete(&cm("a")).await.status });
        assert_eq!(join_all(deletions).await, [200; 8]);
        assert_eq!(crate::quotas::counter(&api, "count/configmaps").await, 1, "round {round}");
        let releases =
            (0..8).map(|_| async { api.merge(&cm("a"), &json!({"metadata": {"finalizers": null}})).await.status });
        let releases = join_all(releases).await;
        assert!(releases.contains(&200) && releases.iter().all(|status| [200, 404].contains(status)), "{releases:?}");
        assert_eq!(crate::quotas::counter(&api, "count/configmaps").await, 0, "round {round}");
    }
}
