//! What a step of a pipeline costs beside its process: processor time of the server for each step, beside kfp.local and Prefect.
//!
//! `cargo bench -p mcplane --bench steps -- [--steps 100] [--binary PATH] [--python PATH]`; the Python needs `kfp` and `prefect`.
//! Every side runs a chain of steps that do nothing, one after the other. Counted is what orchestrates: our server; the
//! process that calls kfp.local; Prefect's client and the server that it starts. Processes of steps are never counted, the
//! work of starting them is: what a task of ours costs without a pipeline is shown beside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a benchmark")]

use std::process::{Command, Stdio};

use mcplane_testkit::process::{cpu_ms, run};
use mcplane_testkit::{Backend, Server};
use serde_json::{Map, Value, json};

const PEERS: &str = include_str!("peers.py");
/// Steps that peers take, which need seconds for each of them.
const OF_PEERS: usize = 20;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let text = |name: &str| args.iter().position(|arg| arg == name).map(|at| args[at + 1].clone());
    let steps: usize = text("--steps").map_or(100, |text| text.parse().expect("a number"));
    let binary = text("--binary").unwrap_or_else(|| env!("CARGO_BIN_EXE_mcplane").to_owned());
    println!("{:<34} {:>12}", "", "CPU ms/step");
    let say = |name: &str, cost: f64| println!("{name:<34} {cost:>12.2}");
    let (alone, step) = own(&binary, steps);
    say("mcplane, a task by itself", alone);
    say("mcplane, a step of a pipeline", step);
    say("mcplane, the step above the task", step - alone);
    let python = text("--python").unwrap_or_else(|| "python3".to_owned());
    for peer in ["kfp.local", "prefect"] {
        let cost = of_peer(&python, peer);
        say(peer, cost);
        println!("  {:.1} times a step of ours", cost / step);
    }
}

/// Milliseconds of the server for a task and for a step of a pipeline.
fn own(binary: &str, steps: usize) -> (f64, f64) {
    let server = Server::start_with(
        binary,
        Backend::Sqlite,
        &["--set", "agent.capacity.cpu=16", "--set", "agent.images={host: {}}"],
    );
    let cli = |line: &[&str]| {
        let mut command = server.cli();
        command.args(line).env("MCPLANE_URL", server.url());
        run(&mut command, None).ok()
    };
    let file = server.scratch().join("pipeline.json");
    let pipeline = |count: usize| std::fs::write(&file, chain(count).to_string()).unwrap();
    let go = |name: &str| cli(&["pipeline", "run", file.to_str().unwrap(), "--name", name]);
    // What is made once is made now.
    pipeline(3);
    go("warm");
    pipeline(steps);
    let before = cpu_ms(server.pid());
    go("measured");
    let step = (cpu_ms(server.pid()) - before) / steps as f64;
    let before = cpu_ms(server.pid());
    for _ in 0..steps {
        cli(&["task", "run", "--no-code", "--", "true"]);
    }
    ((cpu_ms(server.pid()) - before) / steps as f64, step)
}

/// A pipeline of steps in a row that do nothing.
fn chain(steps: usize) -> Value {
    let mut tasks = Map::new();
    for step in 0..steps {
        let mut task = json!({
            "cachingOptions": {}, "componentRef": {"name": "comp-step"}, "taskInfo": {"name": format!("step-{step}")},
        });
        if step > 0 {
            task["dependentTasks"] = json!([format!("step-{}", step - 1)]);
        }
        tasks.insert(format!("step-{step}"), task);
    }
    json!({
        "pipelineInfo": {"name": "chain"}, "schemaVersion": "2.1.0", "sdkVersion": "kfp-2.17.0",
        "components": {"comp-step": {"executorLabel": "exec-step"}},
        "deploymentSpec": {"executors": {"exec-step": {"container": {"image": "host", "command": ["true"]}}}},
        "root": {"dag": {"tasks": tasks}},
    })
}

fn of_peer(python: &str, peer: &str) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(python);
    // The SDK reads the source of functions from their file.
    let script = folder.path().join("peers.py");
    std::fs::write(&script, PEERS).unwrap();
    command.arg(&script).args([peer, &OF_PEERS.to_string()]).current_dir(folder.path()).stderr(Stdio::inherit());
    command.env("HOME", folder.path()).env("PREFECT_HOME", folder.path()).env("PREFECT_LOGGING_LEVEL", "ERROR");
    command.env("DO_NOT_TRACK", "1").env("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120");
    let output = command.output().expect("python");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{peer}: {said}");
    said.lines().last().and_then(|line| line.trim().parse().ok()).unwrap_or_else(|| panic!("{peer}: {said}"))
}
