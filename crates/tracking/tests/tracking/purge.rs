//! Permanent deletion.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use bytes::Bytes;
use futures::SinkExt as _;
use mcplane_db::Dialect;
use serde_json::{Value, json};

use crate::rig::{Api, Store};

const ROOT: &str = "/api/2.0/mlflow-artifacts/artifacts";
const TEAM: (&str, &str) = ("x-mlflow-workspace", "team");

/// Rows of every table but those that remember what was done.
async fn rows(api: &Api) -> BTreeMap<String, i64> {
    let tables = match api.db.dialect() {
        Dialect::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        Dialect::Postgres => "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()",
    };
    let mut counts = BTreeMap::new();
    for table in api.db.fetch(tables, vec![]).await.unwrap() {
        let table = table.text(0).unwrap().to_owned();
        if !["audit", "changes", "head", "_sqlx_migrations"].contains(&table.as_str()) {
            let count = api.db.fetch(format!("SELECT count(*) FROM {table}"), vec![]).await.unwrap();
            counts.insert(table, count[0].int(0).unwrap());
        }
    }
    counts
}

async fn gc(api: &Api, body: Value) -> Value {
    let answer = api.post("/tracking/v1/namespaces/default/gc", &body).await;
    assert_eq!(answer.status, 200, "{body}: {}", answer.text());
    answer.json()
}

/// A run with everything that runs can have, in a workspace.
async fn whole_run(api: &Api, workspace: &str, experiment: &str) -> String {
    let headers = [("content-type", "application/json"), ("x-mlflow-workspace", workspace)];
    let post = async |path: &str, body: Value| {
        let path = format!("/api/2.0/mlflow/{path}");
        let answer = api.send(Method::POST, &path, &headers, body.to_string().into_bytes()).await;
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text());
        answer.json()
    };
    let run = post("runs/create", json!({"experiment_id": experiment, "start_time": 1})).await["run"]["info"].clone();
    let id = run["run_id"].as_str().unwrap().to_owned();
    for number in 0..30 {
        post("runs/log-parameter", json!({"run_id": id, "key": format!("p{number}"), "value": "1"})).await;
    }
    post("runs/set-tag", json!({"run_id": id, "key": "t", "value": "1"})).await;
    let points: Vec<Value> = (0..50).map(|n| json!({"key": "m", "value": n, "timestamp": n, "step": n})).collect();
    post("runs/log-batch", json!({"run_id": id, "metrics": points})).await;
    let dataset = json!({"name": "d", "digest": "1", "source_type": "local", "source": "x"});
    let tags = json!([{"key": "mlflow.data.context", "value": "training"}]);
    post("runs/log-inputs", json!({"run_id": id, "datasets": [{"dataset": dataset, "tags": tags}]})).await;
    let model = json!({"experiment_id": experiment, "name": "m", "source_run_id": id,
                       "params": [{"key": "p", "value": "1"}], "tags": [{"key": "t", "value": "1"}]});
    let model = post("logged-models", model).await["model"]["info"].clone();
    post("runs/outputs", json!({"run_id": id, "models": [{"model_id": model["model_id"], "step": 1}]})).await;
    let measured = json!({"run_id": id, "key": "m", "value": 1, "timestamp": 1, "step": 1,
                          "model_id": model["model_id"], "dataset_name": "d", "dataset_digest": "1"});
    post("runs/log-metric", measured).await;
    let trace = json!({"trace_id": format!("tr-{id}"), "request_time": "2026-01-01T00:00:00Z", "state": "OK",
                       "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}},
                       "tags": {"k": "v"}, "trace_metadata": {"k": "v"}});
    let answer = api.send(
        Method::POST,
        "/api/3.0/mlflow/traces",
        &headers,
        json!({"trace": {"trace_info": trace}}).to_string().into_bytes(),
    );
    let answer = answer.await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    for (folder, file) in [(&run, "a"), (&run, "model/b"), (&model, "MLmodel")] {
        let folder = folder["artifact_uri"].as_str().unwrap().strip_prefix("mlflow-artifacts:/").unwrap();
        let path = format!("{ROOT}/{folder}/{file}");
        assert_eq!(api.send(Method::PUT, &path, &headers[1..], b"x".to_vec()).await.status, 200);
    }
    id
}

pub(crate) async fn purged_things_leave_nothing(store: Store) {
    let api = store.start().await;
    whole_run(&api, "default", "0").await;
    let before = rows(&api).await;
    assert!(before["run_params"] == 30 && before["artifacts"] == 3, "{before:?}");

    let experiment = api.experiment("gone").await;
    let single = whole_run(&api, "default", "0").await;
    let model = format!("SELECT id FROM logged_models WHERE source_run = '{single}'");
    let model = api.db.fetch(model, vec![]).await.unwrap()[0].text(0).unwrap().to_owned();
    let deleted = api.send(Method::DELETE, &format!("/api/2.0/mlflow/logged-models/{model}"), &[], vec![]).await;
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    let body = json!({"experiment_id": "0", "request_ids": [format!("tr-{single}")]});
    assert_eq!(api.ok("traces/delete-traces", body).await["traces_deleted"], json!(1));
    let inner = [whole_run(&api, "default", &experiment).await, whole_run(&api, "default", &experiment).await];
    api.ok("experiments/set-experiment-tag", json!({"experiment_id": experiment, "key": "k", "value": "v"})).await;
    api.ok("runs/delete", json!({"run_id": single})).await;
    api.ok("experiments/delete", json!({"experiment_id": experiment})).await;
    assert_eq!(gc(&api, json!({"olderThanMs": 3_600_000})).await["runs"], json!([]));
    let planned = gc(&api, json!({"dryRun": true})).await;
    let purged = gc(&api, json!({})).await;
    assert_eq!(planned, purged, "a dry run tells what would go, and lets it be");
    assert_eq!(purged["runs"], json!([&single, &inner[0], &inner[1]]));
    assert_eq!(purged["loggedModels"], json!([model]));
    assert_eq!((&purged["experiments"], &purged["more"]), (&json!([&experiment]), &json!(false)));

    let mut after = rows(&api).await;
    // Ids of experiments are not given again.
    after.remove("counters");
    assert_eq!(after, before.into_iter().filter(|(table, _)| table != "counters").collect());
    assert_eq!(api.get(&format!("{ROOT}?path=0/{single}")).await.json().get("files"), None);
    assert_eq!(api.get(&format!("/api/2.0/mlflow/runs/get?run_id={single}")).await.status, 404);
    assert_eq!(api.fails("runs/restore", json!({"run_id": single})).await.0, 404);
    assert_ne!(api.experiment("gone").await, experiment, "the name is free again");
    let entries = api.db.fetch("SELECT name FROM audit WHERE verb = 'purge' ORDER BY name", vec![]).await.unwrap();
    assert_eq!(entries.len(), 5);
    assert_eq!(entries[0].text(0).unwrap(), format!("experiments/{experiment}"));
}

pub(crate) async fn purges_are_asked_for_precisely(store: Store) {
    let api = store.start().await;
    let (deleted, other, living) = (api.run().await, api.run().await, api.run().await);
    for id in [&deleted, &other] {
        api.ok("runs/delete", json!({"run_id": id})).await;
    }
    let refused = async |body: Value| {
        let answer = api.post("/tracking/v1/namespaces/default/gc", &body).await;
        let json = answer.json();
        assert_eq!(json["kind"], "Status");
        (answer.status, json["message"].as_str().unwrap().to_owned())
    };
    for (body, status, words) in [
        (json!({"runIds": [deleted, living]}), 400, "is not deleted"),
        (json!({"runIds": [deleted], "olderThanMs": 3_600_000}), 400, "not deleted as long ago"),
        (json!({"runIds": [deleted, "nobody"]}), 404, "there is no \"nobody\" among runs"),
        (json!({"experimentIds": ["0"]}), 400, "is not deleted"),
        (json!({"loggedModelIds": ["m-1"]}), 404, "logged-models"),
        (json!({"olderThanMs": -1}), 400, "negative"),
        (json!({"olderThan": 1}), 400, "unknown field"),
        (json!([1, "x"]), 400, ""),
    ] {
        let (got, message) = refused(body.clone()).await;
        assert!(got == status && message.contains(words), "{body}: {got} {message}");
    }
    let answer = api.post("/tracking/v1/namespaces/nowhere/gc", &json!({})).await;
    assert_eq!(answer.status, 404);
    let elsewhere = api.post("/tracking/v1/namespaces/other/gc", &json!({"runIds": [deleted]})).await;
    assert_eq!(elsewhere.status, 404, "runs are found in their own namespace only");

    assert_eq!(gc(&api, json!({"runIds": [deleted]})).await["runs"], json!([deleted]));
    api.ok("runs/restore", json!({"run_id": other})).await;
    assert_eq!(gc(&api, json!({})).await["runs"], json!([]));
    // What lies where only clients reach is named, so that somebody can look after it.
    let place = json!({"name": "s3", "artifact_location": "s3://bucket/x"});
    let experiment = api.ok("experiments/create", place).await["experiment_id"].as_str().unwrap().to_owned();
    let run = api.run_in(&experiment).await;
    api.ok("runs/delete", json!({"run_id": run})).await;
    let purged = gc(&api, json!({})).await;
    assert_eq!(purged["artifactsElsewhere"], json!([format!("s3://bucket/x/{run}/artifacts")]));
}

pub(crate) async fn a_broken_off_purge_is_finished(store: Store) {
    let api = store.start().await;
    whole_run(&api, "default", "0").await;
    let before = rows(&api).await;
    let experiment = api.experiment("gone").await;
    let run = whole_run(&api, "default", &experiment).await;
    // As a server leaves it that stops right after the first commit.
    let put_away = "UPDATE experiments SET namespace = '~default', id = no, name = 'x' WHERE name = 'gone'";
    api.db.write(move |tx| Box::pin(async move { tx.execute(put_away, vec![]).await })).await.unwrap();
    api.tracking.finish_purges().await;
    let mut after = rows(&api).await;
    after.insert("counters".to_owned(), before["counters"]);
    assert_eq!(after, before);
    assert_eq!(api.get(&format!("{ROOT}?path={experiment}/{run}")).await.json().get("files"), None);
}

async fn create_team(api: &Api) {
    assert_eq!(api.post("/api/v1/namespaces", &json!({"metadata": {"name": "team"}})).await.status, 201);
}

async fn wait_until_gone(api: &Api) {
    for _ in 0..400 {
        if api.get("/api/v1/namespaces/team").await.status == 404 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the namespace is still there: {}", api.get("/api/v1/namespaces/team").await.text());
}

async fn team(api: &Api, path: &str, body: Value) -> Value {
    let headers = [("content-type", "application/json"), TEAM];
    let path = format!("/api/2.0/mlflow/{path}");
    let answer = api.send(Method::POST, &path, &headers, body.to_string().into_bytes()).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

pub(crate) async fn a_namespace_takes_along_what_it_tracked(store: Store) {
    let api = store.start().await;
    api.run_controllers();
    whole_run(&api, "default", "0").await;
    let before = rows(&api).await;
    for _ in 0..2 {
        create_team(&api).await;
        // A later namespace of the name starts empty.
        let found = team(&api, "experiments/search", json!({"max_results": 10})).await;
        assert_eq!(found["experiments"].as_array().unwrap().len(), 1, "{found}");
        let made = team(&api, "experiments/create", json!({"name": "e"})).await;
        assert_eq!(made["experiment_id"], json!("1"));
        whole_run(&api, "team", "0").await;
        let run = whole_run(&api, "team", "1").await;
        let other = whole_run(&api, "team", "1").await;
        team(&api, "runs/delete", json!({"run_id": other})).await;
        team(&api, "registered-models/create", json!({"name": "m", "tags": [{"key": "k", "value": "v"}]})).await;
        let version = json!({"name": "m", "source": format!("runs:/{run}/model"), "run_id": run,
                             "tags": [{"key": "k", "value": "v"}]});
        team(&api, "model-versions/create", version).await;
        team(&api, "registered-models/alias", json!({"name": "m", "alias": "best", "version": "1"})).await;
        assert_eq!(api.send(Method::PUT, &format!("{ROOT}/loose"), &[TEAM], b"x".to_vec()).await.status, 200);

        let going = api.send(Method::DELETE, "/api/v1/namespaces/team", &[], vec![]).await;
        assert_eq!(going.status, 200, "{}", going.text());
        let late = api.send(Method::GET, &format!("/api/2.0/mlflow/runs/get?run_id={run}"), &[TEAM], vec![]).await;
        assert_eq!(late.status, 404, "a namespace that is going takes no requests");
        wait_until_gone(&api).await;
        assert_eq!(rows(&api).await, before);
        // Whoever watches models and versions is told.
        for kind in ["models", "modelversions"] {
            let sql = "SELECT operation FROM changes WHERE namespace = 'team' AND resource = $1 ORDER BY revision";
            let told = api.db.fetch(sql, vec![format!("{kind}.mcplane.io").into()]).await.unwrap();
            let told: Vec<i64> = told.iter().map(|row| row.int(0).unwrap()).collect();
            assert_eq!(told.last(), Some(&3), "{kind}: {told:?}");
        }
    }
    create_team(&api).await;
    let listed = api.send(Method::GET, ROOT, &[TEAM], vec![]).await.json();
    assert_eq!(listed.get("files"), None);
}

pub(crate) async fn uploads_hold_a_namespace(store: Store) {
    let api = store.start().await;
    api.run_controllers();
    let before = rows(&api).await;
    create_team(&api).await;
    let (mut sender, receiver) = futures::channel::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let path = format!("{ROOT}/slow");
    let upload = api.stream(Method::PUT, &path, &[TEAM], Body::from_stream(receiver));
    let deletion = async {
        sender.send(Ok(Bytes::from_static(b"first"))).await.unwrap();
        api.send(Method::DELETE, "/api/v1/namespaces/team", &[], vec![]).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let waiting = api.get("/api/v1/namespaces/team").await;
        assert!(waiting.text().contains("requests of tracking has 1"), "{}", waiting.text());
        sender.send(Ok(Bytes::from_static(b"last"))).await.unwrap();
        drop(sender);
    };
    let (answer, ()) = tokio::join!(upload, deletion);
    assert_eq!(answer.status, 200, "{}", answer.text());
    wait_until_gone(&api).await;
    assert_eq!(rows(&api).await, before);
}
