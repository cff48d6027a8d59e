//! A client that costs little: one TLS connection, HTTP/1.1 or HTTP/2, no layers.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mcplane_testkit::Server;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// A server, trusted by its own authority, and a token for it.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    roots: Arc<rustls::RootCertStore>,
    token: Arc<str>,
}

impl Target {
    /// Makes an administrator's service account and a token for it, as an operator would.
    pub(crate) async fn new(server: &Server) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut roots = rustls::RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(server.data_dir().join("pki/ca.crt")).expect("the server's CA");
        roots.add(authority).expect("the server's CA");
        let mut target = Self { address: server.address(), roots: Arc::new(roots), token: "".into() };
        let mut connection = target.connect(Protocol::Http1).await;
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bench"}});
        connection.post("/api/v1/namespaces/default/serviceaccounts", &account).await;
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "bench"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "bench", "namespace": "default"}],
        });
        connection.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding).await;
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                             "spec": {"expirationSeconds": 7200}});
        let answer = connection.post("/api/v1/namespaces/default/serviceaccounts/bench/token", &request).await;
        target.token = answer["status"]["token"].as_str().expect("a token").into();
        target
    }

    pub(crate) async fn connect(&self, protocol: Protocol) -> Connection {
        let mut config =
            rustls::ClientConfig::builder().with_root_certificates(self.roots.clone()).with_no_client_auth();
        config.alpn_protocols = match protocol {
            Protocol::Http1 => vec![b"http/1.1".to_vec()],
            Protocol::Http2 => vec![b"h2".to_vec()],
        };
        let stream = TcpStream::connect(self.address).await.expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        let name = ServerName::from(self.address.ip());
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS");
        let sender = match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
                tokio::spawn(connection);
                Sender::One(sender)
            }
            Protocol::Http2 => {
                let (sender, connection) =
                    http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
                tokio::spawn(connection);
                Sender::Two(sender)
            }
        };
        Connection { sender, authority: self.address.to_string(), token: self.token.clone() }
    }
}

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

pub(crate) struct Connection {
    sender: Sender,
    authority: String,
    token: Arc<str>,
}

impl Connection {
    pub(crate) async fn send(&mut self, method: Method, path: &str, kind: &str, body: Bytes) -> Response<Incoming> {
        let mut request = Request::builder().method(method).header(header::CONTENT_TYPE, kind);
        if !self.token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        }
        match &mut self.sender {
            Sender::One(sender) => {
                let request = request.uri(path).header(header::HOST, &self.authority);
                sender.ready().await.expect("connection");
                sender.send_request(request.body(Full::new(body)).expect("request")).await.expect("answer")
            }
            Sender::Two(sender) => {
                let request = request.uri(format!("https://{}{path}", self.authority));
                sender.ready().await.expect("connection");
                sender.send_request(request.body(Full::new(body)).expect("request")).await.expect("answer")
            }
        }
    }

    /// Sends, reads the whole answer and insists on success.
    pub(crate) async fn call(&mut self, method: Method, path: &str, kind: &str, body: Bytes) -> Bytes {
        let answer = self.send(method, path, kind, body).await;
        let status = answer.status();
        let bytes = answer.into_body().collect().await.expect("body").to_bytes();
        assert!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&bytes));
        bytes
    }

    /// Creates something that may exist already.
    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Value {
        let body = Bytes::from(body.to_string());
        let answer = self.send(Method::POST, path, "application/json", body).await;
        let status = answer.status();
        let bytes = answer.into_body().collect().await.expect("body").to_bytes();
        let text = String::from_utf8_lossy(&bytes);
        assert!(status.is_success() || status == StatusCode::CONFLICT, "{path}: {status} {text}");
        serde_json::from_slice(&bytes).expect("JSON")
    }
}
