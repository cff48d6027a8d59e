//! What people do with runs: by kubectl, by the command line, with the SDK.

use std::path::Path;

use mcplane_testkit::process::{Output, run};
use mcplane_testkit::python::Venv;
use mcplane_testkit::{Backend, Kubectl, Server, eventually, on_each_backend};
use serde_json::{Value, json};

use super::{RUNS, begin, call, detail, ended, outputs, server, shell, steps};

on_each_backend!(runs_are_objects, runs_are_ended, wrong_pipelines_are_refused, retries_begin_with_nothing);

fn manifest(name: &str, spec: &Value) -> String {
    json!({"apiVersion": "mcplane.io/v1alpha1", "kind": "PipelineRun", "metadata": {"name": name}, "spec": spec})
        .to_string()
}

fn cli(server: &Server, line: &[&str]) -> Output {
    let mut command = server.cli();
    command.arg("pipeline").args(line).env("MCPLANE_URL", server.url());
    run(&mut command, None)
}

fn runs_are_objects(backend: Backend) {
    let server = server(backend);
    let k = Kubectl::http(&server.url());
    let spec = shell("greet", &[("hello", "echo hello $MCPLANE_NAMESPACE", &[]), ("bye", "echo bye", &["hello"])]);
    let version = json!({
        "apiVersion": "pipelines.kubeflow.org/v2beta1", "kind": "PipelineVersion", "metadata": {"name": "greet-1"},
        "spec": {"pipelineName": "greet", "pipelineSpec": spec},
    });
    k.feed("apply -f -", &version.to_string()).ok();
    let watcher = k.spawn("get pipelineruns -w");
    k.feed("apply -f -", &manifest("one", &json!({"pipelineRef": {"name": "greet"}}))).ok();
    k.ok("wait --for=condition=Succeeded pipelinerun/one --timeout=120s");
    watcher.until("SUCCEEDED");
    let table = k.ok("get prun one");
    let cells: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(&cells[..4], ["one", "greet", "SUCCEEDED", "2/2"], "{table}");
    assert!(table.starts_with("NAME"), "{table}");

    let pods = k.ok("get pods -l mcplane.io/pipelines=step --field-selector=status.phase=Succeeded -o name");
    let logs: String = pods.lines().map(|pod| k.ok(format!("logs {pod}").as_str())).collect();
    assert!(logs.contains("hello default\n") && logs.contains("bye\n"), "{pods}: {logs}");
    assert_eq!(cli(&server, &["logs", "one", "hello"]).ok(), "hello default\n");
    let all = cli(&server, &["logs", "one"]).ok();
    assert!(all.contains("--- root/hello (SUCCEEDED)\nhello default\n"), "{all}");
    assert!(cli(&server, &["logs", "one", "nothing"]).err().contains("there is no step \"nothing\""));
    assert!(cli(&server, &["get", "one"]).ok().contains("root/bye: SUCCEEDED"));
    assert!(cli(&server, &["list"]).ok().contains("greet"));

    // A run does not change, and takes what it did along.
    let changed = json!({"spec": {"enableCache": false}});
    let (status, answer) = call(&server, "PATCH", &format!("{RUNS}/one"), &changed);
    assert_eq!(status, 422, "{answer}");
    k.ok("delete pipelinerun one");
    eventually("its pods go with it", 90, || k.ok("get pods").is_empty().then_some(()));
    assert_eq!(call(&server, "GET", &format!("{RUNS}/one/steps"), &Value::Null).0, 404);
}

fn runs_are_ended(backend: Backend) {
    let server = server(backend);
    let spec = shell("long", &[("sleeps", "echo up; exec sleep 600", &[]), ("never", "true", &["sleeps"])]);
    begin(&server, "long", &json!({"pipelineSpec": spec}));
    eventually("the step runs", 60, || {
        let detail = detail(&server, "long");
        let task = steps(&detail, "sleeps").next()?["taskId"].as_str().filter(|task| !task.is_empty())?.to_owned();
        let (_, task) = call(&server, "GET", &format!("/tasks/v1/namespaces/default/tasks/{task}"), &Value::Null);
        (task["state"] == "running").then_some(())
    });
    assert_eq!(cli(&server, &["cancel", "long"]).ok(), "run long is told to end\n");
    let status = ended(&server, "long");
    assert_eq!(status["state"], "CANCELED", "{status}");
    let states: Vec<&Value> = status["stateHistory"].as_array().unwrap().iter().map(|state| &state["state"]).collect();
    assert!(states.contains(&&json!("CANCELING")), "{states:?}");
    let detail = detail(&server, "long");
    assert_eq!(steps(&detail, "sleeps").next().unwrap()["state"], "CANCELED");
    assert!(steps(&detail, "never").all(|step| step["state"] != "SUCCEEDED"));

    // What fails says why, with its exit code.
    begin(&server, "fails", &json!({"pipelineSpec": shell("fails", &[("breaks", "echo broken >&2; exit 7", &[])])}));
    let status = ended(&server, "fails");
    assert_eq!(status["state"], "FAILED");
    let step = &status["stepStates"][0];
    assert!(step["message"].as_str().unwrap().contains("exit code 7"), "{status}");
    assert_eq!(cli(&server, &["logs", "fails", "breaks"]).ok(), "broken\n");
}

fn wrong_pipelines_are_refused(backend: Backend) {
    let server = server(backend);
    let mut lost = shell("lost", &[("a", "true", &[])]);
    lost["root"]["dag"]["tasks"]["a"]["dependentTasks"] = json!(["b"]);
    let run = |spec: &Value| serde_json::from_str::<Value>(&manifest("wrong", spec)).unwrap();
    let refused = |spec: Value, words: &[&str]| {
        let (status, answer) = call(&server, "POST", RUNS, &run(&spec));
        let message = answer["message"].as_str().unwrap_or_default();
        assert_eq!(status, 422, "{answer}");
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    refused(json!({"pipelineSpec": lost}), &["spec.pipelineSpec", "dependentTasks[0]", "\"b\""]);
    refused(json!({"pipelineSpec": "a: ["}), &["spec.pipelineSpec", "not valid YAML"]);
    let fine = shell("fine", &[("a", "true", &[])]);
    refused(json!({"pipelineSpec": fine, "parameters": {"x": 1}}), &["spec.parameters", "x"]);
    refused(json!({}), &["exactly one of pipelineSpec, pipelineRef and versionRef"]);

    // What is not there is known only when the run begins.
    begin(&server, "nowhere", &json!({"versionRef": {"name": "nothing"}}));
    let status = ended(&server, "nowhere");
    assert!(status["message"].as_str().unwrap().contains("there is no PipelineVersion \"nothing\""), "{status}");
    let large = "x".repeat(110 << 10);
    begin(&server, "large", &json!({"pipelineSpec": shell("large", &[("a", &format!(": {large}"), &[])])}));
    let status = ended(&server, "large");
    assert!(status["stepStates"][0]["message"].as_str().unwrap().contains("hand it over in a file"), "{status}");
}

/// What a failed attempt wrote is gone before the next one starts: no output of the former is taken for one of the latter.
fn retries_begin_with_nothing(backend: Backend) {
    let server = server(backend);
    let (first, found) = (server.scratch().join("first"), server.scratch().join("found"));
    let script = |step: &str, then: &str| {
        format!(
            "n={{{{$.outputs.parameters['n'].output_file}}}}; model={{{{$.outputs.artifacts['model'].path}}}}
             if mkdir {first}-{step}; then
                 printf 1 > $n; mkdir $model; echo old > $model/weights; echo old > $model.partial
                 echo '{{\"parameterValues\": {{\"n\": 1}}}}' > {{{{$.outputs.output_file}}}}
                 exit 1
             fi
             ls -A $(dirname $model) $(dirname $n) > {found}-{step}
             {then}",
            first = first.display(),
            found = found.display(),
        )
    };
    let (writes, forgets) = (script("writes", "printf 2 > $n"), script("forgets", "true"));
    let mut spec = shell("again", &[("writes", &writes, &[]), ("forgets", &forgets, &[])]);
    for step in ["writes", "forgets"] {
        spec["root"]["dag"]["tasks"][step]["retryPolicy"] = json!({"maxRetryCount": 1, "backoffDuration": "0s"});
        spec["components"][format!("comp-{step}")]["outputDefinitions"] = json!({
            "parameters": {"n": {"parameterType": "NUMBER_INTEGER"}},
            "artifacts": {"model": {"artifactType": {"schemaTitle": "system.Model", "schemaVersion": "0.0.1"}}},
        });
    }
    begin(&server, "again", &json!({"pipelineSpec": spec}));
    let status = ended(&server, "again");
    assert_eq!(status["state"], "FAILED", "{status}");
    let detail = detail(&server, "again");
    let [writes, forgets] = ["writes", "forgets"].map(|step| steps(&detail, step).next().unwrap());
    assert_eq!((&writes["state"], &writes["outputs"]["parameters"]["n"]), (&json!("SUCCEEDED"), &json!(2)), "{detail}");
    assert_eq!(writes["digests"].as_object().map(serde_json::Map::len).unwrap_or_default(), 0, "no model: {detail}");
    assert_eq!(forgets["state"], "FAILED", "{detail}");
    assert!(forgets["error"].as_str().unwrap().contains("the task wrote no value for it"), "{detail}");
    for step in ["writes", "forgets"] {
        let found = std::fs::read_to_string(format!("{}-{step}", found.display())).unwrap();
        let files: Vec<&str> = found.lines().filter(|line| !line.is_empty() && !line.ends_with(':')).collect();
        assert_eq!(files, [".parameters"], "{found}");
    }
}

/// The unmodified SDK compiles a pipeline, whose steps are tracked.
#[test]
fn what_the_sdk_compiles_is_run_and_tracked() {
    let server = server(Backend::Sqlite);
    let (program, file) = (server.scratch().join("train.py"), server.scratch().join("train.yaml"));
    std::fs::write(&program, PROGRAM).unwrap();
    let venv = Venv::with(include_str!("requirements.txt"));
    venv.run(&program, &[file.to_str().unwrap()]).ok();
    let told = cli(&server, &["run", program.to_str().unwrap()]);
    assert_eq!(told.code, 2, "{told}");
    assert!(told.stderr.contains("kfp dsl compile"), "{told}");
    let path = file.to_str().unwrap();
    assert!(cli(&server, &["run", path, "-p", "rats=1"]).err().contains("no parameter \"rats\"; it has rate"));

    let done = cli(&server, &["run", path, "--name", "sdk", "-p", "rate=0.5"]);
    assert_eq!(done.code, 0, "{done}\n{}", server.log());
    assert!(done.stderr.contains("✓ fit succeeded") && done.stdout == "run sdk succeeded\n", "{done}");
    let failed = cli(&server, &["run", path, "--name", "bad", "-p", "rate=-1"]);
    assert_eq!(failed.code, 1, "{failed}");
    assert!(failed.stderr.contains("✗ fit failed"), "{failed}");

    let detail = detail(&server, "sdk");
    assert_eq!(outputs(&detail, "judge"), [json!("good")]);
    tracked(&server, &detail);
    lineage(&server, &detail, path);
}

/// The client of Kubeflow's REST API comes as source alone, and compiling needs none of it.
const PROGRAM: &str = r#"
import sys
from unittest import mock
sys.modules['kfp_server_api'] = mock.MagicMock()
from kfp import compiler, dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

@dsl.component
def prepare(data: Output[Dataset]):
    with open(data.path, 'w') as file:
        file.write('1,2,3')

@dsl.component
def fit(data: Input[Dataset], rate: float, model: Output[Model], metrics: Output[Metrics]) -> float:
    assert rate > 0, rate
    import os
    assert os.environ['MLFLOW_RUN_ID'] and os.environ['MLFLOW_EXPERIMENT_ID']
    metrics.log_metric('accuracy', 0.75)
    with open(model.path, 'w') as file:
        file.write(open(data.path).read() + str(rate))
    return 0.75

@dsl.component
def judge(accuracy: float) -> str:
    return 'good' if accuracy > 0.5 else 'bad'

@dsl.pipeline(name='sdk-train')
def pipeline(rate: float = 0.1):
    prepared = prepare()
    fitted = fit(data=prepared.outputs['data'], rate=rate)
    judge(accuracy=fitted.outputs['Output'])

compiler.Compiler().compile(pipeline, sys.argv[1])
"#;

pub(crate) fn mlflow(server: &Server, path: &str) -> Value {
    call(server, "GET", &format!("/api/2.0/mlflow/{path}"), &Value::Null).1
}

/// A run for the pipeline's, and one in it for each step.
fn tracked(server: &Server, detail: &Value) {
    let experiment = mlflow(server, "experiments/get-by-name?experiment_name=sdk-train");
    assert_eq!(experiment["experiment"]["experiment_id"], detail["run"]["experimentId"], "{experiment}");
    let of = |id: &Value| mlflow(server, &format!("runs/get?run_id={}", id.as_str().unwrap()))["run"].clone();
    let whole = of(&detail["run"]["runId"]);
    assert_eq!((&whole["info"]["status"], &whole["info"]["run_name"]), (&json!("FINISHED"), &json!("sdk")));
    assert_eq!(whole["data"]["params"], json!([{"key": "rate", "value": "0.5"}]));
    let fit = of(&steps(detail, "fit").next().unwrap()["runId"]);
    assert_eq!(fit["info"]["status"], "FINISHED", "{fit}");
    let metric = &fit["data"]["metrics"][0];
    assert_eq!((&metric["key"], &metric["value"]), (&json!("accuracy"), &json!(0.75)), "{fit}");
    assert_eq!(fit["data"]["params"], json!([{"key": "rate", "value": "0.5"}]));
    let parent = fit["data"]["tags"].as_array().unwrap().iter().find(|tag| tag["key"] == "mlflow.parentRunId").unwrap();
    assert_eq!(parent["value"], detail["run"]["runId"]);
}

/// From the model back to the data that it was made of.
fn lineage(server: &Server, detail: &Value, _: &str) {
    let fit = steps(detail, "fit").next().unwrap();
    let uri = fit["outputs"]["artifacts"]["model"][0]["uri"].as_str().unwrap();
    let digest = fit["digests"][uri].as_str().unwrap();
    let node =
        format!("dataset:file://{uri}@sha256:{digest}").replace(':', "%3A").replace('@', "%40").replace('/', "%2F");
    let path = format!("/lineage/v1/namespaces/default/graph?node={node}&direction=upstream");
    let (status, graph) = call(server, "GET", &path, &Value::Null);
    assert_eq!(status, 200, "{graph}");
    let runs: Vec<&str> = graph["nodes"].as_array().unwrap().iter().filter_map(|node| node["id"].as_str()).collect();
    for task in ["fit", "prepare"] {
        let run = format!("run:{}", steps(detail, task).next().unwrap()["runId"].as_str().unwrap());
        assert!(runs.contains(&run.as_str()), "{task}: {graph}");
    }
    assert!(Path::new(uri).is_file());
}
