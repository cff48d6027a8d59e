//! What the gateway takes of the processor for a request on kept connections, beside nginx's split of clients.
//!
//! `cargo bench -p mcplane-delivery --bench gateway -- [--requests 100000]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark reports by panicking")]

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use mcplane_delivery::gateway::{Addresses, Gateway, Settings, Upstream, Upstreams, listen};
use mcplane_delivery::routes::{Options, Request, Routes, compile};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Processor time that nginx takes for a request with `split_clients`: the least and the most that was measured, in
/// microseconds.
const NGINX_US: [f64; 2] = [18.0, 41.0];
const CONNECTIONS: usize = 8;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let at = args.iter().position(|arg| arg == "--requests");
    let requests: usize = at.map_or(100_000, |at| args[at + 1].parse().expect("a number"));
    decide();
    // The gateway has a thread of its own, whose time alone counts.
    let (said, gateway) = std::sync::mpsc::channel();
    let (tell, told) = tokio::sync::oneshot::channel::<()>();
    let others = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let address = others.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                tokio::spawn(answer(stream));
            }
        });
        address
    });
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
            said.send(listener.local_addr().expect("an address")).expect("heard");
            let gateway = Arc::new(Gateway::new(Settings::default(), None));
            let mut upstreams = Upstreams::default();
            for version in ["v1", "v2"] {
                let addresses = Addresses::new([address.to_string().parse().expect("an authority")]);
                upstreams.insert("model", version, Upstream::Http(Arc::new(addresses)));
            }
            gateway.replace(routes(), upstreams);
            let before = thread_us();
            let stop = async { drop(told.await) };
            listen(listener, gateway, stop, Duration::from_millis(100)).await;
            thread_us() - before
        })
    });
    let gateway = gateway.recv().expect("an address");
    others.block_on(async {
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..CONNECTIONS {
            callers.spawn(call(gateway, requests / CONNECTIONS));
        }
        callers.join_all().await;
    });
    tell.send(()).expect("heard");
    let each = thread_us_of(thread) / requests as f64;
    println!("a request through the gateway {each:>6.1} µs of its thread");
    println!("nginx / gateway {:.2} to {:.2}", NGINX_US[0] / each, NGINX_US[1] / each);
}

fn thread_us_of(thread: std::thread::JoinHandle<f64>) -> f64 {
    thread.join().expect("the gateway")
}

fn routes() -> Routes {
    let spec = serde_json::json!({"hosts": ["model"], "http": [{"route": [
        {"destination": {"host": "model", "subset": "v1"}, "weight": 90},
        {"destination": {"host": "model", "subset": "v2"}, "weight": 10},
    ]}]});
    let spec = serde_json::from_value(spec).expect("a spec");
    Routes::new([("default".to_owned(), compile(&spec, &Options::default()).expect("no faults"))])
}

/// The table alone.
fn decide() {
    let routes = routes();
    let mut headers = HeaderMap::new();
    headers.insert("x-user-id", "user-123456".parse().expect("a value"));
    let rounds = 1_000_000;
    let before = thread_us();
    for counter in 0..rounds {
        let request = Request {
            method: "POST",
            scheme: "http",
            authority: "model",
            path: "/v2/models/m/infer",
            query: None,
            headers: &headers,
            port: 5081,
            peer: IpAddr::from([127, 0, 0, 1]),
            counter,
        };
        black_box(routes.route(black_box(&request)));
    }
    println!("a decision by user            {:>6.0} ns", (thread_us() - before) * 1000.0 / rounds as f64);
}

async fn call(gateway: std::net::SocketAddr, requests: usize) {
    let mut stream = TcpStream::connect(gateway).await.expect("the gateway");
    stream.set_nodelay(true).expect("a socket");
    let mut buffer = [0; 1024];
    for user in 0..requests {
        let request = format!("POST / HTTP/1.1\r\nhost: model\r\nx-user-id: {user}\r\ncontent-length: 2\r\n\r\n{{}}");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let read = stream.read(&mut buffer).await.expect("an answer");
        assert!(buffer[..read].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..read]));
    }
}

/// Answers whatever comes.
async fn answer(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    stream.set_nodelay(true).expect("a socket");
    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.is_err() {
            break;
        }
    }
}

/// Processor time of this thread in microseconds.
fn thread_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    stat.split(' ').next().and_then(|text| text.parse::<f64>().ok()).expect("a number") / 1000.0
}
