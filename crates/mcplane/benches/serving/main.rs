//! What a prediction costs from the socket to the socket: data plane, gateway, model, what is watched and recorded of it.
//!
//! `cargo xtask bench serving [--binary PATH] [--requests 100000] [--python PATH]`
//!
//! The Python needs numpy, scikit-learn, skl2onnx and onnxruntime: it makes the models, and tells what onnxruntime takes in its own process,
//! without HTTP, on one thread. Without it a model of the tests is asked, beside numbers that were measured once. Counted is
//! the processor time of the server, all its threads, on kept connections; callers are not counted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a benchmark")]

mod calls;
mod rig;

use std::path::Path;
use std::process::Command;

use calls::{Form, drive};
use mcplane_testkit::process::cpu_ms;
use rig::Rig;

/// Processor time that others take for a row over HTTP, and onnxruntime without, in microseconds.
const MLSERVER_US: f64 = 1_460.0;
const MLFLOW_US: f64 = 1_320.0;
const ONNXRUNTIME_US: f64 = 7.0;
/// What a row is to cost at most.
const AIM_US: f64 = 40.0;
/// Makes models and measures onnxruntime: prints `name rows microseconds`.
const SCRIPT: &str = "../serving/benches/engine.py";
/// Requests before anything counts.
const WARM: usize = 2_000;

/// A model, and what onnxruntime takes for rows of it.
struct Model {
    name: String,
    columns: usize,
    theirs: Vec<(usize, f64)>,
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let text = |name: &str| args.iter().position(|arg| arg == name).map(|at| args[at + 1].clone());
    let requests: usize = text("--requests").map_or(100_000, |text| text.parse().expect("a number"));
    let binary = text("--binary").unwrap_or_else(|| env!("CARGO_BIN_EXE_mcplane").to_owned());
    let python = text("--python").or_else(|| std::env::var("PYTHON").ok()).unwrap_or_else(|| "python3".to_owned());
    let folder = tempfile::tempdir().expect("a folder");
    let models = models(&python, folder.path());
    let rig = Rig::start(&binary);
    for model in &models {
        rig.serve(&model.name, &folder.path().join(format!("{}.onnx", model.name)));
    }
    println!(
        "{:12} {:>6} {:>8} {:>14} {:>14} {:>12}",
        "model", "rows", "sent as", "server CPU µs", "onnxruntime µs", "requests/s"
    );
    let mut row = f64::MAX;
    for model in &models {
        for (rows, theirs) in &model.theirs {
            for form in [Form::Json, Form::Binary] {
                let request = form.request(rig.data_plane, &model.name, *rows, model.columns);
                drive(rig.data_plane, &request, WARM);
                let count = requests / if *rows > 1 { 5 } else { 1 };
                let before = cpu_ms(rig.server.pid());
                let seconds = drive(rig.data_plane, &request, count);
                let cost = (cpu_ms(rig.server.pid()) - before) * 1e3 / count as f64;
                let rate = count as f64 / seconds;
                println!("{:12} {rows:>6} {form:>8} {cost:>14.1} {theirs:>14.1} {rate:>12.0}", model.name);
                if *rows == 1 {
                    row = row.min(cost);
                }
            }
        }
    }
    println!("\na row costs {row:.1} µs at least, and {AIM_US} at most is the aim");
    println!("MLServer / ours {:.0}, mlflow serve / ours {:.0}", MLSERVER_US / row, MLFLOW_US / row);
}

/// Models in the folder, each for one row and for 64.
fn models(python: &str, folder: &Path) -> Vec<Model> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(SCRIPT);
    let output = Command::new(python).arg(script).arg(folder).output();
    let mut models: Vec<Model> = Vec::new();
    let said = output.as_ref().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    for line in said.lines() {
        let mut words = line.split_whitespace();
        let (Some(name), Some(rows), Some(time)) = (words.next(), words.next(), words.next()) else { continue };
        let (rows, time): (usize, f64) = (rows.parse().expect("rows"), time.parse().expect("a time"));
        if models.last().is_none_or(|model| model.name != name) {
            models.push(Model { name: name.to_owned(), columns: 20, theirs: Vec::new() });
        }
        if [1, 64].contains(&rows) {
            models.last_mut().expect("a model").theirs.push((rows, time));
        }
    }
    if models.is_empty() {
        println!("{python} has no onnxruntime to compare with: what was measured of it elsewhere counts");
        let name = "boosting".to_owned();
        rig::copy_of_the_tests(&folder.join("boosting.onnx"));
        models.push(Model { name, columns: 6, theirs: vec![(1, ONNXRUNTIME_US), (64, f64::NAN)] });
    }
    models
}
