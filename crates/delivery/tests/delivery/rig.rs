//! Upstreams, a gateway and a caller on loopback.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mcplane_delivery::gateway::{Addresses, Gateway, Observe, Settings, Upstream, Upstreams, listen};
use mcplane_delivery::routes::{Options, Routes, compile};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// An upstream that ends with the value.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn local() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
}

/// An address at which nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    local().await.local_addr().unwrap()
}

/// Serves each request with a function.
pub(crate) async fn upstream<F, R>(answer: F) -> Served
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = Response<Full<Bytes>>> + Send,
{
    let listener = local().await;
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        // Connections end with the upstream.
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            connections.spawn(async move { drop(connection.await) });
        }
    });
    Served { address, task }
}

/// An upstream that says its name.
pub(crate) async fn named(name: &'static str) -> Served {
    upstream(move |_| async move { Response::new(Full::from(name)) }).await
}

pub(crate) fn at(addresses: &[SocketAddr]) -> Upstream {
    let authorities = addresses.iter().map(|address| address.to_string().parse::<Authority>().unwrap());
    Upstream::Http(Arc::new(Addresses::new(authorities)))
}

/// Versions of the service `model` by name.
pub(crate) fn upstreams(versions: impl IntoIterator<Item = (&'static str, Upstream)>) -> Upstreams {
    let mut upstreams = Upstreams::default();
    versions.into_iter().for_each(|(version, upstream)| upstreams.insert("model", version, upstream));
    upstreams
}

pub(crate) fn routes(http: Value) -> Routes {
    let spec = serde_json::from_value(serde_json::json!({"hosts": ["model"], "http": http})).unwrap();
    Routes::new([("default".to_owned(), compile(&spec, &Options::default()).unwrap())])
}

pub(crate) fn split(v1: u32, v2: u32) -> Routes {
    routes(serde_json::json!([{"route": [
        {"destination": {"host": "model", "subset": "v1"}, "weight": v1},
        {"destination": {"host": "model", "subset": "v2"}, "weight": v2},
    ]}]))
}

/// A listening gateway and a caller with its own connections.
pub(crate) struct Rig {
    pub(crate) gateway: Arc<Gateway>,
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What was answered.
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
}

impl Rig {
    pub(crate) async fn new(routes: Routes, upstreams: Upstreams) -> Self {
        Self::heard(routes, upstreams, None).await
    }

    pub(crate) async fn heard(routes: Routes, upstreams: Upstreams, observer: Option<Arc<dyn Observe>>) -> Self {
        let gateway = Arc::new(Gateway::new(Settings::default(), observer));
        gateway.replace(routes, upstreams);
        let listener = local().await;
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(listen(listener, Arc::clone(&gateway), std::future::pending(), Duration::ZERO));
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        Self { gateway, address, client, task }
    }

    pub(crate) fn request(&self, path: &str) -> http::request::Builder {
        Request::post(format!("http://{}{path}", self.address)).header("host", "model")
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Said {
        let response = self.client.request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Said { status: parts.status.as_u16(), headers: parts.headers, body: String::from_utf8(body.into()).unwrap() }
    }

    pub(crate) async fn post(&self, path: &str, body: &'static str) -> Said {
        self.send(self.request(path).body(Full::from(body)).unwrap()).await
    }
}
