//! How fast and how small tracking is, beside a real `mlflow server` on the same machine in the same run.
//!
//! `cargo xtask bench tracking [--only mcplane,mlflow] [--runs 10000] [--seconds 5]`; both keep their data in SQLite and sync each write that
//! they acknowledge, both are asked the same over plain HTTP by one process, whose cost is in nobody's numbers.
//!
//! `cargo xtask bench tracking --large` asks ours alone, with 100,000 runs and 10 million points, each number beside its limit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark reports by panicking")]

mod load;
mod peer;

use load::{Load, Target};
use peer::Peer;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

struct Options {
    only: Vec<String>,
    runs: usize,
    points: usize,
    /// Points of a curve that each run has besides its five metrics.
    curve: usize,
    seconds: u64,
    /// Only the questions, to a store that is filled to the brim.
    large: bool,
}

impl Options {
    fn read() -> Self {
        let mut options = Self { only: vec![], runs: 10_000, points: 100_000, curve: 0, seconds: 5, large: false };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().unwrap_or_else(|| panic!("{arg} needs a value"));
            match arg.as_str() {
                "--bench" => {} // What cargo adds.
                "--only" => options.only = value().split(',').map(str::to_owned).collect(),
                "--runs" => options.runs = value().parse().expect("a number of runs"),
                "--points" => options.points = value().parse().expect("a number of points"),
                "--large" => {
                    options = Self { large: true, runs: 100_000, curve: 95, only: vec!["mcplane".into()], ..options }
                }
                "--curve" => options.curve = value().parse().expect("a number of points"),
                "--seconds" => options.seconds = value().parse().expect("a number of seconds"),
                other => panic!("no such option: {other}"),
            }
        }
        options
    }
}

/// What was measured of one server, by name; `true` where more is better.
type Numbers = BTreeMap<String, (f64, bool)>;

fn main() {
    let options = Options::read();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut all: Vec<(&str, Numbers)> = vec![];
    for name in ["mcplane", "mlflow"] {
        if options.only.is_empty() || options.only.iter().any(|only| only == name) {
            println!("# {name}");
            let peer = if name == "mcplane" { Peer::mcplane() } else { Peer::mlflow() };
            all.push((name, runtime.block_on(measure(&peer, &options))));
        }
    }
    if options.large { limits(&all) } else { report(&all) }
}

async fn measure(peer: &Peer, options: &Options) -> Numbers {
    let mut numbers = Numbers::new();
    let mut note = |what: &str, value: f64, more_is_better: bool| {
        println!("{what}: {value:.2}");
        numbers.insert(what.to_owned(), (value, more_is_better));
    };
    note("ready, s", peer.ready_after.as_secs_f64(), false);
    tokio::time::sleep(Duration::from_secs(2)).await;
    note("resident when idle, MB", peer.resident_mb(), false);

    let target = Target::new(peer.address);
    if options.large {
        reads(peer, options, &target, &mut note).await;
        note("resident when loaded, MB", peer.resident_mb(), false);
        return numbers;
    }
    let time = Duration::from_secs(options.seconds);
    let experiment =
        target.call("experiments/create", &json!({"name": "load"})).await["experiment_id"].as_str().unwrap().to_owned();
    let one = target.run(&experiment, 0).await;
    for (what, load) in [
        ("create-run", Load::CreateRun { experiment: experiment.clone() }),
        ("log-metric", Load::LogMetric { run: one.clone() }),
        ("log-batch of 1,000", Load::LogBatch { run: one.clone() }),
        ("register version", Load::RegisterVersion { model: target.model().await }),
    ] {
        for clients in [1, 64] {
            let before = peer.cpu_ms();
            let done = target.drive(load.clone(), clients, time).await;
            let cpu = peer.cpu_ms() - before;
            note(&format!("{what}, {clients} clients, calls/s"), done.rate(), true);
            note(&format!("{what}, {clients} clients, p99 ms"), done.p99_ms(), false);
            note(&format!("{what}, {clients} clients, CPU ms a call"), cpu / done.count() as f64, false);
            if done.refused > 0 {
                println!("{what}, {clients} clients: {} more were refused", done.refused);
            }
        }
    }
    reads(peer, options, &target, &mut note).await;
    note("resident when loaded, MB", peer.resident_mb(), false);
    numbers
}

async fn reads(peer: &Peer, options: &Options, target: &Target, note: &mut impl FnMut(&str, f64, bool)) {
    let experiment = target.call("experiments/create", &json!({"name": "search"})).await["experiment_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let began = Instant::now();
    target.fill(&experiment, options.runs, options.curve).await;
    note(&format!("{} runs with 5 parameters and 5 metrics, s", options.runs), began.elapsed().as_secs_f64(), false);
    note("resident when filled, MB", peer.resident_mb(), false);
    let run = target.run(&experiment, 0).await;
    target.points(&run, options.points).await;

    let search = |filter: &str, order: &str| json!({"experiment_ids": [experiment], "filter": filter, "order_by": [order], "max_results": 100});
    // As the server gives it with the page before.
    let page = |token: &str, filter: &str, order: &str| {
        let mut page = search(filter, order);
        page["page_token"] = token.into();
        page
    };
    let mut questions = vec![
        (
            "search, filtered and ordered, ms",
            search("params.p1 = '7' AND metrics.m1 > 0.5", "attributes.start_time DESC"),
        ),
        ("search, ordered by a metric, ms", search("", "metrics.m2 DESC")),
        (
            "search, ordered by a metric and filtered, ms",
            search("metrics.m1 > 0.9 AND params.p2 != '7'", "metrics.m2 DESC"),
        ),
        ("search, the hundredth page of 100, ms", page("eyJvZmZzZXQiOiA5OTAwfQ==", "", "attributes.start_time DESC")),
        ("search, 1,000 newest runs, ms", json!({"experiment_ids": [experiment], "max_results": 1000})),
    ];
    if options.large {
        // In the middle every order is furthest from an end.
        let middle = |filter: &str, order: &str| page("eyJvZmZzZXQiOiA1MDAwMH0=", filter, order);
        questions.extend([
            ("search, the middle page by time, ms", middle("", "attributes.start_time DESC")),
            ("search, the middle page by a metric, ms", middle("", "metrics.m2 DESC")),
            ("search, the middle page by a parameter, ms", middle("", "params.p3")),
            ("search, the middle page of most, ms", middle("params.p2 != '7'", "attributes.start_time DESC")),
            ("search, filtered by a part of a parameter, ms", search("params.p1 LIKE '%7%'", "metrics.m2 DESC")),
            ("search, filtered by two metrics, ms", search("metrics.m1 > 0.5 AND metrics.m3 < 0.1", "metrics.m2 DESC")),
        ]);
    }
    for (what, body) in questions {
        let (before, times) = (peer.cpu_ms(), 5);
        let mut taken: Vec<f64> = vec![];
        for _ in 0..times {
            let began = Instant::now();
            target.call("runs/search", &body).await;
            taken.push(began.elapsed().as_secs_f64() * 1e3);
        }
        taken.sort_by(f64::total_cmp);
        note(what, taken[taken.len() / 2], false);
        note(&what.replace(", ms", ", CPU ms"), (peer.cpu_ms() - before) / f64::from(times), false);
    }
    let began = Instant::now();
    let path = format!("metrics/get-history?run_id={run}&metric_key=curve");
    let history = target.get(&path).await;
    let taken = began.elapsed().as_secs_f64() * 1e3;
    assert_eq!(history["metrics"].as_array().map(Vec::len), Some(options.points));
    note(&format!("history of {} points, ms", options.points), taken, false);
}

/// Each number beside its limit.
fn limits(all: &[(&str, Numbers)]) {
    println!("\n| what | mcplane | limit |\n|---|--:|--:|");
    for (what, (value, _)) in all.iter().flat_map(|(_, numbers)| numbers) {
        let limit = match what {
            what if what.starts_with("search, 1,000") || what.contains("CPU") => "",
            what if what.starts_with("search") => "100",
            what if what.starts_with("resident when loaded") => "128",
            _ => "",
        };
        println!("| {what} | {value:.2} | {limit} |");
    }
}

/// Each number of ours beside that of the other, and how many times better it is.
fn report(all: &[(&str, Numbers)]) {
    let Some((_, ours)) = all.iter().find(|(name, _)| *name == "mcplane") else { return };
    let theirs = all.iter().find(|(name, _)| *name == "mlflow").map(|(_, numbers)| numbers);
    println!("\n| what | mcplane | mlflow server | times better |\n|---|--:|--:|--:|");
    for (what, (value, more_is_better)) in ours {
        let other = theirs.and_then(|theirs| theirs.get(what)).map(|(other, _)| *other);
        let times = other.map(|other| if *more_is_better { value / other } else { other / value });
        let shown = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.2}"));
        println!("| {what} | {value:.2} | {} | {} |", shown(other), shown(times));
    }
}
