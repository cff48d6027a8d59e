//! Namespaces: what they let in, and how they go.

use futures::future::join_all;
use mcplane_db::Arg;
use serde_json::json;

use crate::rig::{CONFIG_MAPS, Store, cm};

pub(crate) async fn creation_needs_a_living_namespace(store: Store) {
    let api = store.start().await;
    let before = api.revision();
    let object = json!({"metadata": {"name": "a"}});
    let missing = api.post("/api/v1/namespaces/nowhere/configmaps", &object).await;
    assert_eq!(missing.refused(404, "NotFound"), "namespaces \"nowhere\" not found");
    assert_eq!(api.revision(), before);
    assert!(api.names("/api/v1/namespaces/nowhere/configmaps").await.is_empty());

    api.config_map("old", &json!({})).await;
    let going = api.delete("/api/v1/namespaces/ns").await.is(200);
    assert_eq!((&going["kind"], &going["status"]["phase"]), (&json!("Namespace"), &json!("Terminating")));
    let refused = api.post(CONFIG_MAPS, &object).await;
    let message = refused.refused(403, "Forbidden");
    assert!(
        message.contains("unable to create new content in namespace ns because it is being terminated"),
        "{message}"
    );
    // What is there can still be changed, so that finalizers can be removed.
    api.merge(&cm("old"), &json!({"data": {"k": "w"}})).await.is(200);
    api.post("/api/v1/namespaces", &json!({"metadata": {"name": "ns"}})).await.refused(409, "AlreadyExists");
}

/// Creators race a deletion again and again: in the end there is no object without a namespace.
pub(crate) async fn creation_races_deletion_without_orphans(store: Store) {
    let api = store.run().await;
    for round in 0..8 {
        let name = format!("race-{round}");
        api.namespace(&name).await;
        let collection = format!("/api/v1/namespaces/{name}/configmaps");
        let creators = (0..16).map(|creator| {
            let (api, collection) = (&api, &collection);
            async move {
                for number in 0.. {
                    let object = json!({"metadata": {"name": format!("c{creator}-{number}")}});
                    match api.post(collection, &object).await {
                        answer if answer.status == 201 => {}
                        answer => {
                            assert!([403, 404].contains(&answer.status), "{}", answer.text());
                            return number;
                        }
                    }
                }
                0
            }
        });
        let path = format!("/api/v1/namespaces/{name}");
        let delete = async {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            api.delete(&path).await.is(200)
        };
        tokio::join!(join_all(creators), delete);
        api.gone(&path).await;
        let left = "SELECT count(*) FROM objects WHERE namespace = $1";
        let rows = api.db.fetch(left, vec![Arg::from(name.as_str())]).await.unwrap();
        assert_eq!(rows[0].int(0).unwrap(), 0);
        let counted = "SELECT COALESCE(MAX(value), 0) FROM counters WHERE namespace = $1";
        let rows = api.db.fetch(counted, vec![Arg::from(name.as_str())]).await.unwrap();
        assert_eq!(rows[0].int(0).unwrap(), 0);
    }
    api.stop().await;
}

pub(crate) async fn held_content_is_reported_and_then_goes(store: Store) {
    let api = store.run().await;
    api.config_map("held", &json!({"finalizers": ["example.com/hold"]})).await;
    for number in 0..600 {
        api.config_map(&format!("o{number}"), &json!({})).await;
    }
    api.eventually("/api/v1/namespaces/ns/serviceaccounts/default", |answer| answer.status == 200).await;
    api.delete("/api/v1/namespaces/ns").await.is(200);
    let reported = api
        .eventually("/api/v1/namespaces/ns", |answer| answer.json()["status"]["conditions"][0]["type"].is_string())
        .await
        .json();
    let condition = &reported["status"]["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["status"]),
        (&json!("NamespaceFinalizersRemaining"), &json!("True")),
        "{reported}"
    );
    assert!(condition["message"].as_str().unwrap().contains("configmaps has 1"), "{condition}");
    assert_eq!(api.names(CONFIG_MAPS).await, ["held"]);
    api.merge(&cm("held"), &json!({"metadata": {"finalizers": null}})).await.is(200);
    api.gone("/api/v1/namespaces/ns").await;
    // The name is free for a new life.
    api.namespace("ns").await;
    assert!(api.names(CONFIG_MAPS).await.iter().all(|name| name != "held"));
    api.stop().await;
}

pub(crate) async fn permanent_namespaces_stay(store: Store) {
    let api = store.start().await;
    for name in ["default", "kube-system"] {
        api.namespace(name).await;
        let path = format!("/api/v1/namespaces/{name}");
        let refused = api.delete(&path).await.refused(403, "Forbidden");
        assert!(refused.contains("this namespace may not be deleted"), "{refused}");
        assert_eq!(api.get(&path).await.is(200)["status"]["phase"], "Active");
    }
}
