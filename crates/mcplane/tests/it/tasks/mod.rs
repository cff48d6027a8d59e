//! Tasks as users run them: by the command line and by the Python package, on a server with room for them.

mod cli;
pub(crate) mod desk;

use std::path::Path;

use mcplane_testkit::python::Venv;
use mcplane_testkit::{Backend, Server, on_each_backend};

const REQUIREMENTS: &str = include_str!("../mlflow/requirements.txt");

on_each_backend!(python);

/// A server whose machine has what the mission's task asks for, and on which `python` is a Python.
fn server(backend: Backend, settings: &[&str]) -> Server {
    let mut args = vec!["--set", "agent.capacity.cpu=4", "--set", "agent.capacity.memory=16GiB"];
    args.extend(settings);
    let mut server = Server::stopped(env!("CARGO_BIN_EXE_mcplane"), backend, &args);
    server.under(["env".to_owned(), format!("PATH={}", path())]);
    server.restart();
    server
}

/// The usual one after the environment's.
fn path() -> String {
    let programs = Venv::with(REQUIREMENTS).program("");
    format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default())
}

fn python(backend: Backend) {
    pytest(&server(backend, &[]), "scenarios.py", 8);
    // A machine that is too small says so.
    pytest(&server(backend, &["--set", "agent.capacity.cpu=2"]), "small.py", 1);
}

fn pytest(server: &Server, file: &str, least: usize) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let (runner, what) = (tests.join("mlflow/run.py"), tests.join("tasks").join(file));
    let scratch = tempfile::tempdir().expect("folder for what scripts leave");
    let args = [server.url(), scratch.path().display().to_string(), what.display().to_string()];
    let output = Venv::with(REQUIREMENTS).run(&runner, &args.each_ref().map(String::as_str));
    println!("{output}");
    assert_eq!(output.code, 0, "{}", server.log());
    let passed =
        output.stdout.lines().rev().find_map(|line| line.split_once(" passed")?.0.rsplit(' ').next()?.parse().ok());
    assert!(passed >= Some(least), "{passed:?} tests passed");
}

/// The mission's configuration of the scheduler is one; what it asks for is refused until it is there.
#[test]
fn the_missions_scheduler_is_read() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mission/scheduler.yaml");
    let file = file.to_str().expect("a path of text");
    let data = tempfile::tempdir().expect("folder of data");
    let mcplane = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mcplane"));
        command.args(args).env("HOME", data.path());
        mcplane_testkit::process::run(&mut command, None)
    };
    let shown = mcplane(&["config", "show", "--config", file, "-o", "yaml"]).ok();
    let shown: serde_json::Value = serde_norway::from_str(&shown).expect("YAML");
    let expected = serde_json::json!({
        "type": "time-wheel", "tick-duration": "100ms", "worker-pool-size": 10,
        "persistence": "redis://localhost:6379/1", "retention": "30d",
    });
    assert_eq!(shown["scheduler"], expected);
    let folder = data.path().join("data").display().to_string();
    let refused = mcplane(&["server", "--config", file, "--data-dir", &folder, "--listen", "127.0.0.1:0"]).err();
    assert!(refused.contains("scheduler.persistence") && refused.contains("does not exist yet"), "{refused}");
}
