//! The steps of continuous integration, in the order in which they fail fastest.

use crate::{Fault, rules, setup, shell, tests_ran};
use std::time::{Duration, Instant};

type Step = (&'static str, fn() -> Result<(), Fault>);

const STEPS: &[Step] = &[
    ("setup", setup::run),
    ("fmt", || shell::run(&mut shell::cargo(&["fmt", "--all", "--check"]))),
    ("rules", rules::run),
    ("clippy", clippy),
    ("doc", doc),
    ("test", || tests_ran::run(&[])),
];

pub(crate) fn run() -> Result<(), Fault> {
    let mut times: Vec<(&str, Duration)> = Vec::new();
    let mut outcome = Ok(());
    for (name, step) in STEPS {
        println!("\n── {name}");
        let began = Instant::now();
        outcome = step().map_err(|fault| format!("{name}: {fault}"));
        times.push((name, began.elapsed()));
        if outcome.is_err() {
            break;
        }
    }
    println!("\n── minutes");
    for (name, time) in &times {
        println!("{name:>8} {:6.1}", time.as_secs_f64() / 60.0);
    }
    let total: Duration = times.iter().map(|(_, time)| *time).sum();
    println!("{:>8} {:6.1}", "all", total.as_secs_f64() / 60.0);
    outcome
}

fn clippy() -> Result<(), Fault> {
    shell::run(&mut shell::cargo(&["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// Shares clippy's metadata of the dependencies, so it costs little. The crates are not published: whoever reads their
/// documentation reads the private items too, so links to those are right.
fn doc() -> Result<(), Fault> {
    let mut cargo = shell::cargo(&["doc", "--locked", "--workspace", "--no-deps", "--document-private-items"]);
    shell::run(cargo.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"))
}
