//! What a point-in-time join costs, beside `pandas.merge_asof`: from two Parquet files to one.
//!
//! `cargo bench -p mcplane-features --bench join -- [--events 1000000] [--rows 1000000] [--entities 10000] [--python PATH]`.
//! Each side runs in a process of its own, so that memory is what it takes. pandas knows nothing of corrections that come
//! late, so it is compared with a join that has none; the one with them is shown beside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark reports by panicking")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use mcplane_core::units::HumanDuration;
use mcplane_features::join::{Events, View, ViewFacts, join};
use mcplane_features::tables::{ParquetOutput, open};

/// Events and rows lie within a year.
const YEAR_US: i64 = 365 * 86_400 * 1_000_000;
const TTL: Duration = Duration::from_secs(30 * 86_400);

const PANDAS: &str = r#"
import sys, time, resource
import pandas as pd
folder = sys.argv[1]
began = time.process_time()
events = pd.read_parquet(f"{folder}/events.parquet")
rows = pd.read_parquet(f"{folder}/view.parquet").drop(columns=["created"])
events["order"] = range(len(events))
joined = pd.merge_asof(events.sort_values("at"), rows.sort_values("at"), on="at", by="entity", tolerance=pd.Timedelta(days=30))
joined = joined.sort_values("order").drop(columns=["order"])
joined.to_parquet(f"{folder}/pandas.parquet", compression="zstd")
print(time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, int(joined["a"].notna().sum()))
"#;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let text = |name: &str| args.iter().position(|arg| arg == name).map(|at| args[at + 1].clone());
    let number = |name: &str, default: i64| text(name).map_or(default, |text| text.parse().expect("a number"));
    if let Some(folder) = text("--one") {
        return one(Path::new(&folder), args.iter().any(|arg| arg == "--late"));
    }
    let (events, rows, entities) =
        (number("--events", 1_000_000), number("--rows", 1_000_000), number("--entities", 10_000));
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("events.parquet"), events, entities, 1, false);
    write(&folder.path().join("view.parquet"), rows, entities, 2, true);
    println!("{events} events, {rows} rows of {entities} entities, Parquet to Parquet");
    println!("{:<24} {:>8} {:>8} {:>10}", "", "CPU s", "MiB", "matched");
    let measured = |name: &str, command: &mut Command| {
        let output = command.output().expect("runs");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let cells: Vec<f64> = text.split_whitespace().map(|cell| cell.parse().unwrap()).collect();
        println!("{name:<24} {:>8.2} {:>8.0} {:>10}", cells[0], cells[1], cells[2]);
        cells
    };
    let place = folder.path().to_str().unwrap();
    let own = measured("mcplane", Command::new(&args[0]).args(["--one", place]));
    measured("mcplane, late rows", Command::new(&args[0]).args(["--one", place, "--late"]));
    let python = text("--python").unwrap_or_else(|| "python3".to_owned());
    let peer = measured("pandas.merge_asof", Command::new(python).args(["-c", PANDAS, place]));
    assert_eq!(own[2], peer[2], "both find the same");
    println!("pandas takes {:.1} times the CPU time and {:.1} times the memory", peer[0] / own[0], peer[1] / own[1]);
}

/// Numbers that look random, the same each time.
fn mixed(seed: u64, number: i64) -> i64 {
    let mut state = (number.unsigned_abs() + seed * 0x1000_0000).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state ^= state >> 32;
    state = state.wrapping_mul(0xd6e8_feb8_6659_fd93);
    ((state ^ (state >> 32)) >> 1) as i64
}

/// A table in the order of nothing in particular. A view has values, and rows that became known up to a week later.
fn write(path: &Path, rows: i64, entities: i64, seed: u64, view: bool) {
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let mut fields = vec![Field::new("entity", DataType::Int64, false), Field::new("at", time.clone(), false)];
    if view {
        fields.push(Field::new("created", time, false));
        fields.extend(["a", "b", "c"].map(|name| Field::new(name, DataType::Float64, false)));
    }
    let schema = Arc::new(Schema::new(fields));
    let mut output = ParquetOutput::create(path, Arc::clone(&schema), &[]).unwrap();
    for start in (0..rows).step_by(100_000) {
        let range = start..(start + 100_000).min(rows);
        let at = |row: i64| mixed(seed + 10, row) % YEAR_US;
        let mut columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(range.clone().map(|row| mixed(seed, row) % entities))),
            Arc::new(TimestampMicrosecondArray::from_iter_values(range.clone().map(at))),
        ];
        if view {
            let created = range.clone().map(|row| at(row) + mixed(seed + 20, row) % (7 * 86_400_000_000));
            columns.push(Arc::new(TimestampMicrosecondArray::from_iter_values(created)));
            for column in 30..33 {
                let values = range.clone().map(|row| mixed(column, row) as f64);
                columns.push(Arc::new(Float64Array::from_iter_values(values)));
            }
        }
        output.write(&RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()).unwrap();
    }
    output.finish().unwrap();
}

/// The join, in this process.
fn one(folder: &Path, late: bool) {
    let began = Instant::now();
    let facts = ViewFacts {
        view: "view".to_owned(),
        entities: vec!["entity".to_owned()],
        timestamp_column: "at".to_owned(),
        created_timestamp_column: late.then(|| "created".to_owned()),
        ttl: Some(HumanDuration(TTL)),
        features: ["a", "b", "c"].map(str::to_owned).to_vec(),
        spec_digest: String::new(),
    };
    let view = View { table: open(&folder.join("view.parquet")).unwrap(), facts, on: vec![], prefix: String::new() };
    let events = Events { table: open(&folder.join("events.parquet")).unwrap(), timestamp: "at".to_owned() };
    let joined = join(&events, &[view]).unwrap();
    let matched = joined.matched()[0];
    let mut output = ParquetOutput::create(&folder.join("own.parquet"), joined.schema().clone(), &[]).unwrap();
    for batch in joined {
        output.write(&batch.unwrap()).unwrap();
    }
    output.finish().unwrap();
    let (cpu, peak) = taken().unwrap_or((began.elapsed().as_secs_f64(), 0.0));
    println!("{cpu} {peak} {matched}");
}

/// CPU seconds and peak MiB of this process.
fn taken() -> Option<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM"))?.split_whitespace().nth(1)?.parse::<f64>().ok()?;
    Some((ticks / 100.0, peak / 1024.0))
}
