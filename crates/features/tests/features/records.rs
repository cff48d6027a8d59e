//! What the server keeps of views and their materialisations.

use axum::http::Method;
use mcplane_features::views::FeatureViewSpec;
use serde_json::{Value, json};

use crate::rig::{Api, Store};

const VIEWS: &str = "/apis/mcplane.io/v1alpha1/namespaces/default/featureviews";
const ID: &str = "67b3da4b-4218-4903-b5f8-dfd7e2cb75cb";

fn view(name: &str) -> Value {
    json!({
        "apiVersion": "mcplane.io/v1alpha1", "kind": "FeatureView", "metadata": {"name": name},
        "spec": {
            "sources": [{"name": "weather", "path": "/data/weather.csv"}],
            "sql": "SELECT * FROM weather", "entities": ["origin"], "timestampColumn": "time_hour",
            "features": [{"name": "temp", "type": "float64"}],
        },
    })
}

fn spec_digest(view: &Value) -> String {
    serde_json::from_value::<FeatureViewSpec>(view["spec"].clone()).unwrap().digest()
}

fn digest(digit: &str) -> String {
    format!("sha256:{}", digit.repeat(64))
}

fn told(view: &Value, id: &str) -> Value {
    json!({
        "apiVersion": "mcplane.io/v1alpha1", "kind": "Materialization",
        "spec": {
            "id": id, "generation": 1, "specDigest": spec_digest(view), "rows": 26115,
            "inputs": [{"source": "weather", "path": "/data/weather.csv", "digest": digest("a")}],
            "output": "/data/weather.parquet", "outputDigest": digest("b"),
            "startedAt": "2026-11-01T00:00:00Z", "finishedAt": "2026-11-01T00:00:02Z",
        },
    })
}

impl Api {
    async fn view(&self, name: &str) -> Value {
        let (status, made) = self.send(Method::POST, VIEWS, &view(name)).await;
        assert_eq!(status, 201, "{made}");
        made
    }

    async fn tell(&self, name: &str, told: &Value) -> (u16, Value) {
        self.send(Method::POST, &format!("{VIEWS}/{name}/materializations"), told).await
    }
}

pub(crate) async fn views_are_objects_with_rules(store: Store) {
    let api = store.start().await;
    api.view("weather").await;
    assert_eq!(api.get(VIEWS).await["items"].as_array().unwrap().len(), 1);
    let mut wrong = view("wrong");
    wrong["spec"]["ttl"] = "soon".into();
    wrong["spec"]["entities"] = json!(["temp"]);
    let (status, answer) = api.send(Method::POST, VIEWS, &wrong).await;
    assert_eq!(status, 422, "{answer}");
    let fields: Vec<&str> =
        answer["details"]["causes"].as_array().unwrap().iter().map(|cause| cause["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["spec.features[0].name", "spec.ttl"]);
    let (status, answer) = api.send(Method::POST, VIEWS, &json!({"metadata": {"name": "empty"}})).await;
    assert_eq!(status, 422, "{answer}");
}

pub(crate) async fn materialisations_are_on_record_once(store: Store) {
    let api = store.start().await;
    let weather = api.view("weather").await;
    for _ in 0..2 {
        let (status, kept) = api.tell("weather", &told(&weather, ID)).await;
        assert_eq!((status, &kept["status"]["recordedBy"]), (201, &json!("tester")), "{kept}");
    }
    // An earlier one is kept, but not shown.
    let mut earlier = told(&weather, "00000000-0000-0000-0000-000000000001");
    earlier["spec"]["finishedAt"] = "2026-11-01T00:00:01Z".into();
    assert_eq!(api.tell("weather", &earlier).await.0, 201);
    drop(api);
    let api = store.start().await;
    let history = api.get(&format!("{VIEWS}/weather/history")).await;
    let ids: Vec<&str> =
        history["materializations"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["00000000-0000-0000-0000-000000000001", ID]);
    let weather = api.get(&format!("{VIEWS}/weather")).await;
    let last = &weather["status"]["lastMaterialization"];
    assert_eq!((&last["id"], &last["rows"], &last["recordedBy"]), (&json!(ID), &json!(26115), &json!("tester")));
    assert_eq!((&last["outputDigest"], &weather["metadata"]["generation"]), (&json!(digest("b")), &json!(1)));
    // A change of the view leaves the status, which is of the generation before.
    let mut changed = weather.clone();
    changed["spec"]["ttl"] = "1h".into();
    changed["status"] = json!({});
    let (status, changed) = api.send(Method::PUT, &format!("{VIEWS}/weather"), &changed).await;
    let generations = (&changed["metadata"]["generation"], &changed["status"]["lastMaterialization"]["generation"]);
    assert_eq!((status, generations), (200, (&json!(2), &json!(1))), "{changed}");
}

pub(crate) async fn what_is_told_must_fit_the_view(store: Store) {
    let api = store.start().await;
    let weather = api.view("weather").await;
    assert_eq!(api.tell("nil", &told(&weather, ID)).await.0, 404);
    for (field, value, words) in [
        ("generation", json!(2), "spec.generation must be 1 to 1"),
        ("specDigest", json!(digest("c")), "spec.specDigest must be sha256:"),
        ("id", json!("x"), "spec.id must be a UUID"),
        ("inputs", json!([]), "spec.inputs must be 1 to 900 files"),
        ("colour", json!("red"), "unknown field `colour`"),
        ("rows", json!("many"), "spec: invalid type"),
    ] {
        let mut wrong = told(&weather, ID);
        wrong["spec"][field] = value;
        let (status, answer) = api.tell("weather", &wrong).await;
        assert!(status == 400 && answer["message"].as_str().unwrap().contains(words), "{answer}");
    }
    assert_eq!(api.get(&format!("{VIEWS}/weather/history")).await["materializations"], json!([]));
    // An id is one view's.
    assert_eq!(api.tell("weather", &told(&weather, ID)).await.0, 201);
    let other = api.view("other").await;
    assert_eq!(api.tell("other", &told(&other, ID)).await.0, 409);
    // A view that is made anew begins anew.
    assert_eq!(api.send(Method::DELETE, &format!("{VIEWS}/weather"), &Value::Null).await.0, 200);
    api.view("weather").await;
    assert_eq!(api.get(&format!("{VIEWS}/weather/history")).await["materializations"], json!([]));
}

pub(crate) async fn records_are_in_lineage(store: Store) {
    let api = store.start().await;
    let weather = api.view("weather").await;
    assert_eq!(api.tell("weather", &told(&weather, ID)).await.0, 201);
    let output = format!("dataset:file:///data/weather.parquet@{}", digest("b"));
    let node = output.replace('@', "%40").replace(':', "%3A").replace('/', "%2F");
    let graph = "/lineage/v1/namespaces/default/graph?direction=upstream&node=";
    let found = api.get(&format!("{graph}{node}")).await;
    let edges: Vec<String> = found["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| {
            format!(
                "{} {} {}",
                edge["from"].as_str().unwrap(),
                edge["kind"].as_str().unwrap(),
                edge["to"].as_str().unwrap()
            )
        })
        .collect();
    let run = format!("run:{}", ID.replace('-', ""));
    for edge in [
        format!("{run} output {output}"),
        format!("dataset:file:///data/weather.csv@{} input {run}", digest("a")),
        format!("job:mcplane:default/featureview/weather execution {run}"),
    ] {
        assert!(edges.contains(&edge), "no {edge} in {edges:#?}");
    }
    let job = found["nodes"].as_array().unwrap().iter().find(|node| node["kind"] == "job").unwrap();
    assert_eq!(job["facets"]["openlineage"]["sql"]["query"], "SELECT * FROM weather", "{job}");
}

pub(crate) async fn a_namespace_takes_its_records_along(store: Store) {
    let api = store.start().await;
    let weather = api.view("weather").await;
    assert_eq!(api.tell("weather", &told(&weather, ID)).await.0, 201);
    assert_eq!(api.empty("other").await, None);
    assert_eq!(api.get(&format!("{VIEWS}/weather/history")).await["materializations"].as_array().unwrap().len(), 1);
    assert_eq!(api.empty("default").await, None);
    assert_eq!(api.get(&format!("{VIEWS}/weather/history")).await["materializations"], json!([]));
}
