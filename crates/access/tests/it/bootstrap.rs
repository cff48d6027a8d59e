//! What every server has.

use std::time::Instant;

use serde_json::{Value, json};

use crate::world::{RBAC, World, on_both_databases};

on_both_databases!(a_second_start_writes_nothing, what_was_taken_away_comes_back, others_bring_their_own);

async fn a_second_start_writes_nothing(world: World) {
    for namespace in ["default", "kube-system"] {
        world.admin("GET", &format!("/api/v1/namespaces/{namespace}"), Value::Null).await.expect(200);
    }
    let before = (world.db.feed().revision(), world.audit("limit=999").await.len());
    let world = world.restart().await;
    let started = Instant::now();
    world.access.bootstrap(&world.objects, vec![]).await.unwrap();
    assert!(started.elapsed().as_millis() < 1000, "{:?}", started.elapsed());
    assert_eq!((world.db.feed().revision(), world.audit("limit=999").await.len()), before);
}

async fn what_was_taken_away_comes_back(world: World) {
    let path = |kind: &str, name: &str| format!("{RBAC}/{kind}/{name}");
    let discovery = path("clusterroles", "system:discovery");
    let whole = world.admin("GET", &discovery, Value::Null).await.expect(200);
    let extra = json!({"apiGroups": [""], "resources": ["x"], "verbs": ["get"]});
    world.admin("PATCH", &discovery, json!({"rules": [extra]})).await.expect(200);
    let mine = json!({"metadata": {"annotations": {"rbac.authorization.kubernetes.io/autoupdate": "false"}}, "subjects": null});
    world.admin("PATCH", &path("clusterrolebindings", "system:basic-user"), mine).await.expect(200);
    world.admin("DELETE", &path("clusterrolebindings", "system:discovery"), Value::Null).await.expect(200);
    let moved = path("clusterrolebindings", "mcplane:role:viewer");
    let mut binding = world.admin("GET", &moved, Value::Null).await.expect(200);
    world.admin("DELETE", &moved, Value::Null).await.expect(200);
    binding["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    binding["roleRef"]["name"] = "cluster-admin".into();
    world.create(&format!("{RBAC}/clusterrolebindings"), binding).await;

    let world = world.restart().await;
    let repaired = world.admin("GET", &discovery, Value::Null).await.expect(200);
    assert_eq!(repaired["rules"][0], extra);
    assert_eq!(repaired["rules"].as_array().unwrap().len(), 1 + count(&whole["rules"][0]["nonResourceURLs"]));
    let kept = world.admin("GET", &path("clusterrolebindings", "system:basic-user"), Value::Null).await.expect(200);
    assert!(kept["subjects"].is_null());
    world.admin("GET", &path("clusterrolebindings", "system:discovery"), Value::Null).await.expect(200);
    let back = world.admin("GET", &moved, Value::Null).await.expect(200);
    assert_eq!(back["roleRef"]["name"], "view");
}

fn count(list: &Value) -> usize {
    list.as_array().unwrap().len()
}

async fn others_bring_their_own(world: World) {
    let label = json!({"rbac.authorization.k8s.io/aggregate-to-view": "true"});
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "more:view", "labels": label},
        "rules": [{"apiGroups": ["more.example"], "resources": ["things"], "verbs": ["get"]}]});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "kube-system"}});
    let sparse = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "more", "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}},
        "roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [{"kind": "User", "name": "tom"}]});
    let own = vec![role, map, sparse];
    world.access.bootstrap(&world.objects, own.clone()).await.unwrap();
    let revision = world.db.feed().revision();
    world.access.bootstrap(&world.objects, own).await.unwrap();
    assert_eq!(world.db.feed().revision(), revision);
    world.admin("GET", "/api/v1/namespaces/kube-system/configmaps/c", Value::Null).await.expect(200);
    let viewer = world.token_of("vic", "viewer").await;
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec":
        {"resourceAttributes": {"verb": "get", "group": "more.example", "resource": "things", "namespace": "any"}}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let answer = world.call(Some(&viewer), "POST", path, review).await.expect(201);
    assert_eq!(answer["status"]["allowed"], true);
    let unknown = json!({"apiVersion": "v1", "kind": "Unknown", "metadata": {"name": "x"}});
    assert!(world.access.bootstrap(&world.objects, vec![unknown]).await.is_err());
}
