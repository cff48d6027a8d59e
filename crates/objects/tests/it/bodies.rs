//! Bodies that no good client sends.

use axum::http::Method;
use serde_json::json;

use crate::rig::{CONFIG_MAPS, MAX_BODY, Store, cm};

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";

pub(crate) async fn hostile_bodies_change_nothing(store: Store) {
    let api = store.start().await;
    api.config_map("a", &json!({})).await;
    let before = api.revision();
    let deep = |open: &str, close: &str, levels: usize| {
        format!("{{\"metadata\":{{\"name\":\"x\"}},\"data\":{}1{}}}", open.repeat(levels), close.repeat(levels))
    };
    let laughs = {
        let mut text = "metadata: {name: x}\na0: &a0 [lol, lol]\n".to_owned();
        for level in 1..30 {
            let below = format!("*a{}", level - 1);
            text.push_str(&format!("a{level}: &a{level} [{below}, {below}, {below}, {below}]\n"));
        }
        text
    };
    let bodies: Vec<(&str, Vec<u8>, u16)> = vec![
        (JSON, vec![], 400),
        (JSON, b" ".to_vec(), 400),
        (JSON, b"{".to_vec(), 400),
        (JSON, b"[]".to_vec(), 400),
        (JSON, b"null".to_vec(), 400),
        (JSON, b"{} {}".to_vec(), 400),
        (JSON, b"{\"metadata\":{\"name\":\"\xff\"}}".to_vec(), 400),
        (JSON, b"{\"metadata\":{\"name\":\"\\ud800\"}}".to_vec(), 400),
        (JSON, b"{\"metadata\":{\"name\":\"x\"},\"data\":{\"k\":1e999}}".to_vec(), 400),
        (JSON, deep("[", "]", 100_000).into_bytes(), 400),
        (JSON, deep("{\"a\":", "}", 100_000).into_bytes(), 400),
        (JSON, deep("[", "]", 120).into_bytes(), 400),
        (YAML, laughs.into_bytes(), 400),
        (YAML, b"metadata: {name: x\n".to_vec(), 400),
        (YAML, b"a: &a [*a]\n".to_vec(), 400),
        (YAML, b"\xff\xfe".to_vec(), 400),
        (YAML, b"kind: ConfigMap\n---\nkind: ConfigMap\n".to_vec(), 400),
        (YAML, "[".repeat(100_000).into_bytes(), 400),
        ("application/vnd.kubernetes.protobuf", b"k8s\0\xff\xff\xff".to_vec(), 400),
        ("application/vnd.kubernetes.protobuf", b"{}".to_vec(), 400),
        ("application/vnd.kubernetes.protobuf", vec![], 400),
        ("text/plain", b"{}".to_vec(), 415),
        ("application/x-www-form-urlencoded", b"a=b".to_vec(), 415),
        ("application/cbor", b"\xa0".to_vec(), 415),
    ];
    for (content_type, body, status) in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        for (method, path) in [(Method::POST, CONFIG_MAPS.to_owned()), (Method::PUT, cm("a"))] {
            let answer = api.send(method, &path, &[("content-type", content_type)], body.clone()).await;
            assert_eq!(answer.status, status, "{content_type} {shown}: {}", answer.text());
            assert_eq!(answer.json()["kind"], "Status");
        }
    }
    for kind in ["merge", "json", "strategic-merge"] {
        for body in [vec![], b"{".to_vec(), deep("[", "]", 100_000).into_bytes(), b"\xff".to_vec()] {
            let content_type = format!("application/{kind}-patch+json");
            let answer = api.send(Method::PATCH, &cm("a"), &[("content-type", &content_type)], body).await;
            assert_eq!(answer.status, 400, "{kind}: {}", answer.text());
        }
    }
    for body in [b"{".to_vec(), b"\xff".to_vec(), deep("[", "]", 100_000).into_bytes()] {
        let answer = api.send(Method::DELETE, &cm("a"), &[("content-type", JSON)], body).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    assert_eq!(api.revision(), before);
}

pub(crate) async fn large_bodies_are_refused(store: Store) {
    let api = store.start().await;
    api.config_map("a", &json!({})).await;
    let before = api.revision();
    let sized = |size: usize| {
        let frame = r#"{"metadata":{"name":"a"},"data":{"k":""}}"#.len();
        format!(r#"{{"metadata":{{"name":"a"}},"data":{{"k":"{}"}}}}"#, "x".repeat(size - frame)).into_bytes()
    };
    for (method, path, content_type) in [
        (Method::POST, CONFIG_MAPS.to_owned(), JSON),
        (Method::PUT, cm("a"), JSON),
        (Method::PUT, cm("a"), YAML),
        (Method::PATCH, cm("a"), "application/merge-patch+json"),
        (Method::DELETE, cm("a"), JSON),
        (Method::DELETE, CONFIG_MAPS.to_owned(), JSON),
    ] {
        let headers = [("content-type", content_type)];
        let refused = api.send(method.clone(), &path, &headers, sized(MAX_BODY + 1)).await;
        assert_eq!(
            refused.refused(413, "RequestEntityTooLarge"),
            format!("Request entity too large: limit is {MAX_BODY}")
        );
        if method != Method::DELETE {
            // As large as may be, it is read, and the kind's own limit speaks.
            let read = api.send(method, &path, &headers, sized(MAX_BODY)).await;
            assert!(read.refused(422, "Invalid").contains("may not be more than 1048576 bytes"));
        }
    }
    assert_eq!(api.revision(), before);
}

/// Patches add up: what can't be sent at once can't be made piece by piece either.
pub(crate) async fn objects_do_not_grow_without_bound(store: Store) {
    let api = store.start().await;
    let services = "/apis/networking.istio.io/v1/namespaces/ns/virtualservices";
    api.post(services, &json!({"metadata": {"name": "a"}, "spec": {"hosts": ["h"]}})).await.is(201);
    let path = format!("{services}/a");
    let piece = "x".repeat(1 << 20);
    let mut answers = Vec::new();
    for _ in 0..5 {
        let patch = json!([{"op": "add", "path": "/spec/hosts/-", "value": piece}]);
        answers.push(api.patch(&path, "json", &patch).await);
    }
    assert_eq!(answers[0].status, 200);
    answers[4].refused(413, "RequestEntityTooLarge");
    assert!(api.get(&path).await.body.len() <= MAX_BODY + 1024);
}
