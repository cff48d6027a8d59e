//! What a choice costs with 100,000 ready tasks in 1,000 namespaces, beside a plain priority queue that knows neither
//! shares nor limits, and beside a look at all of them, as a query without the right index takes.
//!
//! `cargo bench -p mcplane-scheduler --bench board -- [--tasks 100000] [--namespaces 1000]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark reports by panicking")]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;

use mcplane_scheduler::fairness::{Board, Capacity, Demand, Entry, Node, Settings, rank};

const SLOTS: u32 = 64;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |name: &str, default: usize| {
        let at = args.iter().position(|arg| arg == name);
        at.map_or(default, |at| args[at + 1].parse().expect("a number"))
    };
    let (tasks, namespaces) = (number("--tasks", 100_000), number("--namespaces", 1000).max(1));
    let entries = entries(tasks, namespaces);
    println!("{tasks} ready tasks in {namespaces} namespaces");

    let started = Cpu::now();
    let mut board = Board::new(Settings::default());
    for entry in &entries {
        board.offer(entry.clone());
    }
    println!("offer            {:>9.0} ns each", each(started, tasks));
    let one = drain(&mut board, 1);

    let started = Cpu::now();
    let mut board = Board::rebuild(Settings::default(), [], entries.iter().cloned());
    println!("rebuild          {:>9.0} ns each", each(started, tasks));
    let many = drain(&mut board, SLOTS as usize);

    let mut heap: BTreeSet<(i64, i64)> = entries.iter().map(|entry| (entry.rank, entry.task)).collect();
    let started = Cpu::now();
    while let Some(next) = heap.pop_first() {
        black_box(next);
    }
    let plain = each(started, tasks);

    let rounds = 200.min(tasks);
    let mut left: Vec<&Entry> = entries.iter().collect();
    let started = Cpu::now();
    for _ in 0..rounds {
        let first = left.iter().enumerate().min_by_key(|(_, entry)| (entry.rank, entry.task)).map(|(at, _)| at);
        black_box(left.swap_remove(first.expect("left")));
    }
    let scan = each(started, rounds);

    println!("choose and finish, one a call {one:>9.0} ns; {SLOTS} a call {many:>9.0} ns");
    println!("BTreeSet without fairness     {plain:>9.0} ns   board / BTreeSet {:.1}", one / plain);
    println!("a look at all                 {scan:>9.0} ns   look / board {:.0}", scan / one);
}

/// Uneven namespaces, a few demands, keys on a tenth.
fn entries(tasks: usize, namespaces: usize) -> Vec<Entry> {
    let names: Vec<Arc<str>> = (0..namespaces).map(|at| format!("namespace-{at}").into()).collect();
    let mut state = 7u64;
    let mut dice = move |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % end
    };
    let queue: Arc<str> = "default".into();
    (0..tasks)
        .map(|task| {
            let at = if dice(2) == 0 { dice(namespaces.min(10)) } else { dice(namespaces) };
            let key = (dice(10) == 0).then(|| Arc::from(format!("key-{}", dice(1000))));
            let rank = rank(task as i64, dice(10) as u8, 60_000);
            let demand = Demand { cpu_milli: 250 * (1 + dice(4) as u64), memory: 1 << 30, gpu: 0 };
            Entry { task: task as i64, namespace: Arc::clone(&names[at]), queue: Arc::clone(&queue), rank, key, demand }
        })
        .collect()
}

/// Runs all, `most` at a time; nanoseconds for each.
fn drain(board: &mut Board, most: usize) -> f64 {
    let total = Demand { cpu_milli: 64_000, memory: 256 << 30, gpu: 0 };
    let count = board.ready();
    let started = Cpu::now();
    let (mut now, mut done) = (0, 0);
    while done < count {
        let mut capacity = Capacity { slots: SLOTS, nodes: vec![Node { total, free: total }] };
        let choices = board.choose(now, &mut capacity, most);
        assert!(!choices.is_empty());
        for choice in &choices {
            board.finished(choice.task, now);
        }
        done += choices.len();
        now += 1;
    }
    each(started, count)
}

fn each(started: Cpu, count: usize) -> f64 {
    started.elapsed() / count as f64
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
