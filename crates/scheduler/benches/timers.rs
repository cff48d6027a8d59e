//! What a million armed timers cost: the wheel beside the standard library's ordered sets and tokio-util's `DelayQueue`.
//!
//! `cargo bench -p mcplane-scheduler --bench timers -- [--timers 1000000] [--seconds 10]`. Each structure runs in a process
//! of its own, so that memory is what it takes and not what another left behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark reports by panicking")]

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, SystemTime};

use mcplane_scheduler::timers::Wheel;
use tokio_util::time::DelayQueue;

/// They come due over a day.
const DAY: i64 = 24 * 3_600_000;
const NOW: i64 = 1_700_000_000_000;

/// Nanoseconds and bytes a timer.
#[derive(Default)]
struct Cost {
    insert: f64,
    remove: Option<f64>,
    fire: f64,
    memory: f64,
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |name: &str, default: u64| {
        let at = args.iter().position(|arg| arg == name);
        at.map_or(default, |at| args[at + 1].parse().expect("a number"))
    };
    let (timers, seconds) = (number("--timers", 1_000_000) as usize, number("--seconds", 10));
    if let Some(at) = args.iter().position(|arg| arg == "--one") {
        let cost = match args[at + 1].as_str() {
            "wheel" => wheel(timers),
            "BTreeSet" => tree(timers),
            "BinaryHeap" => heap(timers),
            _ => delay_queue(timers),
        };
        let remove = cost.remove.map_or("-".to_owned(), |ns| format!("{ns:.0}"));
        println!("{:.0} {remove} {:.0} {:.1}", cost.insert, cost.fire, cost.memory);
        return;
    }
    println!("{timers} timers over a day; nanoseconds each, bytes each");
    println!("{:<12} {:>8} {:>8} {:>8} {:>8}", "", "insert", "remove", "fire", "memory");
    let mut rows: Vec<(&str, Vec<Option<f64>>)> = Vec::new();
    for name in ["wheel", "BTreeSet", "BinaryHeap", "DelayQueue"] {
        let out = Command::new(&args[0]).args(["--one", name, "--timers", &timers.to_string()]).output().expect("runs");
        let text = String::from_utf8(out.stdout).expect("text");
        let row: Vec<&str> = text.split_whitespace().collect();
        println!("{name:<12} {:>8} {:>8} {:>8} {:>8}", row[0], row[1], row[2], row[3]);
        rows.push((name, row.iter().map(|cell| cell.parse().ok()).collect()));
    }
    for (name, row) in &rows[1..] {
        let ratios = row.iter().zip(&rows[0].1).map(|(peer, own)| match (peer, own) {
            (Some(peer), Some(own)) => format!("{:.2}", peer / own),
            _ => "-".to_owned(),
        });
        println!("{name} / wheel: {}", ratios.collect::<Vec<_>>().join("  "));
    }
    lateness(timers, seconds);
}

/// Due times without a pattern, the same for all.
fn dues(count: usize, within: i64) -> impl Iterator<Item = (i64, i64)> {
    let mut state = 42u64;
    (0..count as i64).map(move |id| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (id, NOW + (state >> 33) as i64 % within)
    })
}

/// Every tenth, far apart.
fn removed(count: usize) -> Vec<(i64, i64)> {
    dues(count, DAY).filter(|(id, _)| id % 10 == 0).collect()
}

fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok()).expect("pages") * 4096.0
}

fn each(started: Cpu, count: usize) -> f64 {
    started.elapsed() / count as f64
}

fn wheel(count: usize) -> Cost {
    let gone = removed(count);
    let before = resident();
    let started = Cpu::now();
    let mut wheel = Wheel::new(100, NOW);
    for (id, due) in dues(count, DAY) {
        wheel.insert(id, due);
    }
    let insert = each(started, count);
    let memory = (resident() - before) / count as f64;
    let started = Cpu::now();
    let found = gone.iter().filter(|(id, due)| wheel.remove(*id, *due)).count();
    let remove = each(started, found);
    let (started, mut fired, mut total) = (Cpu::now(), Vec::new(), 0);
    // As a server does: sleep to the next, take what is due.
    while let Some(due) = wheel.next_due() {
        wheel.advance(due, &mut fired);
        total += fired.len();
        fired.clear();
    }
    assert_eq!(total + found, count);
    Cost { insert, remove: Some(remove), fire: each(started, total), memory }
}

fn tree(count: usize) -> Cost {
    let gone = removed(count);
    let before = resident();
    let started = Cpu::now();
    let mut tree: BTreeSet<(i64, i64)> = dues(0, DAY).collect();
    for (id, due) in dues(count, DAY) {
        tree.insert((due, id));
    }
    let insert = each(started, count);
    let memory = (resident() - before) / count as f64;
    let started = Cpu::now();
    let found = gone.iter().filter(|(id, due)| tree.remove(&(*due, *id))).count();
    let remove = each(started, found);
    let (started, total) = (Cpu::now(), tree.len());
    while let Some(item) = tree.pop_first() {
        black_box(item);
    }
    Cost { insert, remove: Some(remove), fire: each(started, total), memory }
}

fn heap(count: usize) -> Cost {
    let before = resident();
    let started = Cpu::now();
    let mut heap = BinaryHeap::new();
    for (id, due) in dues(count, DAY) {
        heap.push(Reverse((due, id)));
    }
    let insert = each(started, count);
    let memory = (resident() - before) / count as f64;
    let (started, total) = (Cpu::now(), heap.len());
    while let Some(item) = heap.pop() {
        black_box(item);
    }
    Cost { insert, remove: None, fire: each(started, total), memory }
}

fn delay_queue(count: usize) -> Cost {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let before = resident();
        let started = Cpu::now();
        let mut queue = DelayQueue::new();
        // It gives keys to remove by, which somebody has to keep: eight bytes of its memory here.
        let keys: Vec<_> = dues(count, DAY)
            .map(|(id, due)| queue.insert(id, Duration::from_millis((due - NOW).unsigned_abs())))
            .collect();
        let insert = each(started, count);
        let memory = (resident() - before) / count as f64;
        let started = Cpu::now();
        for key in keys.iter().step_by(10) {
            queue.remove(key);
        }
        let remove = each(started, count.div_ceil(10));
        drop((queue, keys));

        // It cannot be told the time, so these come due within two seconds that nobody counts.
        let mut queue = DelayQueue::new();
        for (id, due) in dues(count, 2000) {
            queue.insert(id, Duration::from_millis((due - NOW).unsigned_abs()));
        }
        tokio::time::sleep(Duration::from_millis(2100)).await;
        let started = Cpu::now();
        let mut total = 0;
        while let Some(item) = std::future::poll_fn(|context| queue.poll_expired(context)).await {
            black_box(item.into_inner());
            total += 1;
        }
        assert_eq!(total, count);
        Cost { insert, remove: Some(remove), fire: each(started, total), memory }
    })
}

/// How late timers are in real time when a million others are armed, and what the waiting costs.
fn lateness(timers: usize, seconds: u64) {
    let clock = || SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    let now = clock().as_millis() as i64;
    let mut wheel = Wheel::new(100, now);
    for (id, due) in dues(timers, DAY) {
        wheel.insert(id, due - NOW + now + 3_600_000);
    }
    let soon = seconds as usize * 100;
    for (id, due) in dues(soon, seconds as i64 * 1000) {
        wheel.insert(id, due - NOW + now + 500);
    }
    let (cpu, mut late, mut fired) = (Cpu::now(), Vec::with_capacity(soon), Vec::new());
    while late.len() < soon {
        let due = Duration::from_millis(wheel.next_due().expect("armed").unsigned_abs());
        std::thread::sleep(due.saturating_sub(clock()));
        wheel.advance(clock().as_millis() as i64, &mut fired);
        let at = clock();
        late.extend(fired.drain(..).map(|(due, _)| {
            at.checked_sub(Duration::from_millis(due.unsigned_abs())).expect("never early").as_secs_f64() * 1000.0
        }));
    }
    let cpu = cpu.elapsed();
    late.sort_by(f64::total_cmp);
    let part = |share: f64| late[((late.len() - 1) as f64 * share) as usize];
    println!(
        "100 a second among {timers}: late by p50 {:.2} ms, p99 {:.2} ms, worst {:.2} ms, never early; {:.2} % of a CPU",
        part(0.5),
        part(0.99),
        part(1.0),
        cpu / (seconds as f64 * 1e7)
    );
}

/// Processor time of this thread, so that a busy machine does not count.
#[derive(Clone, Copy)]
struct Cpu(f64);

impl Cpu {
    fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
        Self(stat.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok()).expect("a number"))
    }

    /// Nanoseconds.
    fn elapsed(self) -> f64 {
        Self::now().0 - self.0
    }
}
