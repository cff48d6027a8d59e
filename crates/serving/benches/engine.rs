//! CPU time of an answer beside onnxruntime in Python, on the same models in the same run.
//!
//!     PYTHON=python cargo bench -p mcplane-serving --bench engine
//!
//! `PYTHON` needs numpy, scikit-learn, skl2onnx and onnxruntime; without it there is nothing to compare with, and the
//! bench says so. Both sides use one thread, and both are timed in the microseconds of the median answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark reports by panicking")]

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use mcplane_serving::engine::Engine;
use mcplane_serving::engine::tabular::Tabular;
use mcplane_serving::tensor::{Data, Tensor};

fn main() {
    let folder = std::env::temp_dir().join(format!("mcplane-bench-engine-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the models");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/engine.py");
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = Command::new(&python).arg(script).arg(&folder).output().expect("Python runs");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    if lines.is_empty() {
        println!("nothing to compare with: {}", String::from_utf8_lossy(&output.stderr));
    }
    println!("{:12} {:>6} {:>12} {:>14} {:>7}", "model", "rows", "here µs", "onnxruntime µs", "ratio");
    for line in lines.lines() {
        let mut words = line.split_whitespace();
        let (Some(name), Some(rows), Some(theirs)) = (words.next(), words.next(), words.next()) else { continue };
        let (rows, theirs): (usize, f64) = (rows.parse().expect("rows"), theirs.parse().expect("time"));
        let ours = median(&folder.join(format!("{name}.onnx")), rows);
        println!("{name:12} {rows:>6} {ours:>12.2} {theirs:>14.2} {:>7.2}", ours / theirs);
    }
    std::fs::remove_dir_all(&folder).expect("the folder goes");
}

/// Microseconds of the median answer.
fn median(model: &Path, rows: usize) -> f64 {
    let model = Tabular.load(&std::fs::read(model).expect("a model")).expect("a model that loads");
    let width = model.inputs()[0].shape[1].expect("a width");
    // Numbers that walk down all sides of the trees.
    let values = (0..rows * width).map(|index| ((index * 7_919) % 4_001) as f32 / 1_000.0 - 2.0).collect();
    let inputs = [Tensor::new(vec![rows, width], Data::F32(values)).expect("a tensor")];
    let mut times: Vec<f64> = (0..2_000)
        .map(|_| {
            let started = Instant::now();
            std::hint::black_box(model.infer(&inputs).expect("an answer"));
            started.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
