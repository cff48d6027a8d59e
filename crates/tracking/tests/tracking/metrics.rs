//! Metrics: logging, latest values, histories, charts.

use serde_json::{Value, json};

use crate::rig::{Api, Store};

impl Api {
    async fn log(&self, run: &str, key: &str, value: impl Into<Value>, timestamp: i64, step: i64) {
        let body = json!({"run_id": run, "key": key, "value": value.into(), "timestamp": timestamp, "step": step});
        self.ok("runs/log-metric", body).await;
    }

    /// Values of a history, in its order.
    async fn history(&self, run: &str, key: &str) -> Vec<Value> {
        let history = self.read(&format!("metrics/get-history?run_id={run}&metric_key={key}")).await;
        history["metrics"].as_array().into_iter().flatten().map(|metric| metric["value"].clone()).collect()
    }
}

pub(crate) async fn metrics_are_logged_once(store: Store) {
    let api = store.start().await;
    let run = api.run().await;
    assert_eq!(api.read(&format!("metrics/get-history?run_id={run}&metric_key=a")).await, json!({}));
    assert_eq!(api.read("metrics/get-history?run_id=none&metric_key=a").await, json!({}));
    for value in [json!(1.5), json!("2.5"), json!(1.5)] {
        api.log(&run, "a", value, 7, 0).await;
    }
    let expected = json!({"metrics": [
        {"key": "a", "value": 1.5, "timestamp": 7, "step": 0}, {"key": "a", "value": 2.5, "timestamp": 7, "step": 0},
    ]});
    assert_eq!(api.read(&format!("metrics/get-history?run_uuid={run}&metric_key=a")).await, expected);
    for value in ["NaN", "Infinity", "-Infinity", "NaN"] {
        api.log(&run, "odd", value, 1, 0).await;
    }
    api.log(&run, "odd", 0, 1, 0).await;
    let odd = api.history(&run, "odd").await;
    assert_eq!(odd, [json!(-f64::MAX), json!(0.0), json!("NaN"), json!(f64::MAX)]);

    // The latest is by step, then time, then value; not by what came last.
    for (value, timestamp, step) in [(1.0, 5, 3), (2.0, 9, 2), (3.0, 4, 3), (4.0, 5, 3)] {
        api.log(&run, "l", value, timestamp, step).await;
    }
    let metrics = api.read(&format!("runs/get?run_id={run}")).await["run"]["data"]["metrics"].clone();
    assert_eq!(metrics[1], json!({"key": "l", "value": 4.0, "timestamp": 5, "step": 3}));
    assert_eq!(metrics[2]["value"], json!(f64::MAX));
    assert_eq!(api.history(&run, "l").await, [3.0, 1.0, 4.0, 2.0].map(Value::from));
}

pub(crate) async fn points_are_checked(store: Store) {
    let api = store.start().await;
    let run = &api.run().await;
    let body = |name: &str, value: Value| {
        let mut body = json!({"run_id": run, "key": "a", "value": 1.5, "timestamp": 1});
        body[name] = value;
        body
    };
    for (name, value, message) in [
        ("value", json!(null), "Missing value for required parameter 'value'. See the API docs"),
        ("timestamp", json!(null), "Missing value for required parameter 'timestamp'. See the API docs"),
        (
            "value",
            json!("abc"),
            "Invalid value \"abc\" for parameter 'value' supplied:  Hint: Value was of type 'str'.",
        ),
        (
            "timestamp",
            json!(-1),
            "Invalid value -1 for parameter 'timestamp' supplied: metric 'a' (value=1.5). Timestamp",
        ),
        ("key", json!("a%b"), "Invalid value \"a%b\" for parameter 'name' supplied: Names may only contain"),
        ("key", json!("k".repeat(251)), "'Metric name' exceeds the maximum length of 250 characters"),
    ] {
        let (status, _, text) = api.fails("runs/log-metric", body(name, value)).await;
        assert_eq!((status, &text[..message.len().min(text.len())]), (400, message));
    }
    assert_eq!(api.fails("runs/log-metric", body("run_id", json!("none"))).await.0, 404);
    let read = async |query: &str| api.get(&format!("/api/2.0/mlflow/metrics/{query}")).await.error().2;
    let limit = read(&format!("get-history?run_id={run}&metric_key=a&max_results=0")).await;
    assert_eq!(limit, "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer.");
    let token = read(&format!("get-history?run_id={run}&metric_key=a&page_token=x")).await;
    assert_eq!(token, "Invalid page token, could not base64-decode");
    api.ok("runs/delete", json!({"run_id": run})).await;
    let (status, _, text) = api.fails("runs/log-metric", body("step", json!(1))).await;
    assert_eq!(
        (status, text),
        (400, format!("The run {run} must be in the 'active' state. Current state is deleted."))
    );
}

pub(crate) async fn histories_grow_and_repeat_nothing(store: Store) {
    let api = store.start().await;
    let run = &api.run().await;
    let points = |from: i64, to: i64| -> Value {
        (from..to).map(|n| json!({"key": "loss", "value": n as f64 / 8.0, "timestamp": 1000 + n, "step": n})).collect()
    };
    let batch = async |from, to| api.ok("runs/log-batch", json!({"run_id": run, "metrics": points(from, to)})).await;
    for from in [0, 1000, 2000] {
        batch(from, from + 1000).await;
    }
    // A retry of what lies in closed chunks, with one point that is new.
    batch(200, 1100).await;
    batch(2500, 3001).await;
    let history = api.history(run, "loss").await;
    assert_eq!(history, (0..3001).map(|n| json!(f64::from(n) / 8.0)).collect::<Vec<_>>());

    let mut query = format!("metrics/get-history?run_id={run}&metric_key=loss&max_results=1000");
    let (mut pages, mut seen) = (0, 0);
    loop {
        let page = api.read(&query).await;
        (pages, seen) = (pages + 1, seen + page["metrics"].as_array().unwrap().len());
        let Some(token) = page["next_page_token"].as_str() else { break };
        query = format!("metrics/get-history?run_id={run}&metric_key=loss&max_results=1000&page_token={token}");
    }
    assert_eq!((pages, seen), (4, 3001));

    let steps = async |query: &str| -> Vec<i64> {
        let found = api.read(&format!("metrics/get-history-bulk-interval?run_ids={run}&metric_key=loss{query}")).await;
        found["metrics"].as_array().into_iter().flatten().map(|point| point["step"].as_i64().unwrap()).collect()
    };
    let all = steps("").await;
    assert_eq!((all.len(), all[0], all[2499]), (2500, 0, 3000));
    assert_eq!(steps("&max_results=4").await, [0, 751, 1501, 3000]);
    assert_eq!(steps("&start_step=10&end_step=13&max_results=9").await, [10, 11, 12, 13]);
    let query = format!("run_id=none&run_id={run}&metric_key=loss&max_results=2");
    let bulk = api.get(&format!("/ajax-api/2.0/mlflow/metrics/get-history-bulk?{query}")).await.json();
    assert_eq!(bulk["metrics"][1], json!({"key": "loss", "value": 0.125, "timestamp": 1001, "step": 1, "run_id": run}));
    assert_eq!(bulk["metrics"].as_array().unwrap().len(), 2);
    let refused = async |query: &str| {
        api.get(&format!("/api/2.0/mlflow/metrics/get-history-bulk-interval?metric_key=loss&{query}")).await.error().2
    };
    assert!(refused("run_ids=a&start_step=1").await.contains("both must be specified"));
    assert!(refused("run_ids=a&start_step=4&end_step=1").await.contains("Found start_step=4 and end_step=1."));
    assert!(refused(&"run_ids=a&".repeat(101)).await.contains("at most 100 run_ids. Received 101 run_ids."));
    assert!(refused("run_ids=a&max_results=2501").await.starts_with("max_results must be between 1 and 2500."));
}

pub(crate) async fn batches_are_all_or_nothing(store: Store) {
    let api = store.start().await;
    let run = &api.run().await;
    let pair = |key: &str, value: &str| json!({"key": key, "value": value});
    let point = |key: &str, value: f64, step: i64| json!({"key": key, "value": value, "timestamp": 1, "step": step});
    api.ok(
        "runs/log-batch",
        json!({
            "run_id": run,
            "metrics": [point("a", 1.0, 0), point("a", 2.0, 1), point("b", 3.0, 0), point("a", 1.0, 0)],
            "params": [pair("lr", "1"), pair("q", "it's")],
            "tags": [pair("t", "1"), pair("t", "2"), pair("mlflow.runName", "named")],
        }),
    )
    .await;
    let found = api.read(&format!("runs/get?run_id={run}")).await["run"].clone();
    assert_eq!(found["info"]["run_name"], json!("named"));
    let data = found["data"].clone();
    assert_eq!(data["metrics"], json!([point("a", 2.0, 1), point("b", 3.0, 0)]));
    assert_eq!(data["params"], json!([pair("lr", "1"), pair("q", "it's")]));
    assert_eq!(data["tags"], json!([pair("mlflow.runName", "named"), pair("t", "2")]));
    assert_eq!(api.history(run, "a").await, [1.0, 2.0].map(Value::from));

    let changing = json!({
        "run_id": run, "metrics": [point("new", 1.0, 0)], "tags": [pair("t", "3")],
        "params": [pair("lr", "1"), pair("fresh", "1"), pair("q", "x")],
    });
    let (status, code, message) = api.fails("runs/log-batch", changing).await;
    assert_eq!((status, code.as_str()), (400, "INVALID_PARAMETER_VALUE"));
    assert_eq!(
        message,
        format!(
            "Changing param values is not allowed. Params were already logged='[{{'key': 'q', 'old_value': \"it's\", \
         'new_value': 'x'}}]' for run ID='{run}'."
        )
    );
    assert_eq!(api.read(&format!("runs/get?run_id={run}")).await["run"]["data"], data, "nothing of it was logged");

    let fails = async |body: Value| {
        let mut body = body;
        body["run_id"] = run.as_str().into();
        api.fails("runs/log-batch", body).await.2
    };
    let missing = fails(json!({"metrics": [point("a", 1.0, 0), {"key": "b", "timestamp": 1}]})).await;
    assert!(
        missing.starts_with("Missing value for required parameter 'metrics[1].value'. See the API docs"),
        "{missing}"
    );
    assert!(fails(json!({"params": [{"value": "1"}]})).await.contains("'params[0].key'"));
    assert!(
        fails(json!({"tags": [pair("a%b", "1")]}))
            .await
            .starts_with("Invalid value \"a%b\" for parameter 'tags[0].key'")
    );
    let unknown =
        json!({"metrics": [{"key": "m", "value": 1, "timestamp": 1, "model_id": "m-none"}, point("c", 1.0, 0)]});
    fails(unknown).await;
    assert_eq!(api.history(run, "c").await, [Value::Null; 0], "a model that is not there undoes the batch");
    assert!(
        api.fails("runs/log-batch", json!({"run_id": "../x"}))
            .await
            .2
            .starts_with("Invalid value \"../x\" for parameter 'run_id'")
    );
}
