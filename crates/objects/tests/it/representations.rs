//! Tables, metadata alone, YAML.

use serde_json::{Value, json};

use crate::rig::{CONFIG_MAPS, Store, cm, revision_of};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
const PARTIAL_LIST: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json";

pub(crate) async fn tables(store: Store) {
    let api = store.start().await;
    let created = api.config_map("a", &json!({})).await;
    let table = api.get_as(CONFIG_MAPS, TABLE).await.is(200);
    assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    let columns: Vec<&str> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|column| column["name"].as_str().unwrap()).collect();
    assert_eq!(columns, ["Name", "Data", "Age"]);
    let row = &table["rows"][0];
    assert_eq!((&row["cells"][0], &row["cells"][1]), (&json!("a"), &json!(1)));
    assert!(row["cells"][2].as_str().unwrap().ends_with('s'));
    let partial =
        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": created["metadata"]});
    assert_eq!(row["object"], partial);
    assert_eq!(revision_of(&table), api.revision());
    for (include, object) in [("None", Value::Null), ("Metadata", partial), ("Object", created.clone())] {
        let path = format!("{CONFIG_MAPS}?includeObject={include}");
        assert_eq!(api.get_as(&path, TABLE).await.is(200)["rows"][0]["object"], object);
    }
    api.get_as(&format!("{CONFIG_MAPS}?includeObject=All"), TABLE).await.refused(400, "BadRequest");
    let one = api.get_as(&cm("a"), TABLE).await.is(200);
    assert_eq!((&one["kind"], one["rows"].as_array().unwrap().len()), (&json!("Table"), 1));
    let empty = api.get_as("/api/v1/namespaces/ns/secrets", TABLE).await.is(200);
    assert_eq!((&empty["rows"], empty["columnDefinitions"].as_array().unwrap().len()), (&json!([]), 4));
    let page = api.get_as("/api/v1/namespaces?limit=1", TABLE).await.is(200);
    assert_eq!(page["rows"][0]["cells"][1], "Active");

    // A watch names the columns once.
    let mut watch = api.watch_as(CONFIG_MAPS, "", TABLE).await;
    let first = watch.next().await.unwrap()["object"].clone();
    assert_eq!(first["columnDefinitions"].as_array().unwrap().len(), 3);
    api.merge(&cm("a"), &json!({"data": {"l": "w"}})).await.is(200);
    let second = watch.next().await.unwrap()["object"].clone();
    assert_eq!((&second["columnDefinitions"], &second["rows"][0]["cells"][1]), (&json!([]), &json!(2)));
    api.get_as(&cm("none"), TABLE).await.refused(404, "NotFound");
}

pub(crate) async fn metadata_alone(store: Store) {
    let api = store.start().await;
    let created = api.config_map("a", &json!({"labels": {"x": "y"}})).await;
    let partial =
        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": created["metadata"]});
    assert_eq!(api.get_as(&cm("a"), PARTIAL).await.is(200), partial);
    let list = api.get_as(CONFIG_MAPS, PARTIAL_LIST).await.is(200);
    assert_eq!((&list["kind"], &list["items"]), (&json!("PartialObjectMetadataList"), &json!([partial])));
    let secret = json!({"metadata": {"name": "a", "annotations": {"n": "m"}}, "stringData": {"k": "v"}});
    let secret = api.post("/api/v1/namespaces/ns/secrets", &secret).await.is(201);
    let list = api.get_as("/api/v1/namespaces/ns/secrets", PARTIAL_LIST).await.is(200);
    assert_eq!(list["items"][0]["metadata"], secret["metadata"]);
    assert_eq!(list["items"][0]["data"], Value::Null);
}

pub(crate) async fn yaml(store: Store) {
    let api = store.start().await;
    let body = b"# a comment\nmetadata:\n  name: a\ndata:\n  on: \"off\"\n  text: |\n    two\n    lines\n".to_vec();
    let headers = [("content-type", "application/yaml"), ("accept", "application/yaml")];
    let created = api.send(axum::http::Method::POST, CONFIG_MAPS, &headers, body).await;
    assert_eq!((created.status, created.headers["content-type"].to_str().unwrap()), (201, "application/yaml"));
    let read: Value = serde_norway::from_slice(&created.body).unwrap();
    assert_eq!(read["data"], json!({"on": "off", "text": "two\nlines\n"}));
    assert_eq!(read, api.get(&cm("a")).await.is(200));
    let list = api.get_as(CONFIG_MAPS, "application/yaml").await;
    assert_eq!(serde_norway::from_slice::<Value>(&list.body).unwrap()["items"], json!([read]));
    // What was answered can be sent back.
    let headers = [("content-type", "application/yaml")];
    let again = api.send(axum::http::Method::PUT, &cm("a"), &headers, created.body.to_vec()).await;
    assert_eq!(again.is(200), read);
}

pub(crate) async fn nothing_else(store: Store) {
    let api = store.start().await;
    let before = api.revision();
    for accept in ["text/html", "application/vnd.kubernetes.protobuf", "application/json;as=Chair;v=v1;g=meta.k8s.io"] {
        api.get_as(CONFIG_MAPS, accept).await.refused(406, "NotAcceptable");
        let headers = [("content-type", "application/json"), ("accept", accept)];
        let body = br#"{"metadata":{"name":"a"}}"#.to_vec();
        let answer = api.send(axum::http::Method::POST, CONFIG_MAPS, &headers, body).await;
        answer.refused(406, "NotAcceptable");
    }
    assert_eq!(api.revision(), before);
}
