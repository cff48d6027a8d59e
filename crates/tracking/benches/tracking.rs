//! What searches, histories and logging cost in a large store, behind the door but without sockets.
//!
//! `cargo bench -p mcplane-tracking --bench tracking -- [--runs 100000] [--points 100] [--seconds 5] [--store postgres]`. The
//! numbers beside are those of MLflow 3.17.2 on SQLite, recorded on a machine with two cores through its own server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark reports by panicking")]

#[allow(dead_code, reason = "the suite uses the rest")]
#[path = "../tests/tracking/rig.rs"]
mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rig::{Api, Store};
use serde_json::{Value, json};

/// Clients that log at once.
const CLIENTS: usize = 64;
/// Times that a read is repeated; the median counts.
const REPEATS: usize = 9;

struct Options {
    postgres: bool,
    runs: u64,
    points: u64,
    seconds: u64,
}

impl Options {
    fn read() -> Self {
        let mut options = Self { postgres: false, runs: 100_000, points: 100, seconds: 5 };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut number = || args.next().and_then(|text| text.parse().ok()).expect("a number");
            match arg.as_str() {
                "--bench" => {} // What cargo adds.
                "--runs" => options.runs = number(),
                "--points" => options.points = number(),
                "--seconds" => options.seconds = number(),
                "--store" => options.postgres = args.next().as_deref() == Some("postgres"),
                other => panic!("no such option: {other}"),
            }
        }
        options
    }
}

fn main() {
    let options = Options::read();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = if options.postgres { Store::postgres() } else { Store::sqlite() };
        let api = Arc::new(store.start().await);
        let long = fill(&api, &options).await;
        reads(&api, &long).await;
        writes(&api, &options).await;
    });
}

/// One line of the report: ours, MLflow's, and how many times better ours is.
fn report(what: &str, ours: f64, unit: &str, theirs: f64, more_is_better: bool) {
    let ratio = if more_is_better { ours / theirs } else { theirs / ours };
    println!("{what:<44} {ours:>10.2} {unit:<4} MLflow {theirs:>8.0} {unit:<4} {ratio:>7.1} times");
}

/// Some millions of points in many runs of one experiment; the id of a run with a long history.
async fn fill(api: &Arc<Api>, options: &Options) -> String {
    let (began, next) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let (runs, points) = (options.runs, options.points);
    in_parallel(api, move |api| {
        let next = Arc::clone(&next);
        async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= runs {
                    break;
                }
                let run = create(&api, n).await;
                let value = (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64 / (1_u64 << 53) as f64;
                let mut metrics = vec![point("accuracy", value, 0)];
                metrics.extend((1..points).map(|step| point("loss", value + 1.0 / step as f64, step)));
                let params =
                    json!([{"key": "lr", "value": format!("{}", n % 1000)}, {"key": "seed", "value": n.to_string()}]);
                for chunk in metrics.chunks(900) {
                    api.ok("runs/log-batch", json!({"run_id": run, "metrics": chunk, "params": params})).await;
                }
            }
        }
    })
    .await;
    let long = create(api, 0).await;
    for from in (0..100_000).step_by(1000) {
        let metrics: Vec<Value> =
            (from..from + 1000).map(|step| point("long", 1.0 / (step + 1) as f64, step)).collect();
        api.ok("runs/log-batch", json!({"run_id": long, "metrics": metrics})).await;
    }
    println!("{runs} runs with {} points in {:.0} s", runs * points + 100_000, began.elapsed().as_secs_f64());
    long
}

async fn create(api: &Api, n: u64) -> String {
    let body = json!({"experiment_id": "0", "start_time": 1_700_000_000_000 + n, "run_name": "bench"});
    api.ok("runs/create", body).await["run"]["info"]["run_id"].as_str().unwrap().to_owned()
}

fn point(key: &str, value: f64, step: u64) -> Value {
    json!({"key": key, "value": value, "timestamp": 1_700_000_000_000 + step * 137, "step": step})
}

async fn in_parallel<F, W>(api: &Arc<Api>, work: F)
where
    F: Fn(Arc<Api>) -> W,
    W: Future<Output = ()> + Send + 'static,
{
    let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(work(Arc::clone(api)))).collect();
    for client in clients {
        client.await.unwrap();
    }
}

async fn reads(api: &Api, long: &str) {
    let search = |filter: &str, order: &[&str]| json!({"experiment_ids": ["0"], "filter": filter, "order_by": order, "max_results": 100});
    for (what, body, theirs) in [
        ("search, params.lr = '7'", search("params.lr = '7'", &[]), 185.0),
        ("search, params.seed = '77'", search("params.seed = '77'", &[]), 185.0),
        ("search, metrics.accuracy > 0.999", search("metrics.accuracy > 0.999", &[]), 185.0),
        ("search, metrics.accuracy > 0.5", search("metrics.accuracy > 0.5", &[]), 185.0),
        ("search, two filters", search("metrics.accuracy > 0.5 AND params.lr = '7'", &[]), 185.0),
        ("search by metrics.accuracy DESC", search("", &["metrics.accuracy DESC"]), 5000.0),
        ("search by metrics.accuracy, with a filter", search("metrics.loss < 0.5", &["metrics.accuracy"]), 5000.0),
        ("search by params.lr", search("", &["params.lr"]), 5000.0),
    ] {
        let ours = median(async || drop(api.ok("runs/search", body.clone()).await)).await;
        report(what, ours, "ms", theirs, false);
    }
    let path = format!("/api/2.0/mlflow/metrics/get-history?run_id={long}&metric_key=long");
    let ours = median(async || assert!(api.get(&path).await.body.len() > 1_000_000)).await;
    report("history of 100,000 points", ours, "ms", 4400.0, false);
}

async fn median(work: impl AsyncFn()) -> f64 {
    let mut times = Vec::with_capacity(REPEATS);
    for _ in 0..REPEATS {
        let began = Instant::now();
        work().await;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    times[REPEATS / 2]
}

async fn writes(api: &Arc<Api>, options: &Options) {
    let run = create(api, 1).await;
    let batches = 100;
    let many_keys = |n: u64| (0..1000).map(|key| point(&format!("key{key}"), n as f64, n)).collect::<Vec<_>>();
    let one_key = |n: u64| (0..1000).map(|step| point("one", step as f64, n * 1000 + step)).collect::<Vec<_>>();
    let new_keys = |n: u64| (0..1000).map(|key| point(&format!("new{n}/{key}"), 1.0, 0)).collect::<Vec<_>>();
    for (what, points) in [
        ("CPU of a batch, 1000 keys again", &many_keys as &dyn Fn(u64) -> Vec<Value>),
        ("CPU of a batch, 1000 new keys", &new_keys),
        ("CPU of a batch, 1 key with 1000 points", &one_key),
    ] {
        let bodies: Vec<String> =
            (0..batches).map(|n| json!({"run_id": run, "metrics": points(n)}).to_string()).collect();
        let before = cpu();
        for body in bodies {
            let headers = [("content-type", "application/json")];
            let answer =
                api.send(http::Method::POST, "/api/2.0/mlflow/runs/log-batch", &headers, body.into_bytes()).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        report(what, (cpu() - before) / batches as f64, "ms", 126.0, false);
    }
    let time = Duration::from_secs(options.seconds);
    for what in ["runs created", "metrics logged"] {
        let (began, done) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let counter = Arc::clone(&done);
        in_parallel(api, move |api| {
            let done = Arc::clone(&counter);
            async move {
                let run = create(&api, 2).await;
                for step in 0.. {
                    if began.elapsed() > time {
                        break;
                    }
                    if what == "runs created" {
                        create(&api, step).await;
                    } else {
                        let body = json!({"run_id": run, "key": "m", "value": 0.5, "timestamp": step, "step": step});
                        api.ok("runs/log-metric", body).await;
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
        .await;
        let rate = done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
        report(&format!("{what} by {CLIENTS} clients"), rate, "/s", 100.0, true);
    }
}

/// Milliseconds of CPU that this process took.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("ticks");
    (ticks(11) + ticks(12)) * 10.0
}
