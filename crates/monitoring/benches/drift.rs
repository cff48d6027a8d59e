//! Drift of many columns against a reference that was sorted once, beside the processor time that SciPy takes for the same.
//!
//! `PYTHON=python cargo bench -p mcplane-monitoring --bench drift -- [--rows 1000000] [--columns 20]`
//!
//! `PYTHON` needs SciPy, which is measured in the same run, on one thread as ours; without it the time that was measured once counts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark reports by panicking")]

use std::hint::black_box;
use std::path::Path;
use std::process::Command;

use mcplane_monitoring::statistics::{
    Bins, Method, Sorted, jensen_shannon, kolmogorov_smirnov, population_stability, wasserstein,
};

/// Processor seconds of `scipy.stats.ks_2samp` for 1,000,000 × 20, both sides unsorted (SciPy 1.17).
const SCIPY_S: f64 = 6.8;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |name: &str, default: usize| {
        let at = args.iter().position(|arg| arg == name);
        at.map_or(default, |at| args[at + 1].parse().expect("a number"))
    };
    let (rows, columns) = (number("--rows", 1_000_000), number("--columns", 20));
    println!("{columns} columns of {rows} values, one thread");
    let mut spent = [0.0; 6];
    let names = ["sort the reference", "sort the current", "KS with p", "PSI, deciles", "JS, Sturges", "Wasserstein"];
    for column in 0..columns as u64 {
        let (reference, current) = (values(column, rows), values(column + 1000, rows));
        let mut took = |at: usize, from: Cpu| spent[at] += from.elapsed();
        let from = Cpu::now();
        let reference = Sorted::new(&reference);
        took(0, from);
        let from = Cpu::now();
        let current = Sorted::new(&current);
        took(1, from);
        let from = Cpu::now();
        black_box(kolmogorov_smirnov(&reference, &current, Method::Auto));
        took(2, from);
        let from = Cpu::now();
        let bins = Bins::quantiles(&reference, 10).expect("values");
        black_box(population_stability(&bins.counts(&reference), &bins.counts(&current)));
        took(3, from);
        let from = Cpu::now();
        let bins = Bins::sturges(&reference, &current).expect("finite values");
        black_box(jensen_shannon(&bins.counts(&reference), &bins.counts(&current), 2.0));
        took(4, from);
        let from = Cpu::now();
        black_box(wasserstein(&reference, &current));
        took(5, from);
    }
    for (name, seconds) in names.iter().zip(spent) {
        println!("{name:<20} {seconds:>7.3} s");
    }
    let (kept, both) = (spent[1] + spent[2], spent[0] + spent[1] + spent[2]);
    let scipy = scipy(rows, columns).unwrap_or_else(|| {
        println!("no SciPy here: what was measured of it elsewhere counts");
        SCIPY_S * (rows * columns) as f64 / 20e6
    });
    println!("KS, reference kept sorted {kept:>6.3} s   SciPy / ours {:.1}", scipy / kept);
    println!("KS, both sides unsorted   {both:>6.3} s   SciPy / ours {:.1}", scipy / both);
}

/// Processor seconds of `ks_2samp` for as many values, if there is a Python that has it.
fn scipy(rows: usize, columns: usize) -> Option<f64> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/drift.py");
    let output = Command::new(python).arg(script).args([rows, columns].map(|n| n.to_string())).output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (version, seconds) = said.trim().split_once(' ')?;
    println!("ks_2samp of SciPy {version}, both sides unsorted {seconds} s");
    seconds.parse().ok()
}

/// Processor time of this thread, in seconds: what others do at the same time does not count.
struct Cpu(f64);

impl Cpu {
    fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
        let nanoseconds: f64 = stat.split(' ').next().and_then(|text| text.parse().ok()).expect("a number");
        Self(nanoseconds / 1e9)
    }

    fn elapsed(self) -> f64 {
        Self::now().0 - self.0
    }
}

/// Sums of uniform draws, so that values are spread unevenly.
fn values(seed: u64, n: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut draw = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 * 2f64.powi(-53)
    };
    (0..n).map(|_| draw() + draw() + draw() - 1.5).collect()
}
