//! The official Python client, and the dynamic one that many tools build on.

use mcplane_testkit::python::Venv;
use mcplane_testkit::{Backend, Server, on_each_backend};
use std::path::Path;

on_each_backend!(scenarios);

fn scenarios(backend: Backend) {
    let venv = Venv::with(include_str!("requirements.txt"));
    let server = Server::start(env!("CARGO_BIN_EXE_mcplane"), backend);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/python/scenarios.py");
    let output = venv.run(&script, &[&server.url()]);
    println!("{output}");
    assert_eq!(output.code, 0);
    // unittest ends with success when it has found nothing to run.
    let ran = output.stderr.lines().find_map(|line| line.strip_prefix("Ran ")?.split(' ').next()?.parse::<u32>().ok());
    assert!(ran >= Some(12), "{ran:?} scenarios ran");
}
