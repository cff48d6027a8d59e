//! What is checked, filled in and warned about.

use axum::http::Method;
use serde_json::{Value, json};

use crate::rig::{CONFIG_MAPS, Store, cm};

pub(crate) async fn unknown_and_repeated_fields(store: Store) {
    let api = store.start().await;
    let body = br#"{"metadata": {"name": "a", "color": "red"}, "data": {"k": "1", "k": "2"}, "gizmo": {}}"#;
    let send = async |query: &str| {
        let path = format!("{CONFIG_MAPS}?fieldValidation={query}");
        api.send(Method::POST, &path, &[("content-type", "application/json")], body.to_vec()).await
    };
    let before = api.revision();
    let message = send("Strict").await.refused(400, "BadRequest");
    for part in [
        "strict decoding error",
        "duplicate field \"data.k\"",
        "unknown field \"gizmo\"",
        "unknown field \"metadata.color\"",
    ] {
        assert!(message.contains(part), "{message}");
    }
    send("Sometimes").await.refused(400, "BadRequest");
    assert_eq!(api.revision(), before);

    for (query, warnings) in [("Warn", 3), ("", 3), ("Ignore", 0)] {
        let answer = send(query).await;
        let created = answer.is(201);
        assert_eq!((&created["data"], &created["gizmo"]), (&json!({"k": "2"}), &Value::Null));
        assert_eq!(created["metadata"]["color"], Value::Null);
        assert_eq!(answer.warnings().len(), warnings, "{query}: {:?}", answer.warnings());
        assert!(answer.warnings().iter().all(|warning| warning.starts_with("299 - \"")));
        api.delete(&cm("a")).await.is(200);
    }

    api.config_map("a", &json!({})).await;
    for kind in ["merge", "strategic-merge"] {
        let path = format!("{}?fieldValidation=Strict", cm("a"));
        let refused = api.patch(&path, kind, &json!({"gizmo": 1})).await;
        assert!(refused.refused(400, "BadRequest").contains("unknown field \"gizmo\""));
        let repeated = br#"{"data": {"k": "1", "k": "2"}}"#.to_vec();
        let content_type = format!("application/{kind}-patch+json");
        let refused = api.send(Method::PATCH, &path, &[("content-type", &content_type)], repeated).await;
        assert!(refused.refused(400, "BadRequest").contains("duplicate field \"data.k\""));
    }
    let yaml = b"metadata: {name: y}\ndata: {k: a, k: b}\n".to_vec();
    let path = format!("{CONFIG_MAPS}?fieldValidation=Strict");
    let refused = api.send(Method::POST, &path, &[("content-type", "application/yaml")], yaml).await;
    assert!(refused.refused(400, "BadRequest").contains("data.k"));
}

/// Clients read a limited number of headers of limited size.
pub(crate) async fn warnings_are_few(store: Store) {
    let api = store.start().await;
    let mut object = json!({"metadata": {"name": "a"}});
    for number in 0..300 {
        object[format!("{}{number}", "ä\n\"x".repeat(50))] = 1.into();
    }
    let answer = api.post(CONFIG_MAPS, &object).await;
    answer.is(201);
    let warnings = answer.headers.get_all("warning");
    let (count, bytes) = warnings.iter().fold((0, 0), |(count, bytes), value| (count + 1, bytes + value.len()));
    assert!((1..=50).contains(&count) && bytes < 8192, "{count} warnings of {bytes} bytes");
}

pub(crate) async fn rules_of_metadata_and_kinds(store: Store) {
    let api = store.start().await;
    let before = api.revision();
    let ns = |plural: &str| format!("/api/v1/namespaces/ns/{plural}");
    let services = "/apis/networking.istio.io/v1/namespaces/ns/virtualservices";
    for (path, object, part) in [
        (ns("configmaps"), json!({"metadata": {"name": "A"}}), "metadata.name: Invalid value: \"A\""),
        (ns("configmaps"), json!({"metadata": {"name": "a".repeat(254)}}), "metadata.name: Invalid value"),
        (ns("configmaps"), json!({"metadata": {"name": 5}}), "metadata.name"),
        (ns("configmaps"), json!({"metadata": {"name": "a", "labels": {"-": "x"}}}), "metadata.labels"),
        (ns("configmaps"), json!({"metadata": {"name": "a", "labels": {"a": "x".repeat(64)}}}), "metadata.labels"),
        (ns("configmaps"), json!({"metadata": {"name": "a", "labels": {"a": 1}}}), "metadata.labels"),
        (ns("configmaps"), json!({"metadata": {"name": "a", "finalizers": ["x y"]}}), "metadata.finalizers"),
        (ns("configmaps"), json!({"metadata": {"name": "a", "finalizers": ["orphan", "foregroundDeletion"]}}), "both"),
        (ns("configmaps"), json!({"metadata": {"name": "a", "ownerReferences": [{}]}}), "metadata.ownerReferences"),
        (ns("configmaps"), json!({"metadata": {"name": "a", "annotations": {"x": "y".repeat(1 << 18)}}}), "Too long"),
        (ns("configmaps"), json!({"metadata": {"name": "a"}, "data": {"a/b": "c"}}), "a valid config key"),
        (ns("configmaps"), json!({"metadata": {"name": "a"}, "data": {"k": {"no": "text"}}}), "data"),
        (ns("configmaps"), json!({"metadata": {"name": "a"}, "binaryData": {"k": "%"}}), "binaryData"),
        (ns("configmaps"), json!({"metadata": {"name": "a"}, "data": {"k": "x".repeat((1 << 20) + 1)}}), "1048576"),
        ("/api/v1/namespaces".to_owned(), json!({"metadata": {"name": "a.b"}}), "metadata.name"),
        (services.to_owned(), json!({"metadata": {"name": "a"}, "spec": {}}), "spec.hosts"),
        (services.to_owned(), json!({"metadata": {"name": "a"}, "spec": {"hosts": "h"}}), "spec.hosts"),
        (ns("resourcequotas"), json!({"metadata": {"name": "a"}, "spec": {"hard": {"cpu": "lots"}}}), "lots"),
    ] {
        let answer = api.post(&path, &object).await;
        let message = answer.refused(422, "Invalid");
        assert!(message.contains(part), "{message}");
        let causes = answer.json()["details"]["causes"].as_array().unwrap().clone();
        assert!(causes.iter().all(|cause| cause["reason"].as_str().unwrap().starts_with("FieldValue")));
    }
    assert_eq!(api.revision(), before);

    // Immutable once said so.
    let object = json!({"metadata": {"name": "a"}, "data": {"k": "v"}, "immutable": true});
    api.post(CONFIG_MAPS, &object).await.is(201);
    api.merge(&cm("a"), &json!({"data": {"k": "w"}})).await.refused(422, "Invalid");
    api.merge(&cm("a"), &json!({"immutable": false})).await.refused(422, "Invalid");
    api.merge(&cm("a"), &json!({"metadata": {"labels": {"x": "y"}}})).await.is(200);
}

pub(crate) async fn defaults_are_applied(store: Store) {
    let api = store.start().await;
    let secret = json!({"metadata": {"name": "a"}, "stringData": {"k": "v"}});
    let secret = api.post("/api/v1/namespaces/ns/secrets", &secret).await.is(201);
    assert_eq!(
        (&secret["type"], &secret["data"], &secret["stringData"]),
        (&json!("Opaque"), &json!({"k": "dg=="}), &Value::Null)
    );
    let namespace = api.get("/api/v1/namespaces/ns").await.is(200);
    assert_eq!(namespace["spec"]["finalizers"], json!(["kubernetes"]));
    assert_eq!(namespace["status"]["phase"], "Active");
    assert_eq!(namespace["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "ns"}));
    // The label that selectors of namespaces rely on can't be changed.
    let patch = json!({"metadata": {"labels": null}, "spec": {"finalizers": null}, "status": {"phase": "Gone"}});
    assert_eq!(api.merge("/api/v1/namespaces/ns", &patch).await.is(200), namespace);
}
