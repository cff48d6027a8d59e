//! What the gateway takes of the processor for a request on kept connections, beside nginx's split of clients.
//!
//! `cargo bench -p mcplane-delivery --bench gateway -- [--requests 100000] [--nginx PATH]`
//!
//! nginx is the one of `PATH` unless it is given: one worker, the same two weights by the same header, the same callers and the same
//! upstream, in turns with ours. Counted are the worker's and the gateway's thread, by the kernel's scheduler; without nginx the
//! numbers are set beside those that were measured once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark reports by panicking")]

mod nginx;
mod wire;

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use mcplane_delivery::gateway::{Addresses, Gateway, Settings, Upstream, Upstreams, listen};
use mcplane_delivery::routes::{Options, Request, Routes, compile};
use mcplane_testkit::process::find;
use nginx::Nginx;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// As the binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Processor time that nginx takes for a request with `split_clients`: the least and the most that was measured, in
/// microseconds.
const NGINX_US: [f64; 2] = [18.0, 41.0];
/// Each takes so many turns, so that what else the machine does meets both.
const TURNS: usize = 5;
/// Requests of each before anything counts, in which connections are made.
const WARM: usize = 2_000;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let text = |name: &str| args.iter().position(|arg| arg == name).map(|at| args[at + 1].clone());
    let requests: usize = text("--requests").map_or(100_000, |text| text.parse().expect("a number"));
    decide();
    let others = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let upstream = others.block_on(wire::upstream());
    let ours = Ours::start(upstream);
    let program = text("--nginx").map(PathBuf::from).or_else(|| find("nginx", &["/usr/sbin".into()]));
    let nginx = program.as_deref().map(|program| Nginx::start(program, upstream));
    drive(&others, ours.address, WARM);
    nginx.iter().for_each(|nginx| drive(&others, nginx.address, WARM));
    let (mut of_ours, mut of_nginx) = (0.0, 0.0);
    for _ in 0..TURNS {
        of_ours += spent(&ours.schedstat, || drive(&others, ours.address, requests / TURNS));
        if let Some(nginx) = &nginx {
            of_nginx += spent(&nginx.schedstat, || drive(&others, nginx.address, requests / TURNS));
        }
    }
    let each = |us: f64| us / (requests / TURNS * TURNS) as f64;
    println!("a request through the gateway {:>6.1} µs of its thread", each(of_ours));
    match &nginx {
        Some(nginx) => {
            println!("the same through nginx        {:>6.1} µs of its worker ({})", each(of_nginx), nginx.version);
            println!("nginx / gateway {:.2}", of_nginx / of_ours);
        }
        None => {
            println!("no nginx here: what was measured of it elsewhere counts, {NGINX_US:?} µs");
            println!("nginx / gateway {:.2} to {:.2}", NGINX_US[0] / each(of_ours), NGINX_US[1] / each(of_ours));
        }
    }
    ours.stop();
}

/// The gateway on a thread of its own.
struct Ours {
    address: SocketAddr,
    /// Where the kernel tells of the thread.
    schedstat: PathBuf,
    stop: tokio::sync::oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Ours {
    fn start(upstream: SocketAddr) -> Self {
        let (said, started) = std::sync::mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
                let thread = std::fs::read_link("/proc/thread-self").expect("Linux");
                let schedstat = PathBuf::from("/proc").join(thread).join("schedstat");
                said.send((listener.local_addr().expect("an address"), schedstat)).expect("heard");
                let gateway = Arc::new(Gateway::new(Settings::default(), None));
                let mut upstreams = Upstreams::default();
                for version in ["v1", "v2"] {
                    let addresses = Addresses::new([upstream.to_string().parse().expect("an authority")]);
                    upstreams.insert("model", version, Upstream::Http(Arc::new(addresses)));
                }
                gateway.replace(routes(), upstreams);
                listen(listener, gateway, async { drop(stopped.await) }, Duration::from_millis(100)).await;
            });
        });
        let (address, schedstat) = started.recv().expect("an address");
        Self { address, schedstat, stop, thread }
    }

    fn stop(self) {
        self.stop.send(()).expect("heard");
        self.thread.join().expect("the gateway");
    }
}

fn drive(others: &Runtime, address: SocketAddr, requests: usize) {
    others.block_on(wire::callers(address, requests));
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
    let took = spent("/proc/thread-self/schedstat".as_ref(), || {
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
    });
    println!("a decision by user            {:>6.0} ns", took * 1000.0 / rounds as f64);
}

/// Microseconds of processor time that a thread spent meanwhile.
fn spent(schedstat: &std::path::Path, work: impl FnOnce()) -> f64 {
    let now = || {
        let text = std::fs::read_to_string(schedstat).expect("Linux, and a thread that runs");
        text.split(' ').next().and_then(|text| text.parse::<f64>().ok()).expect("nanoseconds") / 1000.0
    };
    let before = now();
    work();
    now() - before
}
