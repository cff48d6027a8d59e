//! Discovery and OpenAPI as recorded.

use serde_json::{Value, json};

use crate::rig::{Store, text};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                          application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

pub(crate) async fn documents_are_as_recorded(store: Store) {
    let api = store.start().await;
    let mut documents = serde_json::Map::new();
    for path in [
        "/api",
        "/apis",
        "/api/v1",
        "/apis/networking.istio.io",
        "/apis/networking.istio.io/v1beta1",
        "/apis/coordination.k8s.io/v1",
        "/openapi/v3",
    ] {
        documents.insert(path.to_owned(), api.get(path).await.is(200));
    }
    for path in ["/api", "/apis"] {
        let answer = api.get_as(path, AGGREGATED).await;
        assert_eq!(
            answer.headers["content-type"],
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        );
        documents.insert(format!("{path} aggregated"), answer.is(200));
    }
    insta::with_settings!({prepend_module_to_snapshot => false}, {
        insta::assert_json_snapshot!("discovery", Value::Object(documents.clone()));
    });
    for path in ["/apis/none.example.com", "/apis/none.example.com/v1", "/api/v2", "/openapi/v3/apis/none/v1"] {
        api.get(path).await.refused(404, "NotFound");
    }

    // Of the OpenAPI documents, what clients rely on: every kind that discovery names has operations and a schema.
    let index = documents["/openapi/v3"]["paths"].as_object().unwrap();
    let mut described = serde_json::Map::new();
    for (path, entry) in index {
        let document = api.get(&text(&entry["serverRelativeURL"])).await.is(200);
        assert_eq!(document["openapi"], "3.0.0");
        let operations = document["paths"].as_object().unwrap();
        let resources = api.get(&format!("/{path}")).await.is(200)["resources"].clone();
        for resource in resources.as_array().unwrap().iter().filter(|r| !text(&r["name"]).contains('/')) {
            let plural = text(&resource["name"]);
            assert!(operations.keys().any(|operation| operation.ends_with(&format!("/{plural}"))), "{path} {plural}");
            let schemas = document["components"]["schemas"].as_object().unwrap();
            let version = path.rsplit('/').next().unwrap();
            let schema = schemas.values().find(|schema| {
                let kinds = schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten();
                kinds.into_iter().any(|gvk| gvk["kind"] == resource["kind"] && gvk["version"] == version)
            });
            assert!(schema.is_some(), "{path} {plural} has no schema");
        }
        let create = operations.values().find_map(|path| path.get("post")).unwrap();
        let parameters = create["parameters"].as_array().unwrap();
        assert!(parameters.iter().any(|parameter| parameter["name"] == "fieldValidation"));
        described.insert(path.clone(), json!(operations.keys().collect::<Vec<_>>()));
        dereferences(&document, &document["components"], path);
    }
    insta::with_settings!({prepend_module_to_snapshot => false}, {
        insta::assert_json_snapshot!("openapi-paths", Value::Object(described));
    });
}

/// Every reference leads to a schema of the same document.
fn dereferences(document: &Value, value: &Value, path: &str) {
    match value {
        Value::Object(map) => {
            if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{path}: {reference} leads nowhere");
            }
            map.values().for_each(|value| dereferences(document, value, path));
        }
        Value::Array(list) => list.iter().for_each(|value| dereferences(document, value, path)),
        _ => {}
    }
}
