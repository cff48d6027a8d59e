//! What MLflow's pages ask over GraphQL.

use serde_json::{Value, json};

use crate::rig::{Api, Store};

async fn ask(api: &Api, query: &str, variables: Value) -> Value {
    let answer = api.post("/graphql", &json!({"query": query, "variables": variables})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

pub(crate) async fn pages_get_what_they_select(store: Store) {
    let api = store.start().await;
    let run = api.run().await;
    api.ok("runs/log-metric", json!({"run_id": run, "key": "loss", "value": 0.5, "timestamp": 7, "step": 2})).await;
    api.ok("runs/log-metric", json!({"run_id": run, "key": "nan", "value": "NaN", "timestamp": 7})).await;
    let dataset = json!({"name": "iris", "digest": "1", "source_type": "local", "source": "s"});
    api.ok("runs/log-inputs", json!({"run_id": run, "datasets": [{"dataset": dataset}]})).await;
    let query = "query GetRun($data: MlflowGetRunInput!) @component(name: \"page\") {
        mlflowGetRun(input: $data) {
            __typename
            apiError { code message }
            run {
                info { runId runUuid status startTime endTime experimentId }
                experiment { name lastUpdateTime tags { key } }
                data { ...Metrics }
                inputs { datasetInputs { dataset { name profile } tags { key } } modelInputs { modelId } }
                outputs { modelOutputs { modelId } }
            }
        }
    }
    fragment Metrics on MlflowRunData { metrics { key value step timestamp __typename } }";
    let got = ask(&api, query, json!({"data": {"runId": run}})).await;
    assert_eq!(got["errors"], Value::Null);
    let got = &got["data"]["mlflowGetRun"];
    assert_eq!((&got["__typename"], &got["apiError"]), (&json!("MlflowGetRunResponse"), &Value::Null));
    let info = json!({
        "runId": run, "runUuid": run, "status": "RUNNING", "startTime": "1", "endTime": "0", "experimentId": "0",
    });
    assert_eq!(got["run"]["info"], info);
    assert_eq!((&got["run"]["experiment"]["name"], &got["run"]["experiment"]["tags"]), (&json!("Default"), &json!([])));
    assert!(got["run"]["experiment"]["lastUpdateTime"].is_string(), "64-bit numbers are texts");
    let metric = |key: &str, value: Value, step: &str| json!({"key": key, "value": value, "step": step, "timestamp": "7", "__typename": "MlflowMetricExtension"});
    assert_eq!(
        got["run"]["data"]["metrics"],
        json!([metric("loss", json!(0.5), "2"), metric("nan", Value::Null, "0")])
    );
    let inputs =
        json!({"datasetInputs": [{"dataset": {"name": "iris", "profile": ""}, "tags": []}], "modelInputs": []});
    assert_eq!((&got["run"]["inputs"], &got["run"]["outputs"]), (&inputs, &json!({"modelOutputs": []})));

    let sampled = "{ mlflowGetMetricHistoryBulkInterval(input: {runIds: [\"RUN\"], metricKey: \"loss\"}) \
                   { metrics { key value runId step } } }";
    let sampled = ask(&api, &sampled.replace("RUN", &run), Value::Null).await["data"].clone();
    let point = json!({"key": "loss", "value": 0.5, "runId": run, "step": "2"});
    assert_eq!(sampled["mlflowGetMetricHistoryBulkInterval"]["metrics"], json!([point]));
    let files =
        "{ mlflowListArtifacts(input: {runId: \"RUN\"}) { rootUri files { path isDir fileSize } nextPageToken } }";
    let files = ask(&api, &files.replace("RUN", &run), Value::Null).await["data"]["mlflowListArtifacts"].clone();
    let root = format!("mlflow-artifacts:/0/{run}/artifacts");
    assert_eq!(files, json!({"rootUri": root, "files": [], "nextPageToken": ""}));
    let found =
        "mutation { mlflowSearchDatasets(input: {experimentIds: [\"0\"]}) { datasetSummaries { name context } } }";
    let found = ask(&api, found, Value::Null).await["data"]["mlflowSearchDatasets"].clone();
    assert_eq!(found, json!({"datasetSummaries": [{"name": "iris", "context": ""}]}));
}

pub(crate) async fn errors_are_told_beside_data(store: Store) {
    let api = store.start().await;
    let both = "{ mlflowGetRun(input: {runId: \"none\"}) { run { info { runId } } } \
                exp: mlflowGetExperiment(input: {experimentId: \"0\"}) { experiment { name } } }";
    let expected = json!({
        "data": {"mlflowGetRun": null, "exp": {"experiment": {"name": "Default"}}},
        "errors": ["Run with id=none not found"],
    });
    assert_eq!(ask(&api, both, Value::Null).await, expected);
    let nothing = ask(&api, "{ nope }", Value::Null).await;
    assert_eq!(nothing, json!({"data": null, "errors": ["Cannot query field 'nope' on type 'Query'."]}));
    let many: String = (0..11).map(|n| format!("t{n}: test(inputString: \"x\") {{ output }} ")).collect();
    let refused = ask(&api, &format!("{{ {many} }}"), Value::Null).await;
    assert!(refused["errors"][0].as_str().unwrap().starts_with("GraphQL queries should have at most 10 root fields"));
    let echo = ask(&api, "{ test(inputString: \"x\") { output } }", Value::Null).await;
    assert_eq!(echo, json!({"data": {"test": {"output": "x"}}, "errors": null}));
    let other = [("x-mlflow-workspace", "other"), ("content-type", "application/json")];
    let run = api.run().await;
    let body =
        json!({"query": format!("{{ mlflowGetRun(input: {{runId: \"{run}\"}}) {{ run {{ info {{ runId }} }} }} }}")});
    let foreign = api.send(axum::http::Method::POST, "/graphql", &other, body.to_string().into_bytes()).await.json();
    assert_eq!(foreign["errors"][0], json!(format!("Run with id={run} not found")));
    assert_eq!(api.post("/graphql", &json!({})).await.error().0, 400);
    let got = api.get("/graphql?query=%7Btest(inputString:%22y%22)%7Boutput%7D%7D").await.json();
    assert_eq!(got["data"]["test"]["output"], json!("y"));
}
