//! What was made from what.

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Value, json};

use crate::rig::{Api, Store};

const GRAPH: &str = "/lineage/v1/namespaces/default/graph";

fn percent(node: &str) -> String {
    node.replace('%', "%25").replace('@', "%40").replace(':', "%3A").replace('/', "%2F")
}

impl Api {
    async fn lineage(&self, node: &str, direction: &str) -> Value {
        let answer = self.get(&format!("{GRAPH}?node={}&direction={direction}", percent(node))).await;
        assert_eq!(answer.status, 200, "{node}: {}", answer.text());
        answer.json()
    }

    async fn emit(&self, event: &Value) -> (u16, String) {
        let answer = self.post("/api/v1/lineage", event).await;
        (answer.status, answer.text())
    }

    /// A run that read a dataset and made a model that was registered: their ids.
    async fn trained(&self, source: &str) -> (String, String) {
        let run = self.run().await;
        let tags = [("mlflow.source.git.commit", "abc123"), ("mlflow.source.name", "train.py"), ("mlflow.user", "ann")];
        for (key, value) in tags {
            self.ok("runs/set-tag", json!({"run_id": run, "key": key, "value": value})).await;
        }
        let dataset = json!({"name": "train", "digest": "d1", "source_type": "s3", "source": source,
            "schema": r#"{"mlflow_colspec": [{"name": "a", "type": "double"}]}"#});
        let tag = json!([{"key": "mlflow.data.context", "value": "training"}]);
        let datasets = json!([{"dataset": dataset, "tags": tag}]);
        self.ok("runs/log-inputs", json!({"run_id": run, "datasets": datasets})).await;
        let new = json!({"experiment_id": "0", "name": "clf", "source_run_id": run});
        let model = self.ok("logged-models", new).await["model"]["info"]["model_id"].as_str().unwrap().to_owned();
        self.ok("runs/outputs", json!({"run_id": run, "models": [{"model_id": model, "step": 0}]})).await;
        (run, model)
    }

    async fn add_version(&self, name: &str, version: Value) {
        let _ = self.post("/api/2.0/mlflow/registered-models/create", &json!({"name": name})).await;
        let mut new = json!({"name": name});
        new.as_object_mut().unwrap().extend(version.as_object().unwrap().clone());
        self.ok("model-versions/create", new).await;
    }
}

fn ids(graph: &Value) -> BTreeSet<String> {
    graph["nodes"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap().to_owned()).collect()
}

fn edges(graph: &Value) -> BTreeSet<String> {
    let text = |edge: &Value, field: &str| edge[field].as_str().unwrap_or_default().to_owned();
    let edges = graph["edges"].as_array().unwrap().iter();
    edges.map(|edge| format!("{} {} {}", text(edge, "from"), text(edge, "kind"), text(edge, "to"))).collect()
}

fn facets<'g>(graph: &'g Value, id: &str) -> &'g Value {
    let found = graph["nodes"].as_array().unwrap().iter().find(|node| node["id"] == id);
    &found.unwrap_or_else(|| panic!("no {id}: {graph}"))["facets"]
}

fn set<const N: usize>(texts: [String; N]) -> BTreeSet<String> {
    BTreeSet::from(texts)
}

fn event(run: &str, inputs: Value, outputs: Value) -> Value {
    json!({
        "eventType": "COMPLETE", "eventTime": "2026-11-01T00:00:00Z", "producer": "https://example.com/etl",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": run}, "job": {"namespace": "airflow", "name": "etl"}, "inputs": inputs, "outputs": outputs,
    })
}

pub(crate) async fn versions_lead_back_to_data_and_code(store: Store) {
    let api = store.start().await;
    let (run, model) = api.trained(r#"{"uri": "s3://bucket/train.csv"}"#).await;
    api.add_version("fraud", json!({"source": format!("models:/{model}"), "model_id": model, "run_id": run})).await;
    api.add_version("copy", json!({"source": "models:/fraud/1"})).await;
    let other = api.run().await;
    api.add_version("plain", json!({"source": format!("runs:/{run}/model"), "run_id": run})).await;
    api.ok("runs/log-inputs", json!({"run_id": other, "models": [{"model_id": model}]})).await;

    let up = api.lineage("modelversion:copy/1", "upstream").await;
    let expected = set([
        "modelversion:fraud/1 copy modelversion:copy/1".to_owned(),
        format!("model:{model} registration modelversion:fraud/1"),
        format!("run:{run} output model:{model}"),
        format!("dataset:train@d1 input run:{run}"),
    ]);
    assert_eq!(edges(&up), expected);
    assert_eq!(up["nodes"][0]["id"], json!("modelversion:copy/1"));
    let of_run = facets(&up, &format!("run:{run}"));
    assert_eq!(
        (&of_run["commit"], &of_run["source"], &of_run["user"], &of_run["status"]),
        (&json!("abc123"), &json!("train.py"), &json!("ann"), &json!("RUNNING"))
    );
    let data = facets(&up, "dataset:train@d1");
    assert_eq!((&data["digest"], &data["source"]), (&json!("d1"), &json!(r#"{"uri": "s3://bucket/train.csv"}"#)));
    let read = up["edges"].as_array().unwrap().iter().find(|edge| edge["kind"] == "input").unwrap();
    assert_eq!(read["context"], json!("training"));

    let down = api.lineage("dataset:train@d1", "downstream").await;
    let mut expected = expected;
    expected
        .extend([format!("run:{run} registration modelversion:plain/1"), format!("model:{model} input run:{other}")]);
    assert_eq!(edges(&down), expected);

    // Each way by itself: what else was made from an ancestor is neither.
    let both = api.lineage(&format!("model:{model}"), "both").await;
    assert!(!ids(&both).contains("modelversion:plain/1") && ids(&both).contains("modelversion:copy/1"));
    assert_eq!(ids(&api.lineage(&format!("run:{run}"), "upstream").await).len(), 2);

    // A run that is deleted was there all the same.
    api.ok("runs/delete", json!({"run_id": run})).await;
    let up = api.lineage("modelversion:plain/1", "upstream").await;
    assert_eq!(facets(&up, &format!("run:{run}"))["deleted"], json!(true));
}

pub(crate) async fn what_others_report_joins_what_is_known(store: Store) {
    let api = store.start().await;
    let (run, _) = api.trained(r#"{"uri": "s3a://bucket/train.csv"}"#).await;
    let etl = "6fb1a2c8-0000-4000-8000-000000000001";
    let orders = json!([{"namespace": "postgres://db:5432", "name": "shop.orders"}]);
    let train =
        json!([{"namespace": "s3://bucket", "name": "train.csv", "facets": {"version": {"datasetVersion": "7"}}}]);
    let mut etl_event = event(etl, orders, train);
    etl_event["job"]["facets"] = json!({"sourceCodeLocation": {"type": "git", "url": "u", "version": "def"}});
    assert_eq!(api.emit(&etl_event).await, (201, String::new()));
    // The run itself may be reported too; its id is the same thing with dashes.
    let dashed = format!("{}-{}-{}-{}-{}", &run[..8], &run[8..12], &run[12..16], &run[16..20], &run[20..]);
    let predictions = json!([{"namespace": "file", "name": "/out/p.csv"}]);
    assert_eq!(api.emit(&event(&dashed, json!([]), predictions)).await.0, 201);

    let etl = format!("run:{}", etl.replace('-', ""));
    let up = api.lineage("dataset:file:///out/p.csv", "upstream").await;
    let expected = set([
        format!("run:{run} output dataset:file:///out/p.csv"),
        format!("dataset:train@d1 input run:{run}"),
        format!("job:airflow/etl execution run:{run}"),
        "dataset:s3://bucket/train.csv content dataset:train@d1".to_owned(),
        format!("{etl} output dataset:s3://bucket/train.csv"),
        format!("job:airflow/etl execution {etl}"),
        format!("dataset:postgres://db:5432/shop.orders input {etl}"),
    ]);
    assert_eq!(edges(&up), expected);
    let job = &facets(&up, "job:airflow/etl")["openlineage"]["sourceCodeLocation"];
    assert_eq!(job["version"], json!("def"));
    assert_eq!(facets(&up, &format!("run:{run}"))["commit"], json!("abc123"), "both know of the run");

    let down = api.lineage("dataset:postgres://db:5432/shop.orders", "downstream").await;
    for node in ["dataset:s3://bucket/train.csv@7", "dataset:train@d1", "dataset:file:///out/p.csv"] {
        assert!(ids(&down).contains(node), "{node}: {down}");
    }
    // Who made just this version is known, so that nobody else is asked for.
    let reader = "6fb1a2c8-0000-4000-8000-000000000002";
    let read =
        json!([{"namespace": "s3://bucket", "name": "train.csv", "facets": {"version": {"datasetVersion": "7"}}}]);
    api.emit(&event(reader, read, json!([]))).await;
    let writer = json!([{"namespace": "s3://bucket", "name": "train.csv"}]);
    let stranger = "6fb1a2c8-0000-4000-8000-000000000003";
    api.emit(&event(stranger, json!([]), writer)).await;
    let up = ids(&api.lineage(&format!("run:{reader}"), "upstream").await);
    assert!(up.contains(&etl) && !up.contains(&format!("run:{}", stranger.replace('-', ""))), "{up:?}");
}

pub(crate) async fn events_are_checked_and_counted_once(store: Store) {
    let api = store.start().await;
    let run = "6fb1a2c8-0000-4000-8000-000000000001";
    let done = event(run, json!([]), json!([{"namespace": "n", "name": "x"}]));
    let mut started = done.clone();
    started["eventType"] = json!("START");
    started["eventTime"] = json!("2026-10-31T23:00:00Z");
    for event in [&done, &started, &done] {
        assert_eq!(api.emit(event).await.0, 201);
    }
    let count = api.db.fetch("SELECT received_by FROM lineage_events", vec![]).await.unwrap();
    assert_eq!((count.len(), count[0].text(0).unwrap()), (2, "tester"));
    let graph = api.lineage(&format!("run:{run}"), "both").await;
    let node = facets(&graph, &format!("run:{}", run.replace('-', "")));
    assert_eq!((&node["state"], &node["reportedAt"]), (&json!("COMPLETE"), &json!("2026-11-01T00:00:00Z")));

    let mut wrong = done.clone();
    wrong["run"]["runId"] = json!("7");
    let (status, text) = api.emit(&wrong).await;
    assert_eq!((status, text.contains("run.runId must be a UUID")), (400, true), "{text}");
    assert_eq!(api.emit(&json!({})).await.0, 400);
    let large = json!({"x": "y".repeat(3 << 20)});
    assert_eq!(api.emit(&large).await.0, 413);
    for (query, text) in [
        ("node=fraud", "is not a node of lineage"),
        ("node=model%3Ax&depth=17", "depth must be at most 16"),
        ("node=model%3Ax&depth=-1", "depth must be a number"),
        ("node=model%3Ax&direction=left", "direction must be"),
    ] {
        let answer = api.get(&format!("{GRAPH}?{query}")).await;
        assert_eq!((answer.status, answer.json()["kind"].clone()), (400, json!("Status")), "{query}");
        assert!(answer.text().contains(text), "{}", answer.text());
    }
    let unknown = api.get(&format!("{GRAPH}?node=model%3Am-0")).await;
    assert_eq!((unknown.status, unknown.text().contains("nothing is known of model:m-0")), (404, true));
}

pub(crate) async fn lineage_stays_in_its_namespace(store: Store) {
    let api = store.start().await;
    let (run, model) = api.trained("s").await;
    api.add_version("fraud", json!({"source": format!("models:/{model}"), "model_id": model, "run_id": run})).await;
    let etl = event("6fb1a2c8-0000-4000-8000-000000000001", json!([]), json!([{"namespace": "n", "name": "x"}]));
    api.emit(&etl).await;
    let nodes = [
        format!("run:{run}"),
        format!("model:{model}"),
        "modelversion:fraud/1".to_owned(),
        "dataset:train@d1".to_owned(),
        "dataset:n/x".to_owned(),
        "job:airflow/etl".to_owned(),
    ];
    for node in &nodes {
        assert_eq!(api.get(&format!("{GRAPH}?node={}", percent(node))).await.status, 200, "{node}");
        let path = format!("/lineage/v1/namespaces/other/graph?node={}", percent(node));
        assert_eq!(api.get(&path).await.status, 404, "{node}");
        // The path says which namespace is meant, whatever the header says.
        let header = [("x-mlflow-workspace", "default")];
        assert_eq!(api.send(Method::GET, &path, &header, vec![]).await.status, 404, "{node}");
    }
    let path = format!("/lineage/v1/namespaces/other/openlineage?run={run}");
    assert_eq!(api.get(&path).await.status, 404);
    assert_eq!(api.get(&format!("/lineage/v1/namespaces/nobody/graph?node={}", percent(&nodes[0]))).await.status, 404);
    assert_eq!(api.get(&format!("/lineage/v1/namespaces/%2e%2e/graph?node={}", percent(&nodes[0]))).await.status, 400);

    // A run of another namespace may name the model; neither side sees the other.
    let headers = [("x-mlflow-workspace", "other"), ("content-type", "application/json")];
    let send = async |path: &str, body: Value| {
        api.send(Method::POST, &format!("/api/2.0/mlflow/{path}"), &headers, body.to_string().into_bytes()).await.json()
    };
    let theirs = send("runs/create", json!({"experiment_id": "0"})).await["run"]["info"]["run_id"].clone();
    send("runs/log-inputs", json!({"run_id": theirs, "models": [{"model_id": model}]})).await;
    let down = ids(&api.lineage(&format!("model:{model}"), "downstream").await);
    assert!(!down.contains(&format!("run:{}", theirs.as_str().unwrap())), "{down:?}");
    let path = format!("/lineage/v1/namespaces/other/graph?node=run%3A{}", theirs.as_str().unwrap());
    let up = api.get(&path).await.json();
    assert_eq!(facets(&up, &format!("model:{model}")), &json!({}), "the name that they wrote, and nothing more");
    assert_eq!(up["nodes"].as_array().unwrap().len(), 2);
}

pub(crate) async fn answers_are_bounded(store: Store) {
    let api = store.start().await;
    for part in 0..3 {
        let outputs: Vec<Value> =
            (0..500).map(|number| json!({"namespace": "n", "name": format!("{part}-{number}")})).collect();
        let run = "6fb1a2c8-0000-4000-8000-000000000001";
        assert_eq!(api.emit(&event(run, json!([]), json!(outputs))).await.0, 201);
    }
    let wide = api.lineage("job:airflow/etl", "downstream").await;
    assert_eq!((wide["nodes"].as_array().unwrap().len(), &wide["truncated"]), (1000, &json!(true)));

    // A chain that ends where it began.
    let job = |name: usize| {
        let (from, to) = (format!("c{name}"), format!("c{}", (name + 1) % 20));
        let mut job = event("x", json!([{"namespace": "n", "name": from}]), json!([{"namespace": "n", "name": to}]));
        job.as_object_mut().unwrap().remove("run");
        job["job"]["name"] = json!(format!("j{name}"));
        job
    };
    for name in 0..20 {
        assert_eq!(api.emit(&job(name)).await.0, 201);
    }
    for depth in [0, 1, 2, 16] {
        let path = format!("{GRAPH}?node=dataset%3An%2Fc0&direction=upstream&depth={depth}");
        let graph = api.get(&path).await.json();
        assert_eq!(graph["nodes"].as_array().unwrap().len(), depth + 1);
        assert_eq!(graph["truncated"], json!(false));
    }
}

pub(crate) async fn events_of_runs_are_for_others(store: Store) {
    let api = store.start().await;
    let (run, model) = api.trained(r#"{"uri": "s3://bucket/train.csv"}"#).await;
    let path = format!("/lineage/v1/namespaces/default/openlineage?run={run}");
    let started = api.get(&path).await.json();
    assert_eq!(started["events"].as_array().unwrap().len(), 1);
    api.ok("runs/update", json!({"run_id": run, "status": "FAILED", "end_time": 1000})).await;
    let events = api.get(&path).await.json()["events"].clone();
    assert_eq!(
        (&events[0]["eventType"], &events[1]["eventType"], &events[1]["eventTime"]),
        (&json!("START"), &json!("FAIL"), &json!("1970-01-01T00:00:01Z"))
    );
    assert_eq!(events[1]["inputs"][0]["namespace"], json!("s3://bucket"));
    assert_eq!(events[1]["outputs"][0]["name"], json!(format!("model:{model}")));
    assert_eq!(events[1]["job"]["facets"]["sourceCodeLocation"]["version"], json!("abc123"));
    assert_eq!(api.get("/lineage/v1/namespaces/default/openlineage?run=x").await.status, 404);

    // What we tell others, they may tell us: it is about the same things.
    for event in events.as_array().unwrap() {
        assert_eq!(api.emit(event).await.0, 201);
    }
    let up = api.lineage(&format!("model:{model}"), "upstream").await;
    let made = format!("run:{run} output model:{model}");
    assert_eq!(edges(&up).iter().filter(|edge| **edge == made).count(), 1);
    assert_eq!(up["edges"].as_array().unwrap().iter().filter(|edge| edge["kind"] == "output").count(), 1, "{up}");
}
