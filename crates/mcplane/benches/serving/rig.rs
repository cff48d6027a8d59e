//! A server with services, set up over its own API.

use std::net::SocketAddr;
use std::path::Path;

use mcplane_testkit::{Backend, Server, eventually, http};
use serde_json::{Value, json};

pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) data_plane: SocketAddr,
}

impl Rig {
    pub(crate) fn start(binary: &str) -> Self {
        let server = Server::start_with(binary, Backend::Sqlite, &[]);
        let data_plane = server.data_plane();
        Self { server, data_plane }
    }

    /// Registers the file as a version, and waits until a service of it answers.
    pub(crate) fn serve(&self, name: &str, file: &Path) {
        let body = std::fs::read(file).expect("a model");
        self.call("PUT", &format!("/api/2.0/mlflow-artifacts/artifacts/models/{name}.onnx"), &body);
        let version = json!({"version": "v1.0.0", "model_path": format!("mlflow-artifacts:/models/{name}.onnx")});
        self.post(&format!("/models/v1/namespaces/default/models/{name}/versions"), &version);
        let service = json!({
            "apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": name},
            "spec": {"predictor": {"model": {"modelFormat": {"name": "onnx"}, "storageUri": format!("models:/{name}/v1.0.0")}}},
        });
        self.post("/apis/serving.kserve.io/v1beta1/namespaces/default/inferenceservices", &service);
        let path = format!("/v2/models/{name}/ready");
        eventually("the model is ready", 60, || {
            http::get(self.data_plane, &path).filter(|answer| answer.status == 200)
        });
    }

    fn post(&self, path: &str, body: &Value) {
        self.call("POST", path, body.to_string().as_bytes());
    }

    fn call(&self, method: &str, path: &str, body: &[u8]) {
        let (address, length) = (self.server.address(), body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        let answer = http::send(address, &head, body).expect("an answer");
        assert!(answer.status < 300, "{path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
}

/// A model of the tests of the engine with six columns, where no other can be made.
pub(crate) fn copy_of_the_tests(to: &Path) {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../serving/tests/serving/engine/models");
    std::fs::copy(models.join("boosting_binary.onnx"), to).expect("a model");
}
