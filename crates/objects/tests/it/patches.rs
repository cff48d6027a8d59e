//! Patches through the door.

use axum::http::Method;
use serde_json::json;

use crate::rig::{Store, cm, revision_of};

const ACCOUNT: &str = "/api/v1/namespaces/ns/serviceaccounts/a";
const ACCOUNTS: &str = "/api/v1/namespaces/ns/serviceaccounts";
const SERVICES: &str = "/apis/networking.istio.io/v1/namespaces/ns/virtualservices";

pub(crate) async fn json_patches(store: Store) {
    let api = store.start().await;
    api.config_map("a", &json!({})).await;
    let patch = json!([
        {"op": "test", "path": "/data/k", "value": "v"},
        {"op": "replace", "path": "/data/k", "value": "w"},
        {"op": "add", "path": "/metadata/labels", "value": {"app.example.com/x": "1"}},
        {"op": "copy", "from": "/data/k", "path": "/data/l"},
    ]);
    let patched = api.patch(&cm("a"), "json", &patch).await.is(200);
    assert_eq!(patched["data"], json!({"k": "w", "l": "w"}));
    assert_eq!(patched["metadata"]["labels"], json!({"app.example.com/x": "1"}));
    let before = api.revision();
    api.patch(&cm("a"), "json", &patch).await.refused(422, "Invalid");
    let remove = json!([{"op": "remove", "path": "/metadata/labels/app.example.com~1x"}]);
    let patched = api.patch(&cm("a"), "json", &remove).await.is(200);
    assert_eq!((&patched["metadata"]["labels"], api.revision()), (&json!(null), before + 1));
}

pub(crate) async fn merge_patches(store: Store) {
    let api = store.start().await;
    api.config_map("a", &json!({"labels": {"x": "1", "y": "2"}})).await;
    let patch = json!({"metadata": {"labels": {"x": null, "z": "3"}}, "data": {"k": null, "l": "w"}});
    let patched = api.merge(&cm("a"), &patch).await.is(200);
    assert_eq!(patched["metadata"]["labels"], json!({"y": "2", "z": "3"}));
    assert_eq!(patched["data"], json!({"l": "w"}));
    // Istio's kinds take them as well, in every version.
    api.post(SERVICES, &json!({"metadata": {"name": "a"}, "spec": {"hosts": ["h"], "gateways": ["g"]}})).await.is(201);
    let path = "/apis/networking.istio.io/v1alpha3/namespaces/ns/virtualservices/a";
    let patched = api.merge(path, &json!({"spec": {"gateways": null}})).await.is(200);
    assert_eq!(patched["spec"], json!({"hosts": ["h"]}));
    assert_eq!(patched["apiVersion"], "networking.istio.io/v1alpha3");
}

pub(crate) async fn strategic_patches(store: Store) {
    let api = store.start().await;
    let account = json!({"metadata": {"name": "a"}, "secrets": [{"name": "s1"}, {"name": "s2"}]});
    api.post(ACCOUNTS, &account).await.is(201);
    let patch = json!({"secrets": [{"name": "s3"}, {"name": "s1", "$patch": "delete"}]});
    let patched = api.patch(ACCOUNT, "strategic-merge", &patch).await.is(200);
    let names: Vec<&str> =
        patched["secrets"].as_array().unwrap().iter().map(|secret| secret["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"s2") && names.contains(&"s3") && names.len() == 2, "{names:?}");

    // Finalizers merge as a set, owners by their uid.
    api.config_map("a", &json!({"finalizers": ["example.com/one"]})).await;
    let patch = json!({"metadata": {"finalizers": ["example.com/two"]}, "data": {"k": null, "l": "w"}});
    let patched = api.patch(&cm("a"), "strategic-merge", &patch).await.is(200);
    assert_eq!(patched["data"], json!({"l": "w"}));
    assert_eq!(patched["metadata"]["finalizers"].as_array().unwrap().len(), 2);

    api.post(SERVICES, &json!({"metadata": {"name": "a"}, "spec": {"hosts": ["h"]}})).await.is(201);
    let refused = api.patch(&format!("{SERVICES}/a"), "strategic-merge", &json!({"spec": {}})).await;
    refused.refused(415, "UnsupportedMediaType");
}

pub(crate) async fn patches_with_a_revision_are_conditional(store: Store) {
    let api = store.start().await;
    let first = api.config_map("a", &json!({})).await;
    let at = |revision: i64, value: &str| json!({"metadata": {"resourceVersion": revision.to_string()}, "data": {"k": value}});
    let second = api.merge(&cm("a"), &at(revision_of(&first), "w")).await.is(200);
    api.merge(&cm("a"), &at(revision_of(&first), "x")).await.refused(409, "Conflict");
    api.patch(&cm("a"), "strategic-merge", &at(1, "x")).await.refused(409, "Conflict");
    assert_eq!(api.get(&cm("a")).await.is(200), second);
    let other = json!({"metadata": {"uid": "6a0f9a5e-0000-4000-8000-000000000000"}, "data": {"k": "x"}});
    api.merge(&cm("a"), &other).await.refused(409, "Conflict");
}

pub(crate) async fn patches_of_the_status(store: Store) {
    let api = store.start().await;
    let created = api.post(SERVICES, &json!({"metadata": {"name": "a"}, "spec": {"hosts": ["h"]}})).await.is(201);
    let patch = json!({"metadata": {"labels": {"x": "y"}}, "spec": {"hosts": []}, "status": {"observedGeneration": 1}});
    let path = format!("{SERVICES}/a/status");
    let patched = api.merge(&path, &patch).await.is(200);
    assert_eq!(patched["spec"], created["spec"]);
    assert_eq!(patched["status"], json!({"observedGeneration": 1}));
    assert_eq!(patched["metadata"]["labels"], json!(null));
    let patched = api.merge(&format!("{SERVICES}/a"), &json!({"status": null})).await.is(200);
    assert_eq!(patched["status"], json!({"observedGeneration": 1}));
    let patch = json!([{"op": "remove", "path": "/status"}]);
    assert_eq!(api.patch(&path, "json", &patch).await.is(200)["status"], json!(null));
}

pub(crate) async fn wrong_patches_are_refused(store: Store) {
    let api = store.start().await;
    api.config_map("a", &json!({})).await;
    let before = api.revision();
    for (kind, patch, status) in [
        ("json", json!({"op": "remove"}), 400),
        ("json", json!([{"op": "dance", "path": "/data"}]), 400),
        ("json", json!([{"op": "remove", "path": "/data/none"}]), 422),
        ("json", json!([{"op": "replace", "path": "", "value": []}]), 400),
        ("json", json!([{"op": "replace", "path": "/kind", "value": "Secret"}]), 400),
        ("json", json!([{"op": "remove", "path": "/metadata"}]), 400),
        ("merge", json!([]), 400),
        ("merge", json!({"metadata": {"name": "b"}}), 400),
        ("merge", json!({"metadata": {"namespace": "b"}}), 400),
        ("merge", json!({"metadata": null}), 400),
        ("merge", json!({"metadata": {"labels": {"a b": "c"}}}), 422),
        ("merge", json!({"data": {"k": 1}}), 422),
        ("merge", json!({"data": "x"}), 422),
        ("merge", json!({"apiVersion": "v2"}), 400),
        ("strategic-merge", json!({"$patch": "dance"}), 422),
        ("strategic-merge", json!("x"), 400),
    ] {
        let answer = api.patch(&cm("a"), kind, &patch).await;
        assert_eq!(answer.status, status, "{kind} {patch}: {}", answer.text());
    }
    for content_type in ["application/json", "application/apply-patch+yaml", "text/plain", ""] {
        let answer = api.send(Method::PATCH, &cm("a"), &[("content-type", content_type)], b"{}".to_vec()).await;
        answer.refused(415, "UnsupportedMediaType");
    }
    assert_eq!(api.revision(), before);
}
