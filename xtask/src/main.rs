//! What the project does to itself: `cargo xtask ci` is the whole of its continuous integration.

mod ci;
mod demo;
mod policy;
mod rules;
mod setup;
mod shell;
mod spdx;
mod tests_ran;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  demo     starts a server and replays a year of flights: models are trained, judged, rolled out, watched, replaced
           (--once ends afterwards; --data-dir, --listen)
  ci       everything a change must pass: setup, fmt, clippy, rules, doc, test; prints the minutes of each
  setup    installs what the tests need beside Rust (PostgreSQL, kubectl, Python, strace), or says what is missing
  rules    layers between crates, licences, banned and doubled dependencies, file lengths, words
  test     all tests, and that every backend's suite has run (arguments go to the test runner)
  soak     100 rounds of kill -9 on both databases in a release build, of servers that store objects and runs, and of servers,
           shims and programs of tasks (MCPLANE_CRASH_ROUNDS changes the number); every other fault a tenth as often;
           and the demo whole, three times (MCPLANE_DEMO_ROUNDS), with kill -9 of its server in every stage
  bench    throughput, latency, memory and start-up of the release build, each beside its limit
           (bench tracking: beside a real mlflow server in the same run; with --large 100,000 runs and 10 million points;
           bench serving: what a prediction over HTTP costs, beside onnxruntime in Python)
";

/// A sentence for the terminal.
type Fault = String;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = args.split_first().map_or(("help", &[][..]), |(first, rest)| (first.as_str(), rest));
    let done = match command {
        "ci" => ci::run(),
        "setup" => setup::run(),
        "rules" => rules::run(),
        "test" => tests_ran::run(rest),
        "demo" => demo::run(rest),
        "soak" => soak(),
        "bench" => bench(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(format!("no such command: {other}\n\n{HELP}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("xtask: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn soak() -> Result<(), Fault> {
    setup::run()?;
    let (rounds, years) = (number("MCPLANE_CRASH_ROUNDS", 100)?, number("MCPLANE_DEMO_ROUNDS", 3)?);
    let mut crashes = soaked("crash::");
    shell::run(crashes.env("MCPLANE_CRASH_ROUNDS", rounds.to_string()))?;
    for round in 1..=rounds.div_ceil(10) {
        println!("faults, round {round}");
        shell::run(&mut soaked("faults::"))?;
    }
    let (_, raw) = demo::python_and_raw_data()?;
    for round in 1..=years {
        println!("demo, round {round}");
        let mut replay = soaked("flights::replay::");
        shell::run(replay.env("MCPLANE_REPLAY_RAW", &raw).env("MCPLANE_REPLAY_STAGE", "every"))?;
    }
    Ok(())
}

/// A number of the environment, or what it is without.
fn number(name: &str, otherwise: usize) -> Result<usize, Fault> {
    let Ok(given) = std::env::var(name) else { return Ok(otherwise) };
    given.parse().map_err(|_| format!("{name} is no number: {given}"))
}

fn soaked(filter: &str) -> std::process::Command {
    let mut cargo = shell::cargo(&["test", "--release", "-p", "mcplane", "--test", "it", filter, "--"]);
    cargo.args(["--nocapture", "--test-threads=1"]);
    cargo
}

fn bench(args: &[String]) -> Result<(), Fault> {
    let (which, args) = match args.split_first() {
        Some((first, rest)) if ["api", "serving", "tracking"].contains(&first.as_str()) => (first.as_str(), rest),
        _ => ("api", args),
    };
    let mut cargo = shell::cargo(&["bench", "-p", "mcplane", "--bench", which, "--"]);
    shell::run(cargo.args(args))
}
