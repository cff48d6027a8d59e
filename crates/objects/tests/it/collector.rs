//! The garbage collector, with kube-rs through the door.

use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::{Api, CONFIG_MAPS, Store, cm, uid_of};

const SECRETS: &str = "/api/v1/namespaces/ns/secrets";
const ACCOUNTS: &str = "/api/v1/namespaces/ns/serviceaccounts";

/// A reference to `owner`.
fn owned_by(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": uid_of(owner), "blockOwnerDeletion": true,
    })
}

async fn create(api: &Api, collection: &str, name: &str, owners: &[&Value], finalizers: &[&str]) -> Value {
    let owners: Vec<Value> = owners.iter().map(|owner| owned_by(owner)).collect();
    let object = json!({"metadata": {"name": name, "ownerReferences": owners, "finalizers": finalizers}});
    api.post(collection, &object).await.is(201)
}

/// Root, branch and leaf, each of another kind.
async fn chain(api: &Api, name: &str, held: &[&str]) -> [String; 3] {
    let root = create(api, CONFIG_MAPS, name, &[], &[]).await;
    let branch = create(api, SECRETS, name, &[&root], &[]).await;
    create(api, ACCOUNTS, name, &[&branch], held).await;
    [CONFIG_MAPS, SECRETS, ACCOUNTS].map(|collection| format!("{collection}/{name}"))
}

/// What the collector does not do can only be shown by giving it time.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

async fn release(api: &Api, path: &str) {
    api.merge(path, &json!({"metadata": {"finalizers": null}})).await.is(200);
}

pub(crate) async fn background_collects_three_levels(store: Store) {
    let api = store.run().await;
    let [root, branch, leaf] = chain(&api, "a", &[]).await;
    create(&api, SECRETS, "bystander", &[], &[]).await;
    api.delete_with(&root, &json!({"propagationPolicy": "Background"})).await.is(200);
    api.get(&root).await.refused(404, "NotFound");
    api.gone(&branch).await;
    api.gone(&leaf).await;
    api.get(&format!("{SECRETS}/bystander")).await.is(200);
    api.stop().await;
}

pub(crate) async fn foreground_collects_dependents_first(store: Store) {
    let api = store.run().await;
    let [root, branch, leaf] = chain(&api, "a", &["example.com/hold"]).await;
    let waiting = api.delete_with(&root, &json!({"propagationPolicy": "Foreground"})).await.is(200);
    assert_eq!(waiting["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    // The leaf is held, so everybody above waits.
    api.eventually(&leaf, |answer| answer.json()["metadata"]["deletionTimestamp"].is_string()).await;
    settle().await;
    for path in [&branch, &root] {
        assert_eq!(api.get(path).await.is(200)["metadata"]["finalizers"], json!(["foregroundDeletion"]), "{path}");
    }
    let from = api.revision();
    release(&api, &leaf).await;
    api.gone(&root).await;
    let mut order = Vec::new();
    for collection in [ACCOUNTS, SECRETS, CONFIG_MAPS] {
        let mut watch = api.watch(collection, &format!("resourceVersion={from}")).await;
        loop {
            let event = watch.next().await.unwrap();
            if event["type"] == "DELETED" && event["object"]["metadata"]["name"] == "a" {
                order.push(crate::rig::revision_of(&event["object"]));
                break;
            }
        }
    }
    assert!(order.is_sorted(), "leaf, branch, root: {order:?}");

    // A dependent that does not block is no reason to wait.
    let root = create(&api, CONFIG_MAPS, "b", &[], &[]).await;
    let mut reference = owned_by(&root);
    reference["blockOwnerDeletion"] = false.into();
    let lazy = json!({"metadata": {"name": "b", "ownerReferences": [reference], "finalizers": ["example.com/hold"]}});
    api.post(SECRETS, &lazy).await.is(201);
    api.delete_with(&cm("b"), &json!({"propagationPolicy": "Foreground"})).await.is(200);
    api.gone(&cm("b")).await;
    let lazy = format!("{SECRETS}/b");
    api.eventually(&lazy, |answer| answer.json()["metadata"]["deletionTimestamp"].is_string()).await;
    release(&api, &lazy).await;
    api.gone(&lazy).await;
    api.stop().await;
}

pub(crate) async fn orphans_stay(store: Store) {
    let api = store.run().await;
    let [root, branch, leaf] = chain(&api, "a", &[]).await;
    api.delete_with(&root, &json!({"propagationPolicy": "Orphan"})).await.is(200);
    api.gone(&root).await;
    settle().await;
    assert_eq!(api.get(&branch).await.is(200)["metadata"]["ownerReferences"], Value::Null);
    assert_eq!(api.get(&leaf).await.is(200)["metadata"]["ownerReferences"].as_array().unwrap().len(), 1);
    api.stop().await;
}

pub(crate) async fn two_owners(store: Store) {
    let api = store.run().await;
    let one = create(&api, CONFIG_MAPS, "one", &[], &[]).await;
    let two = create(&api, CONFIG_MAPS, "two", &[], &[]).await;
    let both = create(&api, SECRETS, "both", &[&one, &two], &[]).await;
    let path = format!("{SECRETS}/both");
    api.delete(&cm("one")).await.is(200);
    // It loses the owner that went and stays for the other.
    let kept = api
        .eventually(&path, |answer| answer.json()["metadata"]["ownerReferences"].as_array().unwrap().len() == 1)
        .await
        .json();
    assert_eq!(kept["metadata"]["ownerReferences"], json!([owned_by(&two)]));
    assert_eq!(uid_of(&kept), uid_of(&both));
    api.delete(&cm("two")).await.is(200);
    api.gone(&path).await;
    api.stop().await;
}

pub(crate) async fn dangling_and_cluster_owners(store: Store) {
    let api = store.run().await;
    let gone = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "gone", "uid": "6a0f9a5e-0000-4000-8000-000000000000"},
    });
    // Another object of the owner's name is not the owner.
    create(&api, CONFIG_MAPS, "gone", &[], &[]).await;
    create(&api, SECRETS, "dangling", &[&gone], &[]).await;
    api.gone(&format!("{SECRETS}/dangling")).await;

    // An owner of a kind that nobody serves can't be shown to be gone.
    let mut foreign = gone.clone();
    foreign["kind"] = "Gizmo".into();
    create(&api, SECRETS, "foreign", &[&foreign], &[]).await;

    api.namespace("owner").await;
    let owner = api.get("/api/v1/namespaces/owner").await.is(200);
    create(&api, SECRETS, "of-cluster", &[&owner], &[]).await;
    settle().await;
    api.get(&format!("{SECRETS}/of-cluster")).await.is(200);
    api.delete("/api/v1/namespaces/owner").await.is(200);
    api.gone("/api/v1/namespaces/owner").await;
    api.gone(&format!("{SECRETS}/of-cluster")).await;
    api.get(&format!("{SECRETS}/foreign")).await.is(200);
    api.stop().await;
}

/// Whoever takes a dependent out of its owner's hands before the owner goes, keeps it, however late the collector hears.
pub(crate) async fn a_freed_dependent_is_never_collected(store: Store) {
    let api = store.run().await;
    for number in 0..40 {
        let name = format!("o{number}");
        let owner = create(&api, CONFIG_MAPS, &name, &[], &[]).await;
        create(&api, SECRETS, &name, &[&owner], &[]).await;
        let free = json!({"metadata": {"ownerReferences": null}});
        api.merge(&format!("{SECRETS}/{name}"), &free).await.is(200);
        api.delete(&cm(&name)).await.is(200);
    }
    settle().await;
    assert_eq!(api.names(SECRETS).await.len(), 40);
    api.stop().await;
}

/// A server that is told to stop as soon as it has started stops.
pub(crate) async fn controllers_stop_whenever_they_are_told(store: Store) {
    for milliseconds in [0, 1, 3, 10, 30, 100] {
        let api = store.run().await;
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        api.stop().await;
    }
}

/// Deletions that began before a restart are finished after it, in the same order.
pub(crate) async fn a_restart_in_the_middle(store: Store) {
    let api = store.run().await;
    let held = &["example.com/hold"];
    let background = chain(&api, "background", held).await;
    let foreground = chain(&api, "foreground", held).await;
    api.delete(&background[0]).await.is(200);
    api.delete_with(&foreground[0], &json!({"propagationPolicy": "Foreground"})).await.is(200);
    // One that goes while no collector runs.
    api.stop().await;
    let api = store.open().await;
    let late = chain(&api, "late", &[]).await;
    api.delete(&late[0]).await.is(200);
    let many = create(&api, CONFIG_MAPS, "many", &[], &[]).await;
    for number in 0..50 {
        create(&api, SECRETS, &format!("many-{number}"), &[&many], &[]).await;
    }
    api.delete_with(&cm("many"), &json!({"propagationPolicy": "Foreground"})).await.is(200);
    let from = api.revision();
    api.run_controllers();
    api.gone(&late[2]).await;
    for path in [&background[2], &foreground[2]] {
        api.eventually(path, |answer| answer.json()["metadata"]["deletionTimestamp"].is_string()).await;
    }
    api.gone(&background[1]).await;
    settle().await;
    for path in &foreground {
        api.get(path).await.is(200);
    }
    release(&api, &background[2]).await;
    release(&api, &foreground[2]).await;
    for path in background.iter().chain(&foreground).chain([&cm("many")]) {
        api.gone(path).await;
    }
    // The owner of many went last.
    let mut watch =
        api.watch("/api/v1/configmaps", &format!("resourceVersion={from}&fieldSelector=metadata.name%3Dmany")).await;
    let went = loop {
        let event = watch.next().await.unwrap();
        if event["type"] == "DELETED" {
            break crate::rig::revision_of(&event["object"]);
        }
    };
    let before = format!("{SECRETS}?resourceVersion={}&resourceVersionMatch=Exact", went - 1);
    assert!(api.names(&before).await.iter().all(|name| !name.starts_with("many-")));
    api.stop().await;
}
