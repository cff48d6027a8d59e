//! How fast and how small the object API is, beside the numbers that it is measured against.
//!
//! `cargo xtask bench [--store postgres] [--only creates,list,fan-out,memory,start] [--seconds 5]`; one process makes
//! the load on the same machine, over TLS with a token, so the numbers include the cost of the client.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark reports by panicking")]

mod client;
mod load;
mod process;
mod report;

use client::{Protocol, Target};
use mcplane_testkit::{Backend, Server};
use process::Usage;
use report::{Report, Unit};
use std::time::Duration;

/// Bytes of data in each ConfigMap.
const PAYLOAD: usize = 256;

struct Options {
    backend: Backend,
    only: Vec<String>,
    seconds: u64,
}

impl Options {
    fn read() -> Self {
        let mut options = Self { backend: Backend::Sqlite, only: Vec::new(), seconds: 5 };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().unwrap_or_else(|| panic!("{arg} needs a value"));
            match arg.as_str() {
                "--bench" => {} // What cargo adds.
                "--store" if value() == "postgres" => options.backend = Backend::Postgres,
                "--store" => options.backend = Backend::Sqlite,
                "--only" => options.only = value().split(',').map(str::to_owned).collect(),
                "--seconds" => options.seconds = value().parse().expect("a number of seconds"),
                other => panic!("no such option: {other}"),
            }
        }
        options
    }

    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}

fn main() {
    let options = Options::read();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut report = Report::default();
    runtime.block_on(async {
        if options.wants("start") {
            start(&options, &mut report);
        }
        if options.wants("creates") {
            creates(&options, &mut report).await;
        }
        if options.wants("list") || options.wants("fan-out") {
            reads(&options, &mut report).await;
        }
        if options.wants("memory") {
            memory(&options, &mut report).await;
        }
    });
    println!("\n{:?}, {PAYLOAD} bytes in each object\n\n{report}", options.backend);
}

fn server(options: &Options) -> Server {
    Server::start_with(env!("CARGO_BIN_EXE_mcplane"), options.backend, &[])
}

fn start(options: &Options, report: &mut Report) {
    let mut server = server(options);
    std::thread::sleep(Duration::from_secs(2));
    report
        .add("resident when idle", Usage::of(server.pid()).resident_mb, Unit::MegabytesAtMost)
        .limit(40.0)
        .was(375.0, 10.0);
    let mut times: Vec<f64> = (0..11)
        .map(|_| {
            server.terminate();
            server.restart();
            server.ready_after().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    report
        .add("ready on an existing store", times[times.len() / 2], Unit::MillisecondsAtMost)
        .limit(150.0)
        .was(3800.0, 20.0);
}

async fn creates(options: &Options, report: &mut Report) {
    let server = server(options);
    let target = Target::new(&server).await;
    let time = Duration::from_secs(options.seconds);
    load::namespace(&target, "load").await;
    load::creates(&target, Protocol::Http1, 16, Duration::from_secs(2)).await; // Warm caches, pools and the disk.
    let syncs = process::sync_rate(server.scratch(), Duration::from_secs(2));
    report.add("the disk's own syncs of 4 KiB", syncs, Unit::PerSecond);
    let recorded = [(1, 626.0, 7.0, 1.0), (16, 1908.0, 25.0, 1.0), (64, 2251.0, 73.0, 5.0)];
    for (protocol, name) in [(Protocol::Http1, "HTTP/1.1"), (Protocol::Http2, "HTTP/2")] {
        for (clients, rate, p99, aim) in recorded {
            let before = Usage::of(server.pid());
            let run = load::creates(&target, protocol, clients, time).await;
            let used = Usage::of(server.pid()).cpu_ms - before.cpu_ms;
            let what = |what: &str| format!("{what}, {clients} clients, {name}");
            report.add(&what("creates"), run.rate(), Unit::PerSecond).was(rate, aim);
            report.add(&what("99th percentile"), run.percentile_ms(99.0), Unit::MillisecondsAtMost).was(p99, 1.0);
            report.add(&what("CPU of a create"), used / run.count() as f64, Unit::MillisecondsAtMost).was(2.2, 10.0);
        }
    }
    let syncs = process::sync_rate(server.scratch(), Duration::from_secs(2));
    report.add("the disk's own syncs, after the load", syncs, Unit::PerSecond);
}

async fn reads(options: &Options, report: &mut Report) {
    const OBJECTS: usize = 10_000;
    let server = server(options);
    let target = Target::new(&server).await;
    load::namespace(&target, "list").await;
    load::fill(&target, "list", OBJECTS).await;
    if options.wants("list") {
        let (bytes, time) = load::list(&target, "/api/v1/namespaces/list/configmaps", OBJECTS).await;
        // Recorded: 48,000 objects in 0.8 s.
        report.add("list of 10,000 objects", time * 1e3, Unit::MillisecondsAtMost).was(800.0 / 4.8, 1.0);
        report.add("size of that list", bytes as f64 / 1e6, Unit::Megabytes);
    }
    if options.wants("fan-out") {
        load::namespace(&target, "fan").await;
        let before = Usage::of(server.pid());
        let delays = load::fan_out(&target, "fan", 1000, 30).await;
        let used = Usage::of(server.pid()).cpu_ms - before.cpu_ms;
        report.add("one change to the last of 1,000 watchers", delays[delays.len() / 2], Unit::MillisecondsAtMost);
        report.add("the same, slowest of 30 changes", delays[delays.len() - 1], Unit::MillisecondsAtMost);
        report.add("CPU of the server for one such change", used / 30.0, Unit::MillisecondsAtMost);
    }
}

async fn memory(options: &Options, report: &mut Report) {
    const OBJECTS: usize = 100_000;
    let mut server = server(options);
    let target = Target::new(&server).await;
    load::namespace(&target, "many").await;
    load::fill(&target, "many", OBJECTS).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Recorded with 48,000 objects; the ratio does not take credit for the larger number.
    let usage = Usage::of(server.pid());
    report.add("resident with 100,000 objects", usage.resident_mb, Unit::MegabytesAtMost).was(1700.0, 10.0);
    report.add("peak while they were made", usage.peak_mb, Unit::MegabytesAtMost);
    let (_, time) = load::list(&target, "/api/v1/configmaps", OBJECTS).await;
    report.add("list of 100,000 objects", time * 1e3, Unit::MillisecondsAtMost).was(800.0 / 0.48, 1.0);
    report.add("peak after that list", Usage::of(server.pid()).peak_mb, Unit::MegabytesAtMost);
    server.terminate();
    server.restart();
    let time = server.ready_after().as_secs_f64() * 1e3;
    report.add("ready with 100,000 objects", time, Unit::MillisecondsAtMost).was(3800.0, 20.0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let usage = Usage::of(server.pid());
    report.add("resident after that start", usage.resident_mb, Unit::MegabytesAtMost).was(1700.0, 10.0);
}
