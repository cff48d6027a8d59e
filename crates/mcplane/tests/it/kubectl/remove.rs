use super::{deleted, start};
use mcplane_testkit::{Backend, Kubectl, eventually, on_each_backend};
use serde_json::json;

on_each_backend!(by_name_label_and_file, finalizers, cascades, namespaces_take_their_content);

fn by_name_label_and_file(backend: Backend) {
    let (_server, k) = start(backend);
    for name in ["a", "b", "c", "d"] {
        k.ok(format!("create configmap {name}").as_str());
    }
    k.ok("label cm b c go=now");
    assert_eq!(deleted(&k.ok("delete cm a")), "configmap \"a\" deleted\n");
    assert!(k.err("delete cm a").contains("configmaps \"a\" not found"));
    assert_eq!(k.ok("delete cm a --ignore-not-found"), "");
    assert_eq!(deleted(&k.ok("delete cm -l go=now")), "configmap \"b\" deleted\nconfigmap \"c\" deleted\n");
    let yaml = k.ok("get cm d -o yaml");
    assert_eq!(deleted(&k.feed("delete -f -", &yaml).ok()), "configmap \"d\" deleted\n");
    k.ok("create configmap e");
    k.ok("delete cm --all");
    assert_eq!(k.ok("get cm -o name"), "");
}

/// An object with finalizers is only marked; it goes when the last one is removed.
fn finalizers(backend: Backend) {
    let (_server, k) = start(backend);
    let held = json!({"apiVersion": "v1", "kind": "ConfigMap",
                      "metadata": {"name": "held", "finalizers": ["example.com/backup"]}});
    k.feed("create -f -", &held.to_string()).ok();
    assert_eq!(deleted(&k.ok("delete cm held --wait=false")), "configmap \"held\" deleted\n");
    let marked = k.json("get cm held");
    assert!(marked["metadata"]["deletionTimestamp"].is_string(), "{marked}");
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 0);
    // Nobody may add one now.
    let message = k.err([
        "patch",
        "cm",
        "held",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":["example.com/backup","example.com/new"]}}"#,
    ]);
    assert!(message.contains("no new finalizers can be added if the object is being deleted"), "{message}");
    let gone = k.spawn("wait cm/held --for=delete --timeout=20s");
    k.ok(["patch", "cm", "held", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]);
    assert_eq!(gone.finish(20).0, 0);
    k.err("get cm held");
}

fn family(k: &Kubectl) {
    k.ok("create configmap parent");
    let uid = k.json("get cm parent")["metadata"]["uid"].clone();
    for child in ["one", "two"] {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": child, "ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "parent", "uid": uid, "blockOwnerDeletion": true}]}});
        k.feed("create -f -", &object.to_string()).ok();
    }
}

fn cascades(backend: Backend) {
    let (_server, k) = start(backend);
    let names = || k.ok("get cm -o jsonpath={.items[*].metadata.name}");

    family(&k);
    k.ok("delete cm parent --cascade=background");
    eventually("the children follow", 20, || names().is_empty().then_some(()));

    family(&k);
    k.ok("delete cm parent --cascade=foreground");
    assert_eq!(names(), "", "a foreground deletion ends with the owner, after its dependents");

    family(&k);
    k.ok("delete cm parent --cascade=orphan");
    eventually("the parent is gone", 20, || (names() == "one two").then_some(()));
    assert_eq!(k.json("get cm one")["metadata"].get("ownerReferences"), None, "orphans forget their owner");

    // An owner that never was (another uid) is as good as gone.
    let stray = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stray", "ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "parent", "uid": "00000000-0000-0000-0000-000000000000"}]}});
    k.feed("create -f -", &stray.to_string()).ok();
    eventually("the stray is collected", 20, || (names() == "one two").then_some(()));
}

fn namespaces_take_their_content(backend: Backend) {
    let (_server, k) = start(backend);
    k.ok("create namespace temp");
    k.ok("create configmap c -n temp");
    k.ok("create secret generic s -n temp");
    k.ok("create rolebinding b --clusterrole=view --user=ann -n temp");
    let held = json!({"apiVersion": "v1", "kind": "ConfigMap",
                      "metadata": {"name": "held", "namespace": "temp", "finalizers": ["example.com/backup"]}});
    k.feed("create -f -", &held.to_string()).ok();
    k.ok("delete namespace temp --wait=false");
    eventually("only the held object is left", 20, || {
        (k.ok("get cm,secret -n temp -o name") == "configmap/held\n").then_some(())
    });
    let namespace = k.json("get namespace temp");
    assert_eq!(namespace["status"]["phase"], "Terminating");
    let message = k.err("create configmap new -n temp");
    assert!(message.contains("because it is being terminated"), "{message}");
    k.ok(["patch", "cm", "held", "-n", "temp", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]);
    k.ok("wait namespace/temp --for=delete --timeout=20s");
    k.ok("create namespace temp");
    assert_eq!(k.ok("get cm,secret,rolebinding -n temp -o name"), "", "a namespace of the same name starts empty");
    for name in ["default", "kube-system"] {
        assert!(k.err(format!("delete namespace {name}").as_str()).contains("Forbidden"), "{name} stays");
    }
}
