//! Creating, reading, updating.

use axum::http::Method;
use futures::future::join_all;
use serde_json::json;

use crate::rig::{CONFIG_MAPS, Store, cm, revision_of, text, uid_of};

const SERVICES: &str = "/apis/networking.istio.io/v1/namespaces/ns/virtualservices";

pub(crate) async fn objects_live_and_die(store: Store) {
    let api = store.start().await;
    let before = api.revision();
    let created = api.config_map("a", &json!({"labels": {"x": "y"}})).await;
    assert_eq!(revision_of(&created), before + 1);
    assert_eq!((&created["apiVersion"], &created["kind"]), (&json!("v1"), &json!("ConfigMap")));
    assert_eq!(created["metadata"]["namespace"], "ns");
    assert_eq!(created["data"], json!({"k": "v"}));
    assert_eq!(uid_of(&created).len(), 36);
    assert_eq!(api.get(&cm("a")).await.is(200), created);

    let list = api.get(CONFIG_MAPS).await.is(200);
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("ConfigMapList"), &json!("v1")));
    assert_eq!(list["items"], json!([created]));
    assert_eq!(revision_of(&list), before + 1);
    assert_eq!(api.get("/api/v1/configmaps").await.is(200)["items"], json!([created]));

    let again = api.post(CONFIG_MAPS, &json!({"metadata": {"name": "a"}})).await;
    assert_eq!(again.refused(409, "AlreadyExists"), "configmaps \"a\" already exists");

    let mut next = created.clone();
    next["data"]["k"] = "w".into();
    let updated = api.put(&cm("a"), &next).await.is(200);
    next["metadata"]["resourceVersion"] = (before + 2).to_string().into();
    assert_eq!(updated, next);

    let deleted = api.delete(&cm("a")).await.is(200);
    assert_eq!((&deleted["kind"], &deleted["status"]), (&json!("Status"), &json!("Success")));
    assert_eq!(deleted["details"], json!({"name": "a", "kind": "configmaps", "uid": uid_of(&created)}));
    let missing = api.get(&cm("a")).await;
    assert_eq!(missing.refused(404, "NotFound"), "configmaps \"a\" not found");
    assert_eq!(missing.json()["details"], json!({"name": "a", "kind": "configmaps"}));
    api.delete(&cm("a")).await.refused(404, "NotFound");
    api.put(&cm("a"), &json!({"metadata": {"name": "a"}})).await.refused(404, "NotFound");
    api.merge(&cm("a"), &json!({"data": {}})).await.refused(404, "NotFound");
    assert_eq!(api.revision(), before + 3);
    let next_life = api.config_map("a", &json!({})).await;
    assert_ne!(uid_of(&next_life), uid_of(&created));
}

pub(crate) async fn only_the_server_owns_what_it_owns(store: Store) {
    let api = store.start().await;
    let claims = json!({"metadata": {
        "name": "a", "uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "generation": 7,
        "deletionTimestamp": "2001-01-01T00:00:00Z", "deletionGracePeriodSeconds": 5, "selfLink": "/x",
        "managedFields": [{"manager": "m"}],
    }});
    let created = api.post(CONFIG_MAPS, &claims).await.is(201);
    let fields: Vec<&String> = created["metadata"].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["creationTimestamp", "name", "namespace", "resourceVersion", "uid"]);
    assert_ne!(created["metadata"]["uid"], "mine");
    assert!(text(&created["metadata"]["creationTimestamp"]).starts_with("20"));
    assert_ne!(created["metadata"]["creationTimestamp"], "2001-01-01T00:00:00Z");

    // Left out, they are carried over; the generation of a kind that counts none is never the client's.
    let metadata = json!({"name": "a", "generation": 5, "creationTimestamp": "2001-01-01T00:00:00Z"});
    let bare = json!({"metadata": metadata, "data": {"k": "v"}});
    let updated = api.put(&cm("a"), &bare).await.is(200);
    for field in ["uid", "creationTimestamp", "generation"] {
        assert_eq!(updated["metadata"][field], created["metadata"][field], "{field}");
    }
    let deleting = json!({"metadata": {"name": "a", "deletionTimestamp": "2001-01-01T00:00:00Z"}});
    api.put(&cm("a"), &deleting).await.refused(422, "Invalid");
    let other = json!({"metadata": {"name": "a", "uid": "6a0f9a5e-0000-4000-8000-000000000000"}});
    let refused = api.put(&cm("a"), &other).await;
    assert!(refused.refused(409, "Conflict").contains("Precondition failed: UID in precondition: 6a0f"));
    let with_revision = json!({"metadata": {"name": "b", "resourceVersion": "1"}});
    api.post(CONFIG_MAPS, &with_revision).await.refused(400, "BadRequest");
}

pub(crate) async fn names_are_generated(store: Store) {
    let api = store.start().await;
    let object = json!({"metadata": {"generateName": "train-"}});
    let created = join_all((0..20).map(|_| api.post(CONFIG_MAPS, &object))).await;
    let mut names: Vec<String> = created.iter().map(|answer| text(&answer.is(201)["metadata"]["name"])).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 20);
    assert!(names.iter().all(|name| name.starts_with("train-") && name.len() == 11));
    let both = json!({"metadata": {"generateName": "x-", "name": "chosen"}});
    assert_eq!(api.post(CONFIG_MAPS, &both).await.is(201)["metadata"]["name"], "chosen");
    let neither = api.post(CONFIG_MAPS, &json!({"metadata": {}})).await;
    assert!(neither.refused(422, "Invalid").contains("metadata.name: Required value"));
}

pub(crate) async fn stale_updates_conflict(store: Store) {
    let api = store.start().await;
    let first = api.config_map("a", &json!({})).await;
    // Many read the same state; one may write.
    let writes = join_all((0..32).map(|number| {
        let mut next = first.clone();
        next["data"]["k"] = number.to_string().into();
        let api = &api;
        async move { api.put(&cm("a"), &next).await }
    }));
    let answers = writes.await;
    let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(won.len(), 1);
    for lost in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(
            lost.refused(409, "Conflict"),
            "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes \
             to the latest version and try again"
        );
    }
    assert_eq!(api.get(&cm("a")).await.is(200), won[0].json());
    assert_eq!(api.revision(), revision_of(&first) + 1);
    let nonsense = json!({"metadata": {"name": "a", "resourceVersion": "x"}});
    api.put(&cm("a"), &nonsense).await.refused(400, "BadRequest");
}

pub(crate) async fn updates_without_a_revision_win(store: Store) {
    let api = store.start().await;
    let first = api.config_map("a", &json!({})).await;
    for revision in ["", "0"] {
        let data = json!({"r": format!("<{revision}>")});
        let next = json!({"metadata": {"name": "a", "resourceVersion": revision}, "data": data});
        let updated = api.put(&cm("a"), &next).await.is(200);
        assert_eq!((&updated["data"], &updated["metadata"]["uid"]), (&data, &first["metadata"]["uid"]));
    }
    let writes = (0..40).map(|number| {
        let next = json!({"metadata": {"name": "a"}, "data": {"n": number.to_string()}});
        let api = &api;
        async move { api.put(&cm("a"), &next).await.status }
    });
    assert_eq!(join_all(writes).await, [200; 40]);
}

pub(crate) async fn updates_name_the_object_of_the_path(store: Store) {
    let api = store.start().await;
    api.config_map("a", &json!({})).await;
    let before = api.revision();
    for (object, part) in [
        (json!({"metadata": {"name": "b"}}), "the name of the object (b) does not match the name on the URL (a)"),
        (json!({"metadata": {}}), "the name of the object () does not match"),
        (
            json!({"metadata": {"name": "a", "namespace": "other"}}),
            "the namespace of the object (other) does not match",
        ),
        (json!({"metadata": {"name": "a"}, "kind": "Secret"}), "the object provided is Secret of v1"),
        (json!({"metadata": {"name": "a"}, "apiVersion": "v2"}), "the object provided is ConfigMap of v2"),
        (json!({"metadata": "a"}), "metadata must be an object"),
    ] {
        let message = api.put(&cm("a"), &object).await.refused(400, "BadRequest");
        assert!(message.contains(part), "{message}");
    }
    let elsewhere = json!({"metadata": {"name": "b", "namespace": "other"}});
    api.post(CONFIG_MAPS, &elsewhere).await.refused(400, "BadRequest");
    api.post("/api/v1/namespaces", &elsewhere).await.refused(422, "Invalid");
    assert_eq!(api.revision(), before);
}

pub(crate) async fn status_is_a_subresource(store: Store) {
    let api = store.start().await;
    let object = json!({
        "metadata": {"name": "a"}, "spec": {"hosts": ["h"]}, "status": {"observedGeneration": 9},
    });
    let created = api.post(SERVICES, &object).await.is(201);
    assert_eq!(created["status"], json!(null));
    let (path, status_path) = (format!("{SERVICES}/a"), format!("{SERVICES}/a/status"));

    let mut next = created.clone();
    next["status"] = json!({"observedGeneration": 1});
    next["spec"]["hosts"] = json!(["other"]);
    next["metadata"]["labels"] = json!({"x": "y"});
    let updated = api.put(&status_path, &next).await.is(200);
    assert_eq!(updated["status"], json!({"observedGeneration": 1}));
    assert_eq!(updated["spec"], created["spec"]);
    assert_eq!(updated["metadata"]["labels"], json!(null));
    assert_eq!(updated["metadata"]["generation"], 1);
    assert_eq!(api.get(&status_path).await.is(200), updated);

    let mut next = updated.clone();
    next["status"] = json!({"observedGeneration": 2});
    next["metadata"]["labels"] = json!({"x": "y"});
    let updated = api.put(&path, &next).await.is(200);
    assert_eq!(updated["status"], json!({"observedGeneration": 1}));
    assert_eq!(updated["metadata"]["labels"], json!({"x": "y"}));
    // The status goes by the stored revision like everything else.
    api.put(&status_path, &created).await.refused(409, "Conflict");
    api.get(&format!("{}/status", cm("a"))).await.refused(404, "NotFound");
}

pub(crate) async fn generations_count_changes_of_the_spec(store: Store) {
    let api = store.start().await;
    let object = json!({"metadata": {"name": "a", "generation": 3}, "spec": {"hosts": ["h"]}});
    assert_eq!(api.post(SERVICES, &object).await.is(201)["metadata"]["generation"], 1);
    let path = format!("{SERVICES}/a");
    for (patch, generation) in [
        (json!({"metadata": {"labels": {"x": "y"}}}), 1),
        (json!({"spec": {"hosts": ["i"]}}), 2),
        (json!({"spec": {"hosts": ["i"]}}), 2),
        (json!({"metadata": {"generation": 9}, "spec": {"hosts": ["j"]}}), 3),
        (json!({"metadata": {"finalizers": ["example.com/hold"]}}), 3),
    ] {
        assert_eq!(api.merge(&path, &patch).await.is(200)["metadata"]["generation"], generation, "{patch}");
    }
    // The beginning of the deletion counts, too.
    assert_eq!(api.delete(&path).await.is(200)["metadata"]["generation"], 4);
}

pub(crate) async fn a_change_that_changes_nothing_is_none(store: Store) {
    let api = store.start().await;
    let created = api.config_map("a", &json!({"labels": {"x": "y"}})).await;
    assert_eq!(api.put(&cm("a"), &created).await.is(200), created);
    assert_eq!(api.merge(&cm("a"), &json!({"data": {"k": "v"}})).await.is(200), created);
    let echo = json!({"metadata": {"name": "a", "labels": {"x": "y"}, "finalizers": []}, "data": {"k": "v"}});
    assert_eq!(api.put(&cm("a"), &echo).await.is(200), created);
    assert_eq!(api.revision(), revision_of(&created));
}

pub(crate) async fn strange_paths_and_methods_are_refused(store: Store) {
    let api = store.start().await;
    api.config_map("a", &json!({})).await;
    let before = api.revision();
    let body = json!({"metadata": {"name": "a"}}).to_string().into_bytes();
    for (method, path, status) in [
        (Method::GET, "/api/v1/namespaces/ns/configmaps/a%2Fb", 404),
        (Method::GET, "/api/v1/namespaces/ns/configmaps/..%2F..%2Fsecrets", 404),
        (Method::GET, "/api/v1/namespaces/ns/configmaps/%2e%2e", 404),
        (Method::DELETE, "/api/v1/namespaces/ns/configmaps/a%00", 404),
        (Method::GET, "/api/v1/namespaces/ns/configmaps/%ff", 404),
        (Method::GET, "/api/v%ff/namespaces/ns/configmaps/a", 404),
        (Method::GET, "/api/v1/namespaces/%6es/configmaps/%61", 200),
        (Method::GET, "/api/v1/namespaces/ns/configmaps/a/scale", 404),
        (Method::GET, "/api/v1/namespaces/ns/configmaps/a/status", 404),
        (Method::GET, "/api/v1/namespaces/ns/configmaps/a/b/c", 404),
        (Method::GET, "/api/v1/namespaces//configmaps", 404),
        (Method::GET, "/api/v1/configmaps/a", 404),
        (Method::GET, "/api/v2/namespaces/ns/configmaps/a", 404),
        (Method::GET, "/apis/networking.istio.io/v2/namespaces/ns/virtualservices", 404),
        (Method::GET, "/api/v1/namespaces/ns/gizmos", 404),
        (Method::GET, "/api/v1/namespaces/ns/namespaces/ns", 404),
        (Method::POST, "/api/v1/configmaps", 405),
        (Method::POST, "/api/v1/namespaces/ns/configmaps/a", 405),
        (Method::PUT, "/api/v1/namespaces/ns/configmaps", 405),
        (Method::PATCH, "/api/v1/namespaces/ns/configmaps", 405),
        (Method::DELETE, "/api/v1/configmaps", 405),
        (Method::DELETE, "/api/v1/namespaces", 405),
        (Method::DELETE, "/api/v1/namespaces/ns/status", 405),
        (Method::DELETE, "/api/v1/namespaces/ns/finalize", 405),
        (Method::GET, "/api/v1/namespaces/ns/finalize", 405),
        (Method::GET, "/api/v1/namespaces/ns/status?watch=1", 405),
        (Method::OPTIONS, "/api/v1/namespaces/ns/configmaps/a", 405),
        (Method::TRACE, "/api/v1/namespaces/ns/configmaps/a", 405),
    ] {
        let answer = api.send(method.clone(), path, &[("content-type", "application/json")], body.clone()).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert_eq!(answer.headers["content-type"], "application/json", "{method} {path}");
        assert!(["Status", "ConfigMap"].contains(&answer.json()["kind"].as_str().unwrap()));
    }
    assert_eq!(api.revision(), before);

    let head = api.send(Method::HEAD, &cm("a"), &[], vec![]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(api.send(Method::HEAD, &cm("b"), &[], vec![]).await.status, 404);
}

pub(crate) async fn many_patch_one_object(store: Store) {
    const WRITERS: usize = 64;
    let api = store.start().await;
    let first = api.config_map("a", &json!({})).await;
    let patches = (0..WRITERS).map(|number| {
        let api = &api;
        async move { api.merge(&cm("a"), &json!({"data": {format!("k{number}"): "v"}})).await.status }
    });
    assert_eq!(join_all(patches).await, [200; WRITERS]);
    let last = api.get(&cm("a")).await.is(200);
    assert_eq!(last["data"].as_object().unwrap().len(), WRITERS + 1);
    assert_eq!(revision_of(&last), revision_of(&first) + WRITERS as i64);
}
