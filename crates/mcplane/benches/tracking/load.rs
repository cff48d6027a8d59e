//! What the servers are asked to do.

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Steps, names and times are unique over the whole run.
static NEXT: AtomicUsize = AtomicUsize::new(1);

fn next() -> usize {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A kind of call.
#[derive(Clone)]
pub(crate) enum Load {
    CreateRun { experiment: String },
    LogMetric { run: String },
    LogBatch { run: String },
    RegisterVersion { model: String },
}

impl Load {
    fn call(&self) -> (&'static str, Value) {
        let n = next();
        match self {
            Self::CreateRun { experiment } => {
                let tags =
                    json!([{"key": "mlflow.user", "value": "ann"}, {"key": "mlflow.source.name", "value": "train.py"}]);
                (
                    "runs/create",
                    json!({"experiment_id": experiment, "start_time": n, "run_name": format!("run-{n}"), "tags": tags}),
                )
            }
            Self::LogMetric { run } => (
                "runs/log-metric",
                json!({"run_id": run, "key": "loss", "value": 1.0 / n as f64, "timestamp": n, "step": n}),
            ),
            Self::LogBatch { run } => {
                let metrics: Vec<Value> = (0..1000)
                    .map(|i| json!({"key": format!("k{}", i % 10), "value": i as f64 / 7.0, "timestamp": n, "step": n * 1000 + i}))
                    .collect();
                ("runs/log-batch", json!({"run_id": run, "metrics": metrics}))
            }
            Self::RegisterVersion { model } => {
                ("model-versions/create", json!({"name": model, "source": format!("s3://bucket/{n}")}))
            }
        }
    }
}

/// Latencies of one load, and how long it took.
pub(crate) struct Done {
    sorted_ms: Vec<f64>,
    /// Requests that were answered by an error: some servers do so when there are many clients.
    pub(crate) refused: usize,
    time: Duration,
}

impl Done {
    pub(crate) fn count(&self) -> usize {
        self.sorted_ms.len()
    }

    pub(crate) fn rate(&self) -> f64 {
        self.count() as f64 / self.time.as_secs_f64()
    }

    pub(crate) fn p99_ms(&self) -> f64 {
        let at = self.count() * 99 / 100;
        self.sorted_ms.get(at).or(self.sorted_ms.last()).copied().unwrap_or(f64::INFINITY)
    }
}

/// A server.
#[derive(Clone, Copy)]
pub(crate) struct Target(SocketAddr);

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
}

impl Connection {
    /// A request that must succeed.
    async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Bytes {
        let (status, body) = self.ask(method, path, body).await;
        assert!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&body));
        body
    }

    async fn ask(&mut self, method: Method, path: &str, body: Bytes) -> (StatusCode, Bytes) {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/2.0/mlflow/{path}"))
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/json");
        self.sender.ready().await.expect("connection");
        let answer = self.sender.send_request(request.body(Full::new(body)).expect("request")).await.expect("answer");
        let status = answer.status();
        (status, answer.into_body().collect().await.expect("body").to_bytes())
    }
}

impl Target {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    async fn connect(self) -> Connection {
        let stream = TcpStream::connect(self.0).await.expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
        tokio::spawn(connection);
        Connection { sender, authority: self.0.to_string() }
    }

    /// One `POST` that must succeed.
    pub(crate) async fn call(self, path: &str, body: &Value) -> Value {
        let answer = self.connect().await.send(Method::POST, path, body.to_string().into()).await;
        serde_json::from_slice(&answer).expect("JSON")
    }

    /// One `GET` that must succeed.
    pub(crate) async fn get(self, path: &str) -> Value {
        let answer = self.connect().await.send(Method::GET, path, Bytes::new()).await;
        serde_json::from_slice(&answer).expect("JSON")
    }

    /// A new run.
    pub(crate) async fn run(self, experiment: &str, start: usize) -> String {
        let body = json!({"experiment_id": experiment, "start_time": start});
        self.call("runs/create", &body).await["run"]["info"]["run_id"].as_str().expect("an id").to_owned()
    }

    /// A new registered model.
    pub(crate) async fn model(self) -> String {
        let name = format!("model-{}", next());
        self.call("registered-models/create", &json!({"name": name})).await;
        name
    }

    /// Closed loop: each client has one connection and one request at a time.
    pub(crate) async fn drive(self, load: Load, clients: usize, time: Duration) -> Done {
        let mut connections = Vec::new();
        for _ in 0..clients {
            connections.push(self.connect().await);
        }
        let began = Instant::now();
        let tasks: Vec<_> = connections
            .into_iter()
            .map(|mut connection| {
                let load = load.clone();
                tokio::spawn(async move {
                    let (mut latencies, mut refused) = (Vec::new(), 0);
                    while began.elapsed() < time {
                        let (path, body) = load.call();
                        let body = Bytes::from(body.to_string());
                        let sent = Instant::now();
                        match connection.ask(Method::POST, path, body).await {
                            (status, _) if status.is_success() => latencies.push(sent.elapsed().as_secs_f64() * 1e3),
                            _ => refused += 1,
                        }
                    }
                    (latencies, refused)
                })
            })
            .collect();
        let (mut sorted_ms, mut refused) = (Vec::new(), 0);
        for task in tasks {
            let (latencies, more) = task.await.expect("client");
            sorted_ms.extend(latencies);
            refused += more;
        }
        sorted_ms.sort_by(f64::total_cmp);
        Done { sorted_ms, refused, time: began.elapsed() }
    }

    /// Many runs with parameters, metrics and a curve of so many points, as fast as eight clients make them.
    pub(crate) async fn fill(self, experiment: &str, runs: usize, curve: usize) {
        let tasks: Vec<_> = (0..8)
            .map(|client| {
                let experiment = experiment.to_owned();
                tokio::spawn(async move {
                    let mut connection = self.connect().await;
                    for n in (client..runs).step_by(8) {
                        let body = json!({"experiment_id": experiment, "start_time": n + 1});
                        let made = connection.send(Method::POST, "runs/create", body.to_string().into()).await;
                        let made: Value = serde_json::from_slice(&made).expect("JSON");
                        let params: Vec<_> = (0..5)
                            .map(|p| json!({"key": format!("p{p}"), "value": ((n + p) % 50).to_string()}))
                            .collect();
                        let value = |m: usize| ((n * 7919 + m * 104_729) % 100_003) as f64 / 100_003.0;
                        let metric = |m| json!({"key": format!("m{m}"), "value": value(m), "timestamp": n, "step": 0});
                        let loss = |step: usize| {
                            let value = 1.0 / (step + 1) as f64 + value(0);
                            json!({"key": "loss", "value": value, "timestamp": n + step * 97, "step": step})
                        };
                        let metrics: Vec<_> = (0..5).map(metric).chain((0..curve).map(loss)).collect();
                        let batch =
                            json!({"run_id": made["run"]["info"]["run_id"], "params": params, "metrics": metrics});
                        connection.send(Method::POST, "runs/log-batch", batch.to_string().into()).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("client");
        }
    }

    /// A curve of so many points.
    pub(crate) async fn points(self, run: &str, points: usize) {
        let mut connection = self.connect().await;
        for batch in 0..points.div_ceil(1000) {
            let steps = batch * 1000..points.min((batch + 1) * 1000);
            let metrics: Vec<Value> = steps
                .map(|step| json!({"key": "curve", "value": 1.0 / (step + 1) as f64, "timestamp": step, "step": step}))
                .collect();
            let body = json!({"run_id": run, "metrics": metrics});
            connection.send(Method::POST, "runs/log-batch", body.to_string().into()).await;
        }
    }
}
