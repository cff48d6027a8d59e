//! A server with models, and callers.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use mcplane_testkit::http::{Answer, send};
use mcplane_testkit::{Backend, Kubectl, Server, eventually};
use serde_json::{Value, json};

/// For anything that happens at all.
const PATIENCE: u64 = 60;

pub(super) struct Rig {
    pub(super) server: Server,
    pub(super) kubectl: Kubectl,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: String,
    head: String,
}

impl Reply {
    fn of(answer: Option<Answer>) -> Self {
        let answer = answer.expect("an answer");
        Self { status: answer.status, body: String::from_utf8_lossy(&answer.body).into_owned(), head: answer.head }
    }

    /// What the model answered, without which revision it was.
    pub(super) fn outputs(&self) -> Value {
        let answer: Value = serde_json::from_str(&self.body).expect("an answer in JSON");
        answer["outputs"].clone()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        let of = |line: &'_ str| line.split_once(": ").is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
        let line = self.head.lines().find(|line| of(line));
        line.and_then(|line| line.split_once(": ")).map(|(_, value)| value).unwrap_or_default()
    }
}

/// One row for the models of six columns.
pub(super) fn row() -> String {
    json!({"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 6], "data": [0.5, 1, -1, 2, 0, 0.25]}]})
        .to_string()
}

/// A model that the tests of the engine have.
fn model(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../serving/tests/serving/engine/models");
    std::fs::read(folder.join(format!("{name}.onnx"))).expect("a model")
}

pub(super) fn post(address: std::net::SocketAddr, host: &str, path: &str, more: &str, body: &[u8]) -> Option<Answer> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{more}Connection: close\r\n\r\n",
        body.len()
    );
    send(address, &head, body)
}

impl Rig {
    pub(super) fn start(backend: Backend, args: &[&str]) -> Self {
        let server = Server::start_with(env!("CARGO_BIN_EXE_mcplane"), backend, args);
        let kubectl = Kubectl::http(&server.url());
        Self { server, kubectl }
    }

    /// The server has another address now.
    pub(super) fn meet(&mut self) {
        self.kubectl = Kubectl::http(&self.server.url());
    }

    /// Brings a model's file to the server, and has it read as a version.
    pub(super) fn register(&self, name: &str, version: &str, file: &str) {
        let (address, body) = (self.server.address(), model(file));
        let path = format!("/api/2.0/mlflow-artifacts/artifacts/models/{file}.onnx");
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let stored = Reply::of(send(address, &head, &body));
        assert_eq!(stored.status, 200, "{stored:?}");
        let from =
            json!({"version": version, "model_path": format!("mlflow-artifacts:/models/{file}.onnx")}).to_string();
        let path = format!("/models/v1/namespaces/default/models/{name}/versions");
        let made = Reply::of(post(address, &address.to_string(), &path, "", from.as_bytes()));
        assert_eq!(made.status, 200, "{made:?}");
    }

    pub(super) fn apply(&self, name: &str, uri: &str) {
        self.apply_labelled(name, uri, &json!({}));
    }

    pub(super) fn apply_labelled(&self, name: &str, uri: &str, labels: &Value) {
        let service = json!({
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": name, "labels": labels},
            "spec": {"predictor": {"model": {"modelFormat": {"name": "onnx"}, "storageUri": uri}}},
        });
        let applied = self.kubectl.feed("apply -f -", &service.to_string());
        assert_eq!(applied.code, 0, "{applied}");
    }

    pub(super) fn ready(&self, name: &str) {
        self.kubectl.ok(format!("wait --for=condition=Ready --timeout=60s isvc/{name}").as_str());
    }

    pub(super) fn told(&self, name: &str) -> Value {
        self.kubectl.json(format!("get isvc {name} -o json").as_str())
    }

    pub(super) fn condition(&self, name: &str, kind: &str, state: &str) -> Value {
        eventually(&format!("{kind} of {name} is {state}"), PATIENCE, || {
            let told = self.told(name);
            let all = told["status"]["conditions"].as_array().cloned().unwrap_or_default();
            all.iter().any(|one| one["type"] == kind && one["status"] == state).then_some(told)
        })
    }

    /// Asks the data plane.
    pub(super) fn ask(&self, host: &str, path: &str, body: &str) -> Reply {
        Reply::of(post(self.server.data_plane(), host, path, "", body.as_bytes()))
    }

    pub(super) fn infer(&self, name: &str) -> Reply {
        self.ask("127.0.0.1", &format!("/v2/models/{name}/infer"), &row())
    }

    /// An answer of that version.
    pub(super) fn until(&self, name: &str, version: &str) -> Reply {
        eventually(&format!("{version} answers"), PATIENCE, || {
            let answer = self.infer(name);
            (answer.status == 200 && answer.header("x-mcplane-version") == version).then_some(answer)
        })
    }

    pub(super) fn metrics(&self) -> String {
        let address = self.server.address();
        Reply::of(mcplane_testkit::http::get(address, "/metrics")).body
    }

    /// Callers that go on until they are stopped.
    pub(super) fn load(&self, name: &str) -> Load {
        let (address, path) = (self.server.data_plane(), format!("/v2/models/{name}/infer"));
        let stop = Arc::new(AtomicBool::new(false));
        let caller = |_| {
            let (path, stop) = (path.clone(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let (mut count, mut failed) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) || count < 20 {
                    match post(address, "127.0.0.1", &path, "", row().as_bytes()) {
                        Some(answer) if answer.status == 200 => {}
                        other => failed.push(format!("{other:?}")),
                    }
                    count += 1;
                }
                (count, failed)
            })
        };
        Load { callers: (0..2).map(caller).collect(), stop: Arc::clone(&stop) }
    }
}

pub(super) struct Load {
    callers: Vec<JoinHandle<(usize, Vec<String>)>>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// How many requests there were, and what became of those that failed.
    pub(super) fn stop(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let (mut count, mut failed) = (0, Vec::new());
        for caller in self.callers {
            let (more, others) = caller.join().expect("a caller");
            count += more;
            failed.extend(others);
        }
        (count, failed)
    }
}
