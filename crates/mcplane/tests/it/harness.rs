//! A server in this process with routes made for tests, and a client that chooses its protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::routing::{get, post};
use axum::{Extension, Router};
use futures::StreamExt;
use http::{HeaderMap, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mcplane::compose::{Application, Foundation, application, serve_with};
use mcplane::config::Config;
use mcplane::server::{Authority, Shutdown, StartError, Transport};
use mcplane_core::TraceId;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Long enough for anything that happens at all.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) url: String,
    pub(crate) shutdown: Shutdown,
    pub(crate) data: tempfile::TempDir,
    task: JoinHandle<Result<(), StartError>>,
}

impl TestServer {
    /// A server on a free loopback port.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.server.listen = "127.0.0.1:0".parse().unwrap();
        config.server.data_dir = data.path().to_owned();
        change(&mut config);
        let shutdown = Shutdown::new();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let told = shutdown.clone();
        let task = tokio::spawn(async move {
            let ready = |endpoint: &mcplane::server::Endpoint| sender.send(endpoint.clone()).unwrap();
            serve_with(&config, told, build, ready).await
        });
        match receiver.await {
            Ok(endpoint) => Self { address: endpoint.address, url: endpoint.url, shutdown, data, task },
            Err(_) => panic!("the server did not start: {:?}", task.await),
        }
    }

    /// Waits until the server has stopped.
    pub(crate) async fn stopped(self) -> Result<(), StartError> {
        tokio::time::timeout(SOON, self.task).await.expect("the server stops").unwrap()
    }

    pub(crate) async fn client(&self, speak: Speak) -> Client {
        let tcp = TcpStream::connect(self.address).await.unwrap();
        match speak {
            Speak::Http1 => Client::http1(tcp).await,
            Speak::Http2 => Client::http2(tcp).await,
            Speak::Tls(alpn) => {
                let tls = self.tls(tcp, alpn).await.unwrap();
                match tls.get_ref().1.alpn_protocol() {
                    Some(b"h2") => Client::http2(tls).await,
                    _ => Client::http1(tls).await,
                }
            }
        }
    }

    async fn tls(&self, tcp: TcpStream, alpn: &[&str]) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(Authority::certificate_path(self.data.path())).unwrap();
        roots.add(authority).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await
    }
}

/// The real application's routes besides those that tests need.
async fn build(foundation: &Foundation<'_>) -> Result<Application, StartError> {
    let mut application = if foundation.exposure.is_local() {
        application(foundation).await?
    } else {
        Application {
            router: Router::new(),
            routes: vec![],
            own_limits: Default::default(),
            data_plane: Router::new(),
            store: None,
            background: Default::default(),
        }
    };
    let stop = foundation.shutdown.token();
    let stream = async move || {
        let ticks = futures::stream::unfold(stop, |stop| async {
            tokio::select! {
                () = stop.cancelled() => None,
                () = tokio::time::sleep(Duration::from_millis(20)) => Some((Bytes::from_static(b"tick\n"), stop)),
            }
        });
        Body::from_stream(ticks.map(Ok::<_, std::convert::Infallible>))
    };
    let whoami = async |Extension(transport): Extension<Transport>,
                        Extension(trace): Extension<TraceId>,
                        ConnectInfo(client): ConnectInfo<SocketAddr>| {
        format!("{transport:?} {trace} {}", client.ip())
    };
    application.router = application
        .router
        .route("/whoami", get(whoami))
        .route("/echo", post(async |body: Bytes| body))
        .route("/slow", get(async || tokio::time::sleep(Duration::from_secs(600)).await))
        .route(
            "/stubborn",
            get(async || Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>())),
        )
        .route("/panic", get(async || -> &'static str { panic!("on purpose") }))
        .route("/stream", get(stream));
    Ok(application)
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Speak {
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// TLS that offers these protocols.
    Tls(&'static [&'static str]),
}

pub(crate) enum Client {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }
}

impl Client {
    async fn http1<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(io: I) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection);
        Self::Http1(sender)
    }

    async fn http2<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(io: I) -> Self {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection);
        Self::Http2(sender)
    }

    /// Sends a request and gives the answer with its body still to be read.
    pub(crate) async fn begin(&mut self, request: Request<Full<Bytes>>) -> http::Response<hyper::body::Incoming> {
        let sent = match self {
            Self::Http1(sender) => tokio::time::timeout(SOON, sender.send_request(request)).await,
            Self::Http2(sender) => tokio::time::timeout(SOON, sender.send_request(request)).await,
        };
        sent.expect("an answer in time").expect("an answer")
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Answer {
        let (parts, body) = self.begin(request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            version: parts.version,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        let request = self.request("GET", path).body(Full::default()).unwrap();
        self.send(request).await
    }

    /// A request for `localhost`, in the form that the protocol wants.
    pub(crate) fn request(&self, method: &str, path: &str) -> http::request::Builder {
        match self {
            Self::Http1(_) => Request::builder().method(method).uri(path).header("host", "localhost"),
            Self::Http2(_) => Request::builder().method(method).uri(format!("http://localhost{path}")),
        }
    }
}
