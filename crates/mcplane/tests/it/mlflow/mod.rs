//! MLflow's own client, unmodified: what a training script does, and each noun's rules as a client sees them.

use mcplane_testkit::browser::chromium;
use mcplane_testkit::object_stores::{Emulator, Kind};
use mcplane_testkit::python::Venv;
use mcplane_testkit::seaweedfs::SeaweedFs;
use mcplane_testkit::{Backend, Server, on_each_backend};
use std::path::{Path, PathBuf};

const REQUIREMENTS: &str = include_str!("requirements.txt");

on_each_backend!(scripts_of_users, each_noun);

/// Runs pytest on a file or folder against a server; at least `least` tests must have run.
fn pytest(server: &Server, what: &Path, least: usize) {
    pytest_with(server, what, &[], least);
}

/// [`pytest`] with more variables for the scripts.
fn pytest_with(server: &Server, what: &Path, vars: &[(&str, String)], least: usize) {
    let venv = Venv::with(REQUIREMENTS);
    let scratch = tempfile::tempdir().expect("folder for what scripts leave");
    let runner = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mlflow/run.py");
    let what = what.to_str().expect("a path in UTF-8");
    let vars: Vec<String> = vars.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let url = server.url();
    let mut args = vec![url.as_str(), scratch.path().to_str().expect("a path in UTF-8"), what];
    args.extend(vars.iter().map(String::as_str));
    let output = venv.run(&runner, &args);
    println!("{output}");
    assert_eq!(output.code, 0);
    let summary = output.stdout.lines().rev().find(|line| line.contains(" passed")).unwrap_or_default();
    let passed = summary.split(' ').rev().skip_while(|word| !word.starts_with("passed")).nth(1);
    let passed: usize = passed.and_then(|count| count.trim_start_matches('=').trim().parse().ok()).unwrap_or_default();
    assert!(passed >= least, "{passed} tests passed: {summary}");
}

fn scripts_of_users(backend: Backend) {
    let server = Server::start(env!("CARGO_BIN_EXE_mcplane"), backend);
    pytest(&server, &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mlflow/scenarios.py"), 10);
}

/// The checks beside the crate: what was found by asking MLflow's server the same.
fn each_noun(backend: Backend) {
    let settings = ["--set", r#"tracking.webhook-hosts=["127.0.0.1"]"#];
    let server = Server::start_with(env!("CARGO_BIN_EXE_mcplane"), backend, &settings);
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tracking/tests/mlflow");
    pytest(&server, &folder, 10);
}

/// MLflow's own pages in a browser, from the package of its client.
#[test]
fn pages() {
    let packages = Venv::with(REQUIREMENTS).packages();
    let pages = packages.join("mlflow/server/js/build");
    let pages = ["--mlflow-ui", pages.to_str().expect("a path in UTF-8")];
    let server = Server::start_with(env!("CARGO_BIN_EXE_mcplane"), Backend::Sqlite, &pages);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mlflow/pages.py");
    pytest_with(&server, &script, &[("CHROMIUM", chromium().display().to_string())], 3);
}

/// The tests that the Python client has of its own.
#[test]
fn sdk() {
    let server = Server::start(env!("CARGO_BIN_EXE_mcplane"), Backend::Sqlite);
    pytest(&server, &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/python/tests"), 10);
}

/// Models and artifacts on a real S3 server.
#[test]
fn on_s3() {
    let s3 = SeaweedFs::get();
    let settings =
        ["--artifacts-destination", "s3://artifacts/mlflow", "--set", r#"tracking.model-sources=["s3://models"]"#];
    let mut server = Server::stopped(env!("CARGO_BIN_EXE_mcplane"), Backend::Sqlite, &settings);
    let vars = s3.vars();
    server.under(std::iter::once("env".to_owned()).chain(vars.iter().map(|(name, value)| format!("{name}={value}"))));
    server.restart();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mlflow");
    pytest_with(&server, &folder.join("registration.py"), &vars, 4);
    pytest(&server, &folder.join("files.py"), 3);
    let scenario = "scenarios.py::test_nested_runs_and_everything_that_is_logged";
    pytest(&server, &folder.join(scenario), 1);
}

/// Artifacts in Google Cloud Storage, as far as an emulator of its wire format goes.
#[test]
fn on_gcs() {
    let gcs = Emulator::start(Kind::Gcs, "/artifacts");
    let settings = ["--artifacts-destination", "gs://artifacts/mlflow"];
    let mut server = Server::stopped(env!("CARGO_BIN_EXE_mcplane"), Backend::Sqlite, &settings);
    server.under(["env".to_owned(), format!("STORAGE_EMULATOR_HOST={}", gcs.address)]);
    server.restart();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mlflow");
    pytest(&server, &folder.join("scenarios.py::test_nested_runs_and_everything_that_is_logged"), 1);
    pytest(&server, &folder.join("files.py"), 3);
    assert!(gcs.requests().iter().any(|request| request.starts_with("PUT /artifacts/mlflow%2F")));
}
