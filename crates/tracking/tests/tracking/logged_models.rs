//! Models that runs made.

use axum::http::Method;
use serde_json::{Value, json};

use crate::rig::{Api, Store};

const ROOT: &str = "/api/2.0/mlflow/logged-models";

async fn made(api: &Api, body: Value) -> String {
    api.ok("logged-models", body).await["model"]["info"]["model_id"].as_str().unwrap().to_owned()
}

async fn model(api: &Api, id: &str) -> Value {
    api.read(&format!("logged-models/{id}")).await["model"].clone()
}

/// Status, code and message of what must fail, after `logged-models/`.
async fn fails(api: &Api, method: Method, path: &str, body: Value) -> (u16, String, String) {
    api.json(method, &format!("{ROOT}/{path}"), &body).await.error()
}

pub(crate) async fn models_live_and_die(store: Store) {
    let api = store.start().await;
    let pair = |key: &str, value: &str| json!({"key": key, "value": value});
    let new = json!({
        "experiment_id": "0", "name": "one", "model_type": "agent", "source_run_id": "r",
        "params": [pair("b", "1"), pair("a", "2")], "tags": [pair("t2", "x"), {"key": "t1"}],
    });
    let made = api.ok("logged-models", new).await["model"].clone();
    let info = &made["info"];
    let id = info["model_id"].as_str().unwrap();
    assert!(id.starts_with("m-") && id.len() == 34, "{id}");
    assert_eq!(info["artifact_uri"], json!(format!("mlflow-artifacts:/0/models/{id}/artifacts")));
    assert_eq!((&info["status"], &info["model_type"]), (&json!("LOGGED_MODEL_PENDING"), &json!("agent")));
    assert_eq!(made["data"], json!({"params": [pair("a", "2"), pair("b", "1")]}));
    assert_eq!(info["tags"], json!([pair("t1", ""), pair("t2", "x")]));
    assert_eq!(model(&api, id).await, made);

    let path = format!("{ROOT}/{id}");
    let ready = json!({"model_id": id, "status": "LOGGED_MODEL_READY"});
    let answer = api.json(Method::PATCH, &path, &ready).await.json();
    assert_eq!(answer["model"]["info"]["status"], json!("LOGGED_MODEL_READY"));
    let failed = json!({"model_id": id, "status": 3});
    let answer = api.json(Method::PATCH, &path, &failed).await.json();
    assert_eq!(answer["model"]["info"]["status"], json!("LOGGED_MODEL_UPLOAD_FAILED"));

    let tags = json!({"tags": [pair("t1", "v"), pair("t1", "w"), pair("a/b", "c")]});
    assert_eq!(api.json(Method::PATCH, &format!("{path}/tags"), &tags).await.json(), json!({}));
    let gone = api.send(Method::DELETE, &format!("{path}/tags/t2"), &[], vec![]).await;
    assert_eq!(gone.json(), json!({}));
    let again = api.send(Method::DELETE, &format!("{path}/tags/t2"), &[], vec![]).await.error();
    assert_eq!(again.2, format!("No tag with key 't2' found for model with ID '{id}'."));
    assert_eq!(model(&api, id).await["info"]["tags"], json!([pair("a/b", "c"), pair("t1", "w")]));

    let param = |value: &str| json!({"model_id": id, "params": [pair("c", value)]});
    for _ in 0..2 {
        assert_eq!(api.post(&format!("{path}/params"), &param("1")).await.json(), json!({}));
    }
    assert_eq!(fails(&api, Method::POST, &format!("{id}/params"), param("2")).await.1, "BAD_REQUEST");

    api.send(Method::DELETE, &path, &[], vec![]).await.json();
    let missing = format!("Logged model with ID '{id}' not found.");
    assert_eq!(api.get(&path).await.error(), (404, "RESOURCE_DOES_NOT_EXIST".to_owned(), missing));
    assert_eq!(
        api.read(&format!("logged-models/{id}?allow_deleted=true")).await["model"]["info"]["name"],
        json!("one")
    );
}

pub(crate) async fn model_requests_are_checked(store: Store) {
    let api = store.start().await;
    let refused = async |body: Value| api.fails("logged-models", body).await;
    assert!(refused(json!({})).await.2.starts_with("Missing value for required parameter 'experiment_id'."));
    assert_eq!(refused(json!({"experiment_id": "9"})).await.2, "No Experiment with id=9 exists");
    let (status, _, message) = refused(json!({"experiment_id": "0", "name": "a/b"})).await;
    assert_eq!(status, 400);
    assert!(message.starts_with("Invalid model name ('a/b') provided. Model name must be a non-empty"), "{message}");
    let twice = json!([{"key": "k", "value": "1"}, {"key": "k", "value": "1"}]);
    assert_eq!(refused(json!({"experiment_id": "0", "params": twice})).await.1, "BAD_REQUEST");
    let named = api.ok("logged-models", json!({"experiment_id": "0"})).await["model"]["info"]["name"].clone();
    assert_eq!(named.as_str().unwrap().split('-').count(), 3, "{named}");
    for path in ["m-none", "m-none/tags", "m-none/artifacts/directories"] {
        let method = if path.ends_with("tags") { Method::PATCH } else { Method::GET };
        let body = if method == Method::GET { json!({}) } else { json!({"tags": []}) };
        assert_eq!(fails(&api, method, path, body).await.2, "Logged model with ID 'm-none' not found.", "{path}");
    }
    let id = made(&api, json!({"experiment_id": "0"})).await;
    let (_, _, message) = fails(&api, Method::PATCH, &id, json!({"status": 2})).await;
    assert!(message.starts_with("Missing value for required parameter 'model_id'."), "{message}");
    assert_eq!(fails(&api, Method::GET, &format!("{id}/artifacts/files"), json!({})).await.1, "BAD_REQUEST");
    let outside = format!("{id}/artifacts/directories?artifact_directory_path=../x");
    assert_eq!(fails(&api, Method::GET, &outside, json!({})).await.0, 400);
    let other = [("x-mlflow-workspace", "other")];
    assert_eq!(api.send(Method::GET, &format!("{ROOT}/{id}"), &other, vec![]).await.status, 404);
}

pub(crate) async fn models_have_files(store: Store) {
    let api = store.start().await;
    let id = made(&api, json!({"experiment_id": "0"})).await;
    let at = format!("/api/2.0/mlflow-artifacts/artifacts/0/models/{id}/artifacts");
    for path in ["MLmodel", "code/a.py"] {
        assert_eq!(api.send(Method::PUT, &format!("{at}/{path}"), &[], b"x: 1".to_vec()).await.status, 200);
    }
    let listed = api.read(&format!("logged-models/{id}/artifacts/directories")).await;
    let files = json!([{"path": "MLmodel", "is_dir": false, "file_size": 4}, {"path": "code", "is_dir": true}]);
    assert_eq!(listed, json!({"root_uri": format!("mlflow-artifacts:/0/models/{id}/artifacts"), "files": files}));
    let below = api.read(&format!("logged-models/{id}/artifacts/directories?artifact_directory_path=code")).await;
    assert_eq!(below["files"], json!([{"path": "code/a.py", "is_dir": false, "file_size": 4}]));
    let file =
        api.get(&format!("/ajax-api/2.0/mlflow/logged-models/{id}/artifacts/files?artifact_file_path=MLmodel")).await;
    assert_eq!((file.status, file.text().as_str()), (200, "x: 1"));
}

pub(crate) async fn runs_keep_the_history_of_models(store: Store) {
    let api = store.start().await;
    let run = api.run().await;
    let described = json!({
        "artifact_path": "model", "run_id": run, "utc_time_created": "now", "flavors": {"sklearn": {"config": {}, "v": 1}},
    });
    for _ in 0..2 {
        api.ok("runs/log-model", json!({"run_id": run, "model_json": described.to_string()})).await;
    }
    let tags = api.read(&format!("runs/get?run_id={run}")).await["run"]["data"]["tags"].clone();
    assert_eq!(tags[0]["key"], json!("mlflow.log-model.history"));
    let history: Value = serde_json::from_str(tags[0]["value"].as_str().unwrap()).unwrap();
    assert_eq!((history.as_array().unwrap().len(), &history[1]["flavors"]), (2, &json!({"sklearn": {"v": 1}})));
    let (_, _, message) = api.fails("runs/log-model", json!({"run_id": run, "model_json": "{"})).await;
    assert_eq!(message, "Malformed model info. \n { \n is not a valid JSON.");
}

/// Four models, the first oldest, with points of the metric `acc`.
async fn four(api: &Api) -> (String, [String; 4]) {
    let experiment = api.experiment("search").await;
    let run = api.run_in(&experiment).await;
    let mut ids = [const { String::new() }; 4];
    for (place, id) in ids.iter_mut().enumerate() {
        let tags = if place < 3 { json!([{"key": "t", "value": format!("v{place}")}]) } else { json!([]) };
        let new = json!({
            "experiment_id": experiment, "name": format!("Model{place}"), "model_type": format!("t{}", place % 2),
            "params": [{"key": "p", "value": place.to_string()}], "tags": tags,
        });
        *id = made(api, new).await;
        // The usual order is by time.
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    let log = async |model: usize, value: f64, time: i64, dataset: Value| {
        let mut body = json!({"run_id": run, "key": "acc", "value": value, "timestamp": time, "model_id": ids[model]});
        body.as_object_mut().unwrap().extend(dataset.as_object().unwrap().clone());
        api.ok("runs/log-metric", body).await;
    };
    log(0, 0.5, 1, json!({"dataset_name": "d1", "dataset_digest": "x"})).await;
    log(0, 0.9, 2, json!({})).await;
    log(1, 0.7, 1, json!({"dataset_name": "d1", "dataset_digest": "y"})).await;
    log(2, 0.6, 1, json!({"dataset_name": "d2", "dataset_digest": "x"})).await;
    // Later is by time first, not by step.
    api.ok(
        "runs/log-metric",
        json!({"run_id": run, "key": "acc", "value": 0.1, "timestamp": 0, "step": 9, "model_id": ids[2]}),
    )
    .await;
    (experiment, ids)
}

pub(crate) async fn models_are_searched(store: Store) {
    let api = store.start().await;
    let (experiment, ids) = four(&api).await;
    let search = async |mut body: Value| {
        body["experiment_ids"] = json!([experiment, "0"]);
        let found = api.ok("logged-models/search", body).await;
        let place = |model: &Value| ids.iter().position(|id| model["info"]["model_id"] == json!(id)).unwrap();
        found["models"].as_array().map(|models| models.iter().map(place).collect::<Vec<_>>()).unwrap_or_default()
    };
    assert_eq!(search(json!({})).await, [3, 2, 1, 0]);
    for (filter, found) in [
        ("name = 'Model0'", vec![0]),
        ("name LIKE 'Model%'", vec![3, 2, 1, 0]),
        ("name LIKE 'model%'", vec![]),
        ("name ILIKE 'model_'", vec![3, 2, 1, 0]),
        ("model_type != 't0'", vec![3, 1]),
        ("status = '1'", vec![3, 2, 1, 0]),
        ("metrics.acc > 0.55 AND metrics.acc < 0.8", vec![2, 1, 0]),
        ("metrics.acc > 0.85", vec![0]),
        ("params.p = '1'", vec![1]),
        ("tags.t != 'v0'", vec![2, 1]),
        ("tags.t IN ('v0', 'v1') AND creation_timestamp > 0", vec![1, 0]),
        ("name NOT IN ('Model0')", vec![3, 2, 1]),
        ("lifecycle_stage = 'deleted'", vec![]),
        ("status_message != 'x'", vec![]),
    ] {
        assert_eq!(search(json!({"filter": filter})).await, found, "{filter}");
    }
    let metric = |dataset: Value, ascending: bool| {
        let mut order = json!({"field_name": "metrics.acc", "ascending": ascending});
        order.as_object_mut().unwrap().extend(dataset.as_object().unwrap().clone());
        json!({"order_by": [order]})
    };
    for (order, found) in [
        (json!({"order_by": [{"field_name": "name"}]}), [0, 1, 2, 3]),
        (metric(json!({}), true), [2, 1, 0, 3]),
        (metric(json!({}), false), [0, 1, 2, 3]),
        (metric(json!({"dataset_name": "d1"}), true), [0, 1, 3, 2]),
        (metric(json!({"dataset_digest": "x"}), true), [0, 2, 3, 1]),
        (json!({"order_by": [{"field_name": "model_type"}, {"field_name": "creation_time"}]}), [0, 2, 1, 3]),
    ] {
        assert_eq!(search(order.clone()).await, found, "{order}");
    }
    let on = |dataset: Value, filter: &str| json!({"datasets": [dataset], "filter": filter});
    assert_eq!(search(on(json!({"dataset_name": "d1"}), "")).await, [1, 0]);
    assert_eq!(search(on(json!({"dataset_name": "d1", "dataset_digest": "x"}), "")).await, [0]);
    assert_eq!(search(on(json!({"dataset_name": "d1"}), "metrics.acc > 0.55")).await, [1]);
    let point = &model(&api, &ids[1]).await["data"]["metrics"][0];
    assert_eq!((&point["dataset_digest"], &point["model_id"]), (&json!("y"), &json!(ids[1])));
    api.send(Method::DELETE, &format!("{ROOT}/{}", ids[3]), &[], vec![]).await.json();
    assert_eq!(search(json!({})).await, [2, 1, 0]);
}

pub(crate) async fn pages_of_models_belong_to_their_search(store: Store) {
    let api = store.start().await;
    let (experiment, _) = four(&api).await;
    let search = json!({
        "experiment_ids": [experiment], "max_results": 3, "filter": "name LIKE 'M%'", "order_by": [{"field_name": "name"}],
    });
    let page = async |change: Value| {
        let mut search = search.clone();
        search.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        api.post(&format!("{ROOT}/search"), &search).await
    };
    let first = page(json!({})).await.json();
    assert_eq!(first["models"].as_array().unwrap().len(), 3);
    let token = first["next_page_token"].clone();
    let last = page(json!({"page_token": token})).await.json();
    assert_eq!(last["models"][0]["info"]["name"], json!("Model3"));
    assert_eq!(last.get("next_page_token"), None);
    let (status, _, message) = page(json!({"page_token": token, "filter": "name LIKE 'X%'"})).await.error();
    assert_eq!(status, 400);
    assert!(message.starts_with("Filter string in the page token does not match"), "{message}");
    let (_, _, message) = page(json!({"page_token": token, "experiment_ids": ["0"]})).await.error();
    assert!(message.starts_with("Experiment IDs in the page token do not match"), "{message}");
    let (_, _, message) = page(json!({"order_by": [{"field_name": "params.p"}]})).await.error();
    assert_eq!(message, "Invalid order by field name: params.p. Only metrics are supported.");
    let (_, _, message) = page(json!({"datasets": [{}]})).await.error();
    assert_eq!(message, "`dataset_name` in the `datasets` clause must be specified.");
    let (_, _, message) = page(json!({"filter": "name = 'a' OR name = 'b'"})).await.error();
    assert!(message.contains("Expected a list of comparisons separated by 'AND'"), "{message}");
}
