//! Hosts, origins, trace ids and the operational routes.

use http::StatusCode;
use http_body_util::Full;

use crate::harness::{Speak, TestServer};

#[tokio::test]
async fn a_local_server_answers_to_local_names_only() {
    let server = TestServer::start_with(|config| config.server.allowed_hosts = vec!["dev.example".into()]).await;
    let mut client = server.client(Speak::Http1).await;
    for (host, status) in [
        ("localhost:5080", 200),
        ("127.0.0.1", 200),
        ("[::1]:7", 200),
        ("dev.example:8443", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("", 403),
    ] {
        let request = http::Request::get("/livez").header("host", host).body(Full::default()).unwrap();
        let answer = client.send(request).await;
        assert_eq!(answer.status.as_u16(), status, "{host:?}");
        if status == 403 {
            assert_eq!(answer.json()["kind"], "Status");
            assert_eq!(answer.json()["reason"], "Forbidden");
        }
    }
    let mut http2 = server.client(Speak::Http2).await;
    let request = http::Request::get("http://evil.example/livez").body(Full::default()).unwrap();
    assert_eq!(http2.send(request).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn pages_of_other_origins_may_not_call() {
    let server = TestServer::start_with(|config| {
        config.server.allowed_origins = vec!["https://console.example".into()];
    })
    .await;
    let mut client = server.client(Speak::Http1).await;
    for (origin, status) in [
        ("http://localhost", 200),
        ("https://console.example", 200),
        ("http://localhost:3000", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ] {
        let request = client.request("POST", "/echo").header("origin", origin).body(Full::from("x")).unwrap();
        assert_eq!(client.send(request).await.status.as_u16(), status, "{origin}");
    }
}

#[tokio::test]
async fn trace_ids_are_taken_and_echoed() {
    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let server = TestServer::start().await;
    let mut client = server.client(Speak::Http1).await;
    for (name, value) in [("traceparent", format!("00-{ID}-00f067aa0ba902b7-01")), ("x-trace-id", ID.to_owned())] {
        let request = client.request("GET", "/whoami").header(name, value).body(Full::default()).unwrap();
        let answer = client.send(request).await;
        assert_eq!(answer.headers["x-trace-id"], ID, "{name}");
        assert!(answer.body.contains(ID), "the application sees it: {}", answer.body);
    }
    let (one, two) = (client.get("/livez").await, client.get("/missing").await);
    assert_eq!(two.status, StatusCode::NOT_FOUND);
    assert_ne!(one.headers["x-trace-id"], two.headers["x-trace-id"]);
    assert_eq!(two.headers["x-trace-id"].len(), 32, "refusals have one too");
    assert_eq!(two.headers["cache-control"], "no-cache, private");
    assert_eq!(two.headers["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn operational_routes_answer() {
    let server = TestServer::start().await;
    let mut client = server.client(Speak::Http1).await;
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(client.get(path).await.body, "ok", "{path}");
    }
    let verbose = client.get("/readyz?verbose").await.body;
    assert!(verbose.starts_with("[+]ping ok\n") && verbose.ends_with("readyz check passed\n"), "{verbose}");
    let metrics = client.get("/metrics").await;
    assert!(metrics.headers["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    assert!(
        metrics.body.contains("mcplane_http_requests_total{verb=\"get\",resource=\"\",code=\"200\"} 4"),
        "{}",
        metrics.body
    );
    let authority = client.get("/auth/ca.pem").await.body;
    assert_eq!(authority, std::fs::read_to_string(server.data.path().join("pki/ca.crt")).unwrap());
}

#[tokio::test]
async fn the_version_is_what_each_client_expects() {
    let server = TestServer::start().await;
    let mut client = server.client(Speak::Http1).await;
    let version = client.get("/version").await.json();
    assert_eq!((&version["major"], &version["minor"]), (&"1".into(), &"32".into()));
    let git = version["gitVersion"].as_str().unwrap();
    assert!(git.starts_with("v1.32.0+mcplane-"), "{git}");
    for field in ["gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"] {
        assert!(version[field].as_str().is_some_and(|text| !text.is_empty()), "{field}");
    }
    let request = client.request("GET", "/version").header("user-agent", "mlflow-python-client/3.17.2");
    let answer = client.send(request.body(Full::default()).unwrap()).await;
    assert_eq!(answer.body, "3.17.2");
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
}
