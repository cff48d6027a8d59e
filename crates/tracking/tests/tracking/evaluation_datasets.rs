//! Evaluation datasets.

use axum::http::Method;
use serde_json::{Value, json};

use crate::rig::Store;

const PATH: &str = "/api/3.0/mlflow/datasets";

fn parsed(value: &Value) -> Value {
    serde_json::from_str(value.as_str().unwrap()).unwrap()
}

pub(crate) async fn datasets_merge_records(store: Store) {
    let api = store.start().await;
    let experiment = api.experiment("first").await;
    let new = json!({"name": "d", "experiment_ids": [experiment], "tags": r#"{"team": "blue", "mlflow.user": "ann"}"#});
    let made = api.post(&format!("{PATH}/create"), &new).await.json()["dataset"].clone();
    assert_eq!((&made["created_by"], &made["experiment_ids"]), (&json!("ann"), &json!([experiment])));
    assert_eq!((made.get("schema"), made.get("profile")), (None, None));
    let id = made["dataset_id"].as_str().unwrap();

    let records = format!("{PATH}/{id}/records");
    let put = async |text: &str| api.post(&records, &json!({"records": text})).await.json();
    let two =
        r#"[{"inputs": {"q": "a", "n": 1}, "expectations": {"r": "x"}}, {"inputs": {"q": "b"}, "outputs": "plain"}]"#;
    assert_eq!(put(two).await, json!({"inserted_count": 2, "updated_count": 0}));
    let same = r#"[{"inputs": {"n": 1, "q": "a"}, "expectations": {"z": 2.5}, "source": {"source_type": "trace"}}]"#;
    assert_eq!(put(same).await, json!({"inserted_count": 0, "updated_count": 1}));
    let dataset = api.get(&format!("{PATH}/{id}")).await.json()["dataset"].clone();
    assert_eq!(parsed(&dataset["profile"]), json!({"num_records": 2}));
    assert_eq!(parsed(&dataset["schema"])["expectations"], json!({"r": "string", "z": "float"}));
    assert_eq!(parsed(&dataset["tags"])["team"], json!("blue"));

    let first = api.get(&format!("{records}?max_results=1")).await.json();
    let token = first["next_page_token"].as_str().unwrap();
    let second = api.get(&format!("{records}?max_results=1&page_token={token}")).await.json();
    assert_eq!(second.get("next_page_token"), None);
    let all = [&first, &second].map(|page| parsed(&page["records"])[0].clone());
    let merged = all.iter().find(|record| record["inputs"]["q"] == "a").unwrap();
    assert_eq!(merged["expectations"], json!({"r": "x", "z": 2.5}));
    assert!(all.iter().any(|record| record["outputs"] == "plain"));

    let gone = json!({"dataset_record_ids": [merged["dataset_record_id"], "dr-none"]});
    assert_eq!(api.json(Method::DELETE, &records, &gone).await.json(), json!({"deleted_count": 1}));
    let left = api.get(&format!("{PATH}/{id}")).await.json()["dataset"].clone();
    assert_eq!(parsed(&left["profile"]), json!({"num_records": 1}));
    assert_eq!(api.post(&records, &json!({"records": "5"})).await.error().0, 400);

    assert_eq!(api.json(Method::DELETE, &format!("{PATH}/{id}"), &json!({})).await.status, 200);
    let missing = api.get(&format!("{PATH}/{id}")).await.error();
    assert_eq!((missing.0, missing.2), (404, format!("Evaluation dataset with id '{id}' not found")));
}

pub(crate) async fn datasets_are_found(store: Store) {
    let api = store.start().await;
    let experiments = [api.experiment("a").await, api.experiment("b").await];
    let mut ids = Vec::new();
    for (name, experiment) in [("one", &experiments[0]), ("two", &experiments[0]), ("three", &experiments[1])] {
        let new = json!({"name": name, "experiment_ids": [experiment], "tags": json!({"n": name}).to_string()});
        let made = api.post(&format!("{PATH}/create"), &new).await.json();
        ids.push(made["dataset"]["dataset_id"].as_str().unwrap().to_owned());
    }
    let search = async |body: Value| {
        let found = api.post(&format!("{PATH}/search"), &body).await.json();
        let names = found["datasets"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|dataset| dataset["name"].as_str().unwrap().to_owned());
        (names.collect::<Vec<_>>().join(" "), found["next_page_token"].clone())
    };
    let by_name = |filter: &str| json!({"filter_string": filter, "order_by": ["name ASC"]});
    for (filter, found) in [
        ("", "one three two"),
        ("name = 'one'", "one"),
        ("name LIKE 't%'", "three two"),
        ("name ILIKE 'T%'", "three two"),
        ("name IN ('one', 'two')", "one two"),
        ("tags.n = 'two'", "two"),
        ("tags.n != 'two'", "one three"),
        ("created_time > 5 AND tags.n LIKE 't%'", "three two"),
        ("created_by = 'ann'", ""),
    ] {
        assert_eq!(search(by_name(filter)).await.0, found, "{filter}");
    }
    let inside = json!({"experiment_ids": [experiments[0]], "order_by": ["name ASC"], "max_results": 1});
    let (name, token) = search(inside.clone()).await;
    assert_eq!(name, "one");
    let mut next = inside.clone();
    next["page_token"] = token;
    assert_eq!(search(next).await, ("two".to_owned(), Value::Null));
    assert_eq!(api.post(&format!("{PATH}/search"), &by_name("foo = 'x'")).await.error().0, 400);

    let path = format!("{PATH}/{}", ids[0]);
    let both = json!({"experiment_ids": [experiments[0], experiments[1]]});
    assert_eq!(api.post(&format!("{path}/add-experiments"), &both).await.status, 200);
    let of = async || api.get(&format!("{path}/experiment-ids")).await.json()["experiment_ids"].clone();
    assert_eq!(of().await, json!(experiments));
    let unknown = api.post(&format!("{path}/add-experiments"), &json!({"experiment_ids": ["99"]})).await.error();
    assert_eq!((unknown.0, unknown.2.as_str()), (404, "No Experiment with id=99"));
    assert_eq!(
        api.post(&format!("{path}/remove-experiments"), &json!({"experiment_ids": [experiments[0]]})).await.status,
        200
    );
    assert_eq!(of().await, json!([experiments[1]]));

    let tags = format!("{path}/tags");
    assert_eq!(api.json(Method::PATCH, &tags, &json!({"tags": r#"{"x": 5, "n": null}"#})).await.status, 200);
    assert_eq!(api.json(Method::DELETE, &format!("{tags}/n"), &json!({})).await.status, 200);
    let shown = api.get(&path).await.json()["dataset"]["tags"].clone();
    assert_eq!(parsed(&shown), json!({"x": "5"}));
    let other = api.send(Method::GET, &path, &[("x-mlflow-workspace", "other")], vec![]).await;
    assert_eq!(other.status, 404, "a dataset is of its workspace");
}
