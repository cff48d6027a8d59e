//! What checking a file costs, beside polars with the same checks: processor time and peak memory of a process each.
//!
//! `cargo bench -p mcplane-data --bench check -- [--mib 1024] [--folder FOLDER] [--python PATH]`; the Python needs `polars`.
//! The file is made anew and removed, first CSV, then the same rows as Parquet, which polars writes. Checked are types, nulls,
//! bounds, a set, a pattern, the number of rows, and that an id is in no two rows. Both sides read each file once; ours
//! computes the file's SHA-256 in that pass, which polars does not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a benchmark")]

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use mcplane_data::columns::Limits;
use mcplane_data::contracts::{Options, Plan, Spec, check_file};
use serde_json::json;

/// The same checks, in the engine that polars has for data that is larger than memory. Prints what it found.
const POLARS: &str = r#"
import sys
import polars as pl
path = sys.argv[1]
c = pl.col
if path.endswith(".csv"):
    schema = {"id": pl.Int64, "carrier": pl.String, "tail": pl.String, "delay": pl.Float64, "distance": pl.Int64,
              "at": pl.String, "origin": pl.String, "note": pl.String}
    table = pl.scan_csv(path, schema=schema).with_columns(c("at").str.to_datetime("%Y-%m-%dT%H:%M:%SZ"))
else:
    table = pl.scan_parquet(path)
found = table.select(
    pl.len().alias("rows"),
    (pl.len() - c("id").n_unique()).alias("repeated"),
    pl.sum_horizontal([c(name).null_count() for name in ("id", "carrier", "tail", "distance", "at", "origin", "note")]).alias("nulls"),
    (~c("carrier").str.contains("^[A-Z0-9]{2}$")).sum().alias("carrier"),
    (c("tail").str.len_chars() > 6).sum().alias("tail"),
    ((c("delay") < -60) | (c("delay") > 1500)).sum().alias("delay"),
    (c("delay").null_count() * 10 > pl.len()).cast(pl.UInt32).alias("missing"),
    ((c("distance") < 1) | (c("distance") > 5000)).sum().alias("distance"),
    ((c("at") < pl.datetime(2013, 1, 1)) | (c("at") > pl.datetime(2015, 1, 1))).sum().alias("at"),
    (~c("origin").is_in(["EWR", "JFK", "LGA"])).sum().alias("origin"),
).collect(engine="streaming")
row = found.row(0, named=True)
print(row.pop("rows"), sum(1 for value in row.values() if value))
"#;

const TO_PARQUET: &str = r#"
import sys
import polars as pl
table = pl.scan_csv(sys.argv[1], try_parse_dates=True)
table = table.with_columns(pl.col("at").cast(pl.Datetime("us")))
table.sink_parquet(sys.argv[2], compression="zstd", row_group_size=1_000_000)
"#;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let text = |name: &str| args.iter().position(|arg| arg == name).map(|at| args[at + 1].clone());
    if let Some(file) = text("--one") {
        return one(Path::new(&file));
    }
    let mib: u64 = text("--mib").map_or(1024, |text| text.parse().expect("a number"));
    let folder = tempfile::tempdir_in(text("--folder").unwrap_or_else(|| std::env::temp_dir().display().to_string()));
    let folder = folder.expect("a folder");
    let python = text("--python").unwrap_or_else(|| "python3".to_owned());
    let (csv, parquet) = (folder.path().join("data.csv"), folder.path().join("data.parquet"));
    let rows = write(&csv, mib << 20);
    let made = Command::new(&python).args(["-c", TO_PARQUET]).args([&csv, &parquet]).status().expect("python");
    assert!(made.success(), "polars writes Parquet");
    println!("{rows} rows\n{:<22} {:>8} {:>8} {:>8}", "", "CPU s", "wall s", "MiB");
    for file in [&csv, &parquet] {
        let size = std::fs::metadata(file).unwrap().len() >> 20;
        let name = format!("{} ({size} MiB)", file.extension().unwrap().display());
        // Once before, so that the file is in the page cache for both.
        let own = || measured(Command::new(&args[0]).arg("--one").arg(file));
        let peer = || measured(Command::new(&python).args(["-c", POLARS]).arg(file));
        std::io::copy(&mut std::fs::File::open(file).unwrap(), &mut std::io::sink()).unwrap();
        let (own, peer) = (best(own), best(peer));
        assert_eq!(own.said, format!("{rows} 0"), "nothing is broken");
        assert_eq!(own.said, peer.said, "both find the same");
        for (side, of) in [("mcplane", &own), ("polars", &peer)] {
            println!("{:<22} {:>8.2} {:>8.2} {:>8.0}", format!("{name} {side}"), of.cpu, of.wall, of.mib);
        }
        println!("  {:.2} of polars' CPU time, {:.2} of its memory", own.cpu / peer.cpu, own.mib / peer.mib);
    }
}

/// What a process took.
struct Taken {
    cpu: f64,
    wall: f64,
    mib: f64,
    said: String,
}

/// The one with the least CPU time of three.
fn best(run: impl Fn() -> Taken) -> Taken {
    (0..3).map(|_| run()).min_by(|one, other| one.cpu.total_cmp(&other.cpu)).unwrap()
}

/// Runs a command under a shell that tells, by the kernel's account of its children, what it took.
fn measured(command: &mut Command) -> Taken {
    const TELLS: &str = "import os, resource, subprocess, sys, time\nbegan = time.monotonic()\n\
        done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, text=True)\nwall = time.monotonic() - began\n\
        use = resource.getrusage(resource.RUSAGE_CHILDREN)\n\
        print(use.ru_utime + use.ru_stime, wall, use.ru_maxrss / 1024, done.stdout.strip())\nsys.exit(done.returncode)";
    let mut told = Command::new("python3");
    told.args(["-c", TELLS]).arg(command.get_program()).args(command.get_args());
    let output = told.output().expect("python3");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let mut cells = said.trim().splitn(4, ' ');
    let mut number = || cells.next().unwrap().parse::<f64>().unwrap();
    let (cpu, wall, mib) = (number(), number(), number());
    Taken { cpu, wall, mib, said: cells.next().unwrap().to_owned() }
}

/// The check, in this process.
fn one(file: &Path) {
    let spec: Spec = serde_json::from_value(json!({
        "rows": {"min": 1},
        "columns": [
            {"name": "id", "type": "integer", "unique": true},
            {"name": "carrier", "type": "string", "pattern": "^[A-Z0-9]{2}$"},
            {"name": "tail", "type": "string", "maxLength": 6},
            {"name": "delay", "type": "number", "nullable": true, "maxNullFraction": 0.1, "min": -60, "max": 1500},
            {"name": "distance", "type": "integer", "min": 1, "max": 5000},
            {"name": "at", "type": "timestamp", "min": "2013-01-01T00:00:00Z", "max": "2015-01-01T00:00:00Z"},
            {"name": "origin", "type": "string", "values": ["EWR", "JFK", "LGA"]},
            {"name": "note", "type": "string"},
        ],
    }))
    .unwrap();
    let plan = Plan::new(&spec).unwrap();
    let report = check_file(&plan, &spec.csv(), file, &Limits::default(), &Options::default());
    assert!(report.fault.is_none(), "{report:?}");
    println!("{} {}", report.rows, report.violations.len());
}

/// Rows until the file has `bytes`; the same each time.
fn write(file: &Path, bytes: u64) -> u64 {
    let mut out = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(file).unwrap());
    let header = "id,carrier,tail,delay,distance,at,origin,note\n";
    out.write_all(header.as_bytes()).unwrap();
    let (mut written, mut row, mut line) = (header.len() as u64, 0_u64, Vec::new());
    while written < bytes {
        let dice = mixed(row);
        let pick = |shift: u32, of: u64| (dice >> shift) % of;
        let carrier = ["UA", "AA", "B6", "DL", "EV", "9E", "MQ", "WN"][pick(0, 8) as usize];
        let origin = ["EWR", "JFK", "LGA"][pick(3, 3) as usize];
        let (day, hour, minute) = (pick(8, 28) + 1, pick(16, 24), pick(24, 60));
        line.clear();
        // Ids are in no order.
        write!(line, "{},{carrier},N{:05},", row.wrapping_mul(0x9e37_79b9) & 0xffff_ffff, pick(30, 100_000)).unwrap();
        if pick(50, 40) != 0 {
            write!(line, "{}.{}", pick(5, 1_500) as i64 - 50, pick(40, 10)).unwrap();
        }
        let (year, month) = (2013 + pick(12, 2), pick(20, 12) + 1);
        write!(line, ",{},{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:00Z,{origin},", pick(33, 4_999) + 1)
            .unwrap();
        writeln!(line, "gate {} to stand {:x}", pick(45, 90), dice & 0xff_ffff).unwrap();
        out.write_all(&line).unwrap();
        written += line.len() as u64;
        row += 1;
    }
    out.flush().unwrap();
    row
}

/// A number that looks random (SplitMix64).
fn mixed(row: u64) -> u64 {
    let mut state = row.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
