//! Pipelines on the real server: every one of the corpus that the SDK compiled, and what people do with runs.

mod corpus;
mod crash;
mod work;

pub(crate) use work::mlflow;

use std::path::PathBuf;
use std::time::Duration;

use mcplane_testkit::http::send;
use mcplane_testkit::{Backend, Server, eventually};
use serde_json::{Map, Value, json};

const RUNS: &str = "/apis/mcplane.io/v1alpha1/namespaces/default/pipelineruns";
/// Long enough for a machine that does much else.
const PATIENCE: u64 = 240;

/// A server on a machine with room for what pipelines ask.
fn server(backend: Backend) -> Server {
    let room = [
        "--set",
        "agent.capacity.cpu=16",
        "--set",
        "agent.capacity.memory=64GiB",
        "--set",
        "agent.capacity.gpu=1",
        "--set",
        "scheduler.worker-pool-size=8",
    ];
    Server::start_with(env!("CARGO_BIN_EXE_mcplane"), backend, &room)
}

/// A pipeline of the corpus, as text.
fn compiled(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../pipelines/tests/pipelines/corpus");
    std::fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap()
}

/// A request with a JSON body; status and answer.
pub(crate) fn call(server: &Server, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        server.address(),
        text.len()
    );
    let answer = send(server.address(), &head, text.as_bytes()).expect("an answer");
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

/// Begins a run.
#[track_caller]
fn begin(server: &Server, name: &str, spec: &Value) {
    let run =
        json!({"apiVersion": "mcplane.io/v1alpha1", "kind": "PipelineRun", "metadata": {"name": name}, "spec": spec});
    let (status, answer) = call(server, "POST", RUNS, &run);
    assert_eq!(status, 201, "{name}: {answer}");
}

fn is_final(state: &Value) -> bool {
    ["SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"].iter().any(|word| state == word)
}

/// The status of a run once it has ended.
#[track_caller]
pub(crate) fn ended(server: &Server, name: &str) -> Value {
    eventually(&format!("run {name} ends"), PATIENCE, || {
        let (_, run) = call(server, "GET", &format!("{RUNS}/{name}"), &Value::Null);
        if is_final(&run["status"]["state"]) {
            return Some(run["status"].clone());
        }
        std::thread::sleep(Duration::from_millis(50));
        None
    })
}

/// All that is known of a run.
pub(crate) fn detail(server: &Server, name: &str) -> Value {
    call(server, "GET", &format!("{RUNS}/{name}/steps"), &Value::Null).1
}

/// What the steps of a task gave, in the order of their places.
pub(crate) fn outputs(detail: &Value, task: &str) -> Vec<Value> {
    let mut found: Vec<(&str, Value)> = steps(detail, task)
        .filter(|step| step["state"] == "SUCCEEDED")
        .filter_map(|step| {
            let parameters = step["outputs"]["parameters"].as_object()?;
            let value = parameters.get("Output").cloned().unwrap_or_else(|| Value::Object(parameters.clone()));
            Some((step["node"].as_str()?, value))
        })
        .collect();
    found.sort_by_key(|(node, _)| (*node).to_owned());
    found.into_iter().map(|(_, value)| value).collect()
}

pub(crate) fn steps<'d>(detail: &'d Value, task: &'d str) -> impl Iterator<Item = &'d Value> {
    detail["steps"].as_array().into_iter().flatten().filter(move |step| step["task"] == task)
}

/// A pipeline of shell scripts: name, script, and what comes before it.
fn shell(name: &str, tasks: &[(&str, &str, &[&str])]) -> Value {
    let (mut components, mut executors, mut dag) = (Map::new(), Map::new(), Map::new());
    for (task, script, after) in tasks {
        let (component, executor) = (format!("comp-{task}"), format!("exec-{task}"));
        executors.insert(executor.clone(), json!({"container": {"image": "shell", "command": ["sh", "-ec", script]}}));
        let mut made = json!({
            "cachingOptions": {}, "componentRef": {"name": component}, "taskInfo": {"name": task},
        });
        if !after.is_empty() {
            made["dependentTasks"] = json!(after);
        }
        components.insert(component, json!({"executorLabel": executor}));
        dag.insert((*task).to_owned(), made);
    }
    json!({
        "pipelineInfo": {"name": name}, "schemaVersion": "2.1.0", "sdkVersion": "kfp-2.17.0",
        "components": components, "deploymentSpec": {"executors": executors}, "root": {"dag": {"tasks": dag}},
    })
}
