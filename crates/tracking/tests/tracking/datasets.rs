//! What runs read and write.

use serde_json::{Value, json};

use crate::rig::{Api, Store};

fn dataset(name: &str, digest: &str) -> Value {
    json!({"name": name, "digest": digest, "source_type": "local", "source": "s"})
}

async fn run(api: &Api, id: &str) -> Value {
    api.read(&format!("runs/get?run_id={id}")).await["run"].clone()
}

pub(crate) async fn inputs_are_logged_once(store: Store) {
    let api = store.start().await;
    let id = api.run().await;
    assert_eq!(run(&api, &id).await["inputs"], json!({}));
    assert_eq!(run(&api, &id).await["outputs"], json!({}));
    let tags = json!([{"key": "mlflow.data.context", "value": "train"}, {"key": "a", "value": ""}]);
    let mut first = dataset("iris", "1");
    first["schema"] = json!("columns");
    let datasets =
        json!([{"tags": tags, "dataset": first}, {"dataset": dataset("iris", "1")}, {"dataset": dataset("a", "1")}]);
    let models = json!([{"model_id": "m-2"}, {"model_id": "m-1"}]);
    api.ok("runs/log-inputs", json!({"run_id": id, "datasets": datasets, "models": models})).await;
    // What is known stays as it was: a retry changes nothing.
    let again = json!([{"tags": [{"key": "a", "value": "other"}], "dataset": dataset("iris", "1")}]);
    api.ok("runs/log-inputs", json!({"run_id": id, "datasets": again, "models": [{"model_id": "m-1"}]})).await;
    let sorted = json!([{"key": "a", "value": ""}, {"key": "mlflow.data.context", "value": "train"}]);
    let expected = json!({
        "dataset_inputs": [{"tags": sorted, "dataset": first}, {"dataset": dataset("a", "1")}],
        "model_inputs": [{"model_id": "m-1"}, {"model_id": "m-2"}],
    });
    assert_eq!(run(&api, &id).await["inputs"], expected);

    // Another run of the experiment uses the description that is there.
    let other = api.run().await;
    api.ok("runs/log-inputs", json!({"run_id": other, "datasets": [{"dataset": dataset("iris", "1")}]})).await;
    assert_eq!(run(&api, &other).await["inputs"]["dataset_inputs"], json!([{"dataset": first}]));

    let refused = async |body: Value| api.fails("runs/log-inputs", body).await;
    assert_eq!(refused(json!({"run_id": "none"})).await.2, "Run with id=none not found");
    assert!(refused(json!({})).await.2.starts_with("Missing value for required parameter 'run_id'."));
    let long = json!({"run_id": id, "datasets": [{"dataset": dataset("n", &"x".repeat(37))}]});
    assert_eq!(refused(long).await.2, "'digest' exceeds the maximum length of 36 characters");
    let twice = json!([{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]);
    let twice = json!({"run_id": id, "datasets": [{"dataset": dataset("n", "x"), "tags": twice}]});
    assert_eq!(refused(twice).await.1, "BAD_REQUEST");
    api.ok("runs/delete", json!({"run_id": id})).await;
    assert!(refused(json!({"run_id": id})).await.2.contains("must be in the 'active' state"));
}

pub(crate) async fn outputs_are_models_with_steps(store: Store) {
    let api = store.start().await;
    let id = api.run().await;
    let models = json!([{"model_id": "m-9", "step": "3"}, {"model_id": "m-8"}]);
    api.ok("runs/outputs", json!({"run_id": id, "models": models})).await;
    let expected = json!({"model_outputs": [{"model_id": "m-8", "step": 0}, {"model_id": "m-9", "step": 3}]});
    assert_eq!(run(&api, &id).await["outputs"], expected);
    api.ok("runs/outputs", json!({"run_id": id, "models": [{"model_id": "m-9", "step": 4}]})).await;
    assert_eq!(run(&api, &id).await["outputs"]["model_outputs"][1]["step"], json!(4));
    api.ok("runs/outputs", json!({"run_id": id, "models": []})).await;
    let (_, _, message) = api.fails("runs/outputs", json!({"run_id": id})).await;
    assert!(message.starts_with("Missing value for required parameter 'models'."), "{message}");
}

pub(crate) async fn datasets_are_found_by_experiment(store: Store) {
    let api = store.start().await;
    let experiment = api.experiment("iris").await;
    for (name, context) in [("b", "train"), ("a", "train"), ("b", "train"), ("b", "eval")] {
        let id = api.run_in(&experiment).await;
        let tags = json!([{"key": "mlflow.data.context", "value": context}]);
        api.ok("runs/log-inputs", json!({"run_id": id, "datasets": [{"dataset": dataset(name, "1"), "tags": tags}]}))
            .await;
    }
    let id = api.run_in(&experiment).await;
    api.ok("runs/log-inputs", json!({"run_id": id, "datasets": [{"dataset": dataset("c", "1")}]})).await;
    let summary = |name: &str, context: &str| json!({"experiment_id": experiment, "name": name, "digest": "1", "context": context});
    let plain = json!({"experiment_id": experiment, "name": "c", "digest": "1"});
    let expected = json!([summary("a", "train"), summary("b", "eval"), summary("b", "train"), plain]);
    for path in ["/ajax-api/2.0/mlflow", "/api/2.0mlflow"] {
        let path = format!("{path}/experiments/search-datasets");
        let found = api.post(&path, &json!({"experiment_ids": ["0", experiment]})).await;
        assert_eq!(found.json(), json!({"dataset_summaries": expected}));
    }
    let search = "experiments/search-datasets";
    assert_eq!(api.ok(search, json!({"experiment_ids": ["77"]})).await, json!({}));
    let none = api.fails(search, json!({})).await;
    assert_eq!(none.2, "SearchDatasets request must specify at least one experiment_id.");
    let many: Vec<String> = (0..21).map(|id| id.to_string()).collect();
    let message = api.fails(search, json!({"experiment_ids": many})).await.2;
    assert!(message.ends_with("more than 20 experiment_ids. Received 21 experiment_ids."), "{message}");
}
