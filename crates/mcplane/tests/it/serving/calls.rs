//! Callers that keep their connections, and servers to call: in this process, so that many requests cost little.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// Between two requests of a caller.
const PAUSE: Duration = Duration::from_millis(10);

/// Two threads: one for those who ask, one for those who answer.
pub(super) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// One connection.
pub(super) struct Caller {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Said {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Which version answered.
    pub(super) fn version(&self) -> &str {
        self.header("x-mcplane-version")
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Caller {
    pub(super) async fn of(address: SocketAddr) -> Self {
        Self::connect(address).await.expect("a connection")
    }

    async fn connect(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        Some(Self { address, sender })
    }

    /// Sends a request; `None` when the server is gone.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Option<Said> {
        if self.sender.ready().await.is_err() {
            self.sender = Self::connect(self.address).await?.sender;
        }
        let (parts, body) = self.sender.send_request(request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some(Said { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    pub(super) async fn get(&mut self, path: &str) -> Option<Said> {
        let request = Request::get(path).header("host", "localhost").body(Full::default()).expect("a request");
        self.send(request).await
    }

    /// Sends JSON.
    pub(super) async fn json(&mut self, method: &str, path: &str, body: &Value) -> Option<Said> {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let request = request.header("content-type", kind).body(Full::from(body.to_string())).expect("a request");
        self.send(request).await
    }

    /// Asks a host for a prediction of one row.
    pub(super) async fn infer(&mut self, host: &str, model: &str, user: Option<&str>) -> Option<Said> {
        let request = Request::post(format!("/v2/models/{model}/infer")).header("host", host);
        let request = user.into_iter().fold(request, |request, user| request.header("x-user-id", user));
        self.send(request.body(Full::from(super::rig::row())).expect("a request")).await
    }
}

/// What callers met.
#[derive(Debug, Default)]
struct Met {
    asked: AtomicU64,
    versions: Mutex<BTreeMap<String, u64>>,
    failed: Mutex<Vec<String>>,
    over: AtomicBool,
}

/// Callers that go on until they are stopped: one by users' names, the others without.
pub(super) struct Traffic {
    met: Arc<Met>,
    callers: Vec<JoinHandle<()>>,
}

impl Traffic {
    pub(super) fn start(address: SocketAddr, host: &'static str, model: &'static str) -> Self {
        let met = Arc::new(Met::default());
        let call = |number: u64| {
            let met = Arc::clone(&met);
            tokio::spawn(async move {
                let mut caller = Caller::of(address).await;
                let mut turn = 0u64;
                while !met.over.load(Ordering::Relaxed) {
                    // Whoever changes things must get a turn where all share two processors.
                    tokio::time::sleep(PAUSE).await;
                    let user = (number == 0).then(|| format!("user-{}", turn % 50));
                    turn += 1;
                    let said = caller.infer(host, model, user.as_deref()).await;
                    met.asked.fetch_add(1, Ordering::Relaxed);
                    match said {
                        Some(said) if said.status == 200 => {
                            *met.versions.lock().unwrap().entry(said.version().to_owned()).or_default() += 1;
                        }
                        other => met.failed.lock().unwrap().push(format!("{other:?}")),
                    }
                }
            })
        };
        let callers = (0..3).map(call).collect();
        Self { met, callers }
    }

    /// How many answers a version gave so far.
    pub(super) fn of(&self, version: &str) -> u64 {
        self.met.versions.lock().unwrap().get(version).copied().unwrap_or(0)
    }

    /// How many requests there were, and what became of those that failed.
    pub(super) async fn stop(self) -> (u64, Vec<String>) {
        self.met.over.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.expect("a caller");
        }
        let failed = std::mem::take(&mut *self.met.failed.lock().unwrap());
        (self.met.asked.load(Ordering::Relaxed), failed)
    }
}

/// A server that ends with the value, and all its connections with it.
pub(super) struct Elsewhere {
    pub(super) address: SocketAddr,
    heard: Arc<Mutex<Vec<Value>>>,
    task: JoinHandle<()>,
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Elsewhere {
    /// Answers every request with the status, and keeps what it was sent.
    pub(super) async fn start(status: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                let service = service_fn(move |request| answer(request, status, Arc::clone(&kept)));
                let connection = hyper::server::conn::http1::Builder::new();
                let connection = connection.serve_connection(TokioIo::new(stream), service);
                connections.spawn(async move { drop(connection.await) });
            }
        });
        Self { address, heard, task }
    }

    /// What it was sent so far.
    pub(super) fn heard(&self) -> Vec<Value> {
        self.heard.lock().unwrap().clone()
    }
}

async fn answer(
    request: Request<Incoming>,
    status: u16,
    heard: Arc<Mutex<Vec<Value>>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    heard.lock().unwrap().push(serde_json::from_slice(&body).unwrap_or_default());
    let mut response = Response::new(Full::from("{}"));
    *response.status_mut() = status.try_into().expect("a status");
    Ok(response)
}
