//! What the port speaks, and what it does not put up with.

use std::time::{Duration, Instant};

use http::{StatusCode, Version};
use http_body_util::Full;
use mcplane_core::units::{ByteSize, HumanDuration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{SOON, Speak, TestServer};

#[tokio::test]
async fn one_port_speaks_every_protocol() {
    let server = TestServer::start().await;
    for (speak, version, transport) in [
        (Speak::Http1, Version::HTTP_11, "Plain"),
        (Speak::Http2, Version::HTTP_2, "Plain"),
        (Speak::Tls(&["h2", "http/1.1"]), Version::HTTP_2, "Tls"),
        (Speak::Tls(&["http/1.1"]), Version::HTTP_11, "Tls"),
        (Speak::Tls(&[]), Version::HTTP_11, "Tls"),
    ] {
        let mut client = server.client(speak).await;
        for _ in 0..2 {
            let answer = client.get("/whoami").await;
            assert_eq!((answer.status, answer.version), (StatusCode::OK, version), "{speak:?}");
            assert!(answer.body.starts_with(transport) && answer.body.ends_with("127.0.0.1"), "{}", answer.body);
        }
    }
}

#[tokio::test]
async fn off_loopback_plain_http_is_refused_and_tls_is_served() {
    let server = TestServer::start_with(|config| config.server.listen = "0.0.0.0:0".parse().unwrap()).await;
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    for speak in [Speak::Http1, Speak::Http2] {
        let answer = server.client(speak).await.get("/whoami").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.json()["reason"], "BadRequest");
        assert!(answer.body.contains("speaks HTTPS here"), "{}", answer.body);
    }
    let answer = server.client(Speak::Tls(&["h2"])).await.get("/whoami").await;
    assert!(answer.body.starts_with("Tls"), "{}", answer.body);
}

#[tokio::test]
async fn behind_a_proxy_plain_http_is_served_and_the_proxys_word_counts() {
    let server = TestServer::start_with(|config| {
        config.server.listen = "0.0.0.0:0".parse().unwrap();
        config.server.behind_tls_proxy = true;
    })
    .await;
    let mut client = server.client(Speak::Http1).await;
    let request = client.request("GET", "/whoami").header("x-forwarded-for", "6.6.6.6, 9.9.9.9");
    let answer = client.send(request.body(Full::default()).unwrap()).await;
    assert!(answer.body.starts_with("Plain") && answer.body.ends_with(" 9.9.9.9"), "{}", answer.body);

    let direct = TestServer::start().await;
    let mut client = direct.client(Speak::Http1).await;
    let request = client.request("GET", "/whoami").header("x-forwarded-for", "9.9.9.9");
    let answer = client.send(request.body(Full::default()).unwrap()).await;
    assert!(answer.body.ends_with(" 127.0.0.1"), "without a proxy nobody is believed: {}", answer.body);
}

#[tokio::test]
async fn clients_that_send_nothing_in_time_are_let_go() {
    let server = TestServer::start_with(|config| {
        config.server.header_timeout = HumanDuration(Duration::from_millis(300));
    })
    .await;
    let starts: [&[u8]; 6] = [
        b"",                                      // nothing at all
        b"P",                                     // perhaps HTTP/2, perhaps POST
        b"GET / HTTP/1.1\r\nHost: localhost\r\n", // headers without an end
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",      // HTTP/2 without a request
        b"\x16",                                  // TLS that goes no further
        b"\x16\x03\x01\x02\x00\x01",
    ];
    for start in starts {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(start).await.unwrap();
        let began = Instant::now();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(SOON, stream.read_to_end(&mut rest)).await;
        // Whether the end comes as a reset or not, the connection is over.
        assert!(closed.is_ok(), "{start:?} still holds a connection");
        assert!(began.elapsed() >= Duration::from_millis(200), "{start:?} was closed at once");
    }
    let answer = server.client(Speak::Http1).await.get("/livez").await;
    assert_eq!(answer.body, "ok");
}

#[tokio::test]
async fn a_connection_that_was_used_may_rest() {
    let server = TestServer::start_with(|config| {
        config.server.header_timeout = HumanDuration(Duration::from_millis(100));
    })
    .await;
    for speak in [Speak::Http1, Speak::Http2, Speak::Tls(&["h2"])] {
        let mut client = server.client(speak).await;
        client.get("/livez").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(client.get("/livez").await.body, "ok", "{speak:?}");
    }
}

#[tokio::test]
async fn connections_over_the_limit_wait_their_turn() {
    let server = TestServer::start_with(|config| config.server.max_connections = 1).await;
    let mut first = server.client(Speak::Http1).await;
    first.get("/livez").await;
    let mut second = server.client(Speak::Http1).await;
    let request = second.request("GET", "/livez").body(Full::default()).unwrap();
    let mut waiting = std::pin::pin!(second.send(request));
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut waiting).await.is_err(), "there was no slot");
    drop(first);
    let answer = tokio::time::timeout(SOON, waiting).await.expect("a slot was freed");
    assert_eq!(answer.body, "ok");
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_whether_announced_or_not() {
    let server = TestServer::start_with(|config| config.server.max_body = ByteSize(2048)).await;
    for speak in [Speak::Http1, Speak::Http2] {
        let mut client = server.client(speak).await;
        let request = client.request("POST", "/echo").body(Full::from(vec![b'x'; 2048])).unwrap();
        assert_eq!(client.send(request).await.body.len(), 2048, "{speak:?}");
        let request = client.request("POST", "/echo").body(Full::from(vec![b'x'; 2049])).unwrap();
        let answer = client.send(request).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{speak:?}");
        assert_eq!(answer.json()["reason"], "RequestEntityTooLarge", "{speak:?}");
    }
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
    for _ in 0..3 {
        stream.write_all(format!("400\r\n{}\r\n", "x".repeat(1024)).as_bytes()).await.unwrap();
    }
    let mut head = [0; 12];
    tokio::time::timeout(SOON, stream.read_exact(&mut head)).await.unwrap().unwrap();
    assert_eq!(&head, b"HTTP/1.1 413");
}

#[tokio::test]
async fn headers_over_the_limit_are_refused() {
    let server = TestServer::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let (mut reader, mut writer) = stream.split();
    let mut answer = [0; 12];
    // The server may close while the headers are still being sent.
    let (_, read) = tokio::join!(writer.write_all(head.as_bytes()), reader.read_exact(&mut answer));
    read.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 431");
}

#[tokio::test]
async fn slow_handlers_are_given_up_but_streams_go_on() {
    let server = TestServer::start_with(|config| {
        config.server.request_timeout = HumanDuration(Duration::from_millis(200));
    })
    .await;
    let answer = server.client(Speak::Http1).await.get("/slow").await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer.json()["reason"], "Timeout");

    let mut client = server.client(Speak::Http1).await;
    let request = client.request("GET", "/stream").body(Full::default()).unwrap();
    let mut body = client.begin(request).await.into_body();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(600) {
        let frame = http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "tick\n");
    }
}

#[tokio::test]
async fn a_panicking_handler_harms_only_its_request() {
    let server = TestServer::start().await;
    let mut client = server.client(Speak::Http1).await;
    let answer = client.get("/panic").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.json()["message"], "internal error");
    assert_eq!(client.get("/livez").await.body, "ok");
}
