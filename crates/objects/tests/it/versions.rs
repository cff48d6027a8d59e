//! Served versions, and the protobuf of kubectl's typed commands.

use axum::http::Method;
use serde_json::{Value, json};

use crate::rig::{Store, revision_of};

fn services(version: &str) -> String {
    format!("/apis/networking.istio.io/{version}/namespaces/ns/virtualservices")
}

pub(crate) async fn one_shape_in_every_version(store: Store) {
    const VERSIONS: [&str; 3] = ["v1", "v1beta1", "v1alpha3"];
    let api = store.start().await;
    let from = format!("resourceVersion={}", api.revision());
    let mut watches = Vec::new();
    for version in VERSIONS {
        watches.push(api.watch(&services(version), &from).await);
    }
    let object = json!({
        "apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService", "metadata": {"name": "a"},
        "spec": {"hosts": ["h"], "http": [{"route": [{"destination": {"host": "h"}}]}]},
    });
    let created = api.post(&services("v1beta1"), &object).await.is(201);
    assert_eq!(created["apiVersion"], "networking.istio.io/v1beta1");
    for (version, watch) in VERSIONS.iter().zip(&mut watches) {
        let mut expected = created.clone();
        expected["apiVersion"] = format!("networking.istio.io/{version}").into();
        assert_eq!(api.get(&format!("{}/a", services(version))).await.is(200), expected);
        let list = api.get(&services(version)).await.is(200);
        assert_eq!((&list["apiVersion"], &list["items"][0]), (&expected["apiVersion"], &expected));
        assert_eq!(watch.next().await.unwrap(), json!({"type": "ADDED", "object": expected}));
    }
    // What was read in one version is written in another; a body of another version than the path is refused.
    let mut next = api.get(&format!("{}/a", services("v1alpha3"))).await.is(200);
    next["spec"]["hosts"] = json!(["i"]);
    api.put(&format!("{}/a", services("v1")), &next).await.refused(400, "BadRequest");
    let updated = api.put(&format!("{}/a", services("v1alpha3")), &next).await.is(200);
    assert_eq!(updated["metadata"]["generation"], 2);
    api.delete(&format!("{}/a", services("v1"))).await.is(200);
    for (version, watch) in VERSIONS.iter().zip(&mut watches) {
        for kind in ["MODIFIED", "DELETED"] {
            let event = watch.next().await.unwrap();
            assert_eq!((event["type"].as_str(), &event["object"]["spec"]["hosts"]), (Some(kind), &json!(["i"])));
            assert_eq!(event["object"]["apiVersion"], format!("networking.istio.io/{version}"));
        }
    }
}

pub(crate) async fn protobuf_is_read(store: Store) {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../apimachinery/tests/fixtures/codec/kubectl");
    let api = store.start().await;
    for (name, collection) in [
        ("namespace", "/api/v1/namespaces"),
        ("configmap", "/api/v1/namespaces/ns/configmaps"),
        ("secret", "/api/v1/namespaces/ns/secrets"),
        ("secret-docker-registry", "/api/v1/namespaces/ns/secrets"),
        ("serviceaccount", "/api/v1/namespaces/ns/serviceaccounts"),
        ("quota", "/api/v1/namespaces/ns/resourcequotas"),
    ] {
        let body = std::fs::read(format!("{fixtures}/{name}.pb")).unwrap();
        let mut sent: Value =
            serde_json::from_slice(&std::fs::read(format!("{fixtures}/{name}.json")).unwrap()).unwrap();
        // The recorded object names the namespace of its recording.
        let namespace = sent["metadata"]["namespace"].as_str().map(str::to_owned);
        let collection = match &namespace {
            Some(namespace) => {
                api.namespace(namespace).await;
                collection.replace("/ns/", &format!("/{namespace}/"))
            }
            None => collection.to_owned(),
        };
        let headers = [("content-type", "application/vnd.kubernetes.protobuf"), ("accept", "application/json")];
        let path = format!("{collection}?fieldValidation=Strict");
        let answer = api.send(Method::POST, &path, &headers, body.clone()).await;
        if name == "quota" {
            // Read as far as its rules: recorded with a scope that its resources do not have.
            assert!(answer.refused(422, "Invalid").contains("unsupported scope applied to resource"));
            continue;
        }
        let created = answer.is(201);
        assert_eq!(revision_of(&created), api.revision());
        sent["metadata"].as_object_mut().unwrap().retain(|_, value| !value.is_null());
        for field in ["data", "type", "metadata"] {
            for (key, value) in sent[field].as_object().into_iter().flatten() {
                assert_eq!(created[field][key], *value, "{name} {field}.{key}");
            }
        }
        let again = api.send(Method::POST, &path, &headers, body).await;
        again.refused(409, "AlreadyExists");
    }
}
