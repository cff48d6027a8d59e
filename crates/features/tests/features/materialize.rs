//! Views materialised from files.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch};
use mcplane_features::join::{Events, View, join};
use mcplane_features::materialize::{Materialized, Options, materialize};
use mcplane_features::tables::{ParquetFile, ParquetOutput, open};
use mcplane_features::views::FeatureViewSpec;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tables::{batch, memory, micros, numbers, rows, texts};

const JANUARY: &str =
    "origin,time_hour,temp,precip\nJFK,2013-01-01T05:00:00Z,39.0,0\nLGA,2013-01-01T05:00:00Z,39.9,0\n";
const FEBRUARY: &str = "origin,time_hour,temp,precip\nJFK,2013-02-01T05:00:00Z,30.5,1\nJFK,2013-02-01T06:00:00Z,,2\n";

fn weather() -> Value {
    json!({
        "sources": [{"name": "weather", "path": "weather-*.csv"}],
        "sql": "SELECT origin, time_hour, temp, precip, avg(temp) OVER (PARTITION BY origin ORDER BY time_hour) AS mean FROM weather",
        "entities": ["origin"], "timestampColumn": "time_hour", "ttl": "2h",
        "features": [{"name": "temp", "type": "float64"}, {"name": "precip", "type": "int32"}, {"name": "mean", "type": "float64"}],
    })
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("weather-01.csv"), JANUARY).unwrap();
    std::fs::write(folder.path().join("weather-02.csv"), FEBRUARY).unwrap();
    folder
}

fn options(folder: &Path, output: &str) -> Options {
    Options { memory: 256 << 20, spill: None, threads: 2, base: folder.to_owned(), output: folder.join(output) }
}

async fn made(folder: &Path, view: &Value) -> mcplane_core::Result<Materialized> {
    let view: FeatureViewSpec = serde_json::from_value(view.clone()).unwrap();
    materialize("weather", &view, &options(folder, "weather.parquet")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_becomes_a_file_that_joins() {
    let folder = folder();
    let made = made(folder.path(), &weather()).await.unwrap();
    assert_eq!(made.output.rows, 4);
    let names: Vec<&str> = made.inputs.iter().map(|input| input.path.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["weather-01.csv", "weather-02.csv"]);
    assert_eq!(made.inputs[0].digest, format!("sha256:{}", january()));
    let view = View::of_table(open(&made.output.path).unwrap()).unwrap();
    assert_eq!((view.facts.view.as_str(), view.facts.ttl.unwrap().to_string().as_str()), ("weather", "2h"));
    let hour = |text: &str| Some(text.parse::<jiff::Timestamp>().unwrap().as_microsecond());
    let events = batch(&[
        ("origin", texts(vec![Some("JFK"), Some("JFK"), Some("JFK"), Some("LGA"), Some("EWR")])),
        (
            "at",
            micros(vec![
                hour("2013-02-01T07:59:00Z"),
                hour("2013-02-01T05:30:00Z"),
                hour("2013-02-01T08:00:01Z"),
                hour("2013-01-01T04:59:59Z"),
                hour("2013-02-01T05:30:00Z"),
            ]),
        ),
    ]);
    let events = Events { table: memory("events", &events, 2), timestamp: "at".to_owned() };
    let found: Vec<String> =
        rows(join(&events, &[view]).unwrap()).iter().map(|row| row[23..].trim().to_owned()).collect();
    assert_eq!(found, ["- 2 34.75", "30.5 1 34.75", "- - -", "- - -", "- - -"].map(|end| end.to_owned()));
}

fn january() -> String {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(JANUARY).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_inputs_give_the_same_bytes() {
    let folder = folder();
    let first = made(folder.path(), &weather()).await.unwrap();
    let again = made(folder.path(), &weather()).await.unwrap();
    assert_eq!(first.output.digest, again.output.digest);
    std::fs::write(folder.path().join("weather-02.csv"), FEBRUARY.replace("30.5", "30.6")).unwrap();
    let other = made(folder.path(), &weather()).await.unwrap();
    assert_ne!((&first.output.digest, &first.inputs[1].digest), (&other.output.digest, &other.inputs[1].digest));
    assert_eq!(first.inputs[0], other.inputs[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_and_leave_nothing() {
    let folder = folder();
    std::fs::write(folder.path().join("b[1].csv"), "a\n1\n").unwrap();
    std::fs::write(folder.path().join("c.csv"), "a\n1\n2,3\n").unwrap();
    std::fs::write(folder.path().join("bad.parquet"), "PAR1 and no more").unwrap();
    let told = async |change: fn(&mut Value)| {
        let mut view = weather();
        change(&mut view);
        made(folder.path(), &view).await.unwrap_err().to_string()
    };
    for (change, words) in [
        ((|view| view["ttl"] = "x".into()) as fn(&mut Value), "spec.ttl: Invalid value"),
        (|view| view["sources"][0]["path"] = "nil-*.csv".into(), "source weather: there is no file"),
        (|view| view["sources"][0]["path"] = "bad.parquet".into(), "source weather"),
        (
            |view| {
                view["sources"][0]["path"] = "c.csv".into();
                view["sql"] = "SELECT * FROM weather".into()
            },
            "source weather",
        ),
        (|view| view["sql"] = "SELEC 1".into(), "spec.sql: "),
        (|view| view["sql"] = "SELECT nil FROM weather".into(), "spec.sql: "),
        (
            |view| view["sql"] = "SELECT origin, time_hour FROM weather".into(),
            "spec.sql: it gives no column \"temp\", but origin, time_hour",
        ),
        (|view| view["sql"] = "CREATE TABLE x AS SELECT 1".into(), "DDL not supported"),
        (|view| view["sql"] = "COPY weather TO 'stolen.csv'".into(), "DML not supported"),
        (|view| view["sql"] = "SET datafusion.execution.batch_size = 1".into(), "Statement not supported"),
        (|view| view["sql"] = "SELECT * FROM 'weather-01.csv'".into(), "spec.sql: "),
        (
            |view| view["sql"] = "SELECT origin, temp AS time_hour, temp, precip, temp AS mean FROM weather".into(),
            "column \"time_hour\" is Float64, and must be a timestamp",
        ),
        (|view| view["features"][0]["type"] = "string".into(), "column \"temp\" is Float64, and the view says Utf8"),
    ] {
        let message = told(change).await;
        assert!(message.contains(words), "{message} instead of {words}");
    }
    let left = std::fs::read_dir(folder.path()).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
        name.contains("weather.parquet") || name.contains("stolen")
    });
    assert_eq!(left.count(), 0);
    // What looks like a pattern may be a name.
    let mut view = weather();
    view["sources"][0]["path"] = "b[1].csv".into();
    view["sql"] =
        "SELECT 'JFK' AS origin, now() AS time_hour, 1.0 AS temp, a AS precip, 2.0 AS mean FROM weather".into();
    assert_eq!(made(folder.path(), &view).await.unwrap().output.rows, 1);
}

/// Values that a small number makes look random.
fn mixed(number: i64) -> i64 {
    let mut state = number.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state ^= state >> 32;
    (state.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 33) as i64
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_into_memory_spills() {
    const ROWS: i64 = 400_000;
    let folder = tempfile::tempdir().unwrap();
    let whole = || -> RecordBatch {
        let values: ArrayRef = Arc::new(Float64Array::from_iter_values((0..ROWS).map(|row| mixed(row) as f64)));
        let names: Vec<String> =
            (0..ROWS).map(|row| format!("a name long enough to take some room {}", mixed(row))).collect();
        batch(&[
            ("entity", numbers((0..ROWS).map(|row| Some(mixed(row) % 1000)).collect())),
            ("at", micros((0..ROWS).map(|row| Some(mixed(row + ROWS) % 1_000_000)).collect())),
            ("value", values),
            ("name", texts(names.iter().map(|name| Some(name.as_str())).collect())),
        ])
    };
    let mut input = ParquetOutput::create(&folder.path().join("in.parquet"), whole().schema(), &[]).unwrap();
    input.write(&whole()).unwrap();
    input.finish().unwrap();
    let view = json!({
        "sources": [{"name": "input", "path": "in.parquet"}], "sql": "SELECT * FROM input",
        "entities": ["entity"], "timestampColumn": "at",
        "features": [{"name": "name", "type": "string"}, {"name": "value", "type": "float32"}],
    });
    let view: FeatureViewSpec = serde_json::from_value(view).unwrap();
    let spill = folder.path().join("spill");
    std::fs::create_dir(&spill).unwrap();
    let tight = Options { memory: 64 << 20, spill: Some(spill), threads: 1, ..options(folder.path(), "tight.parquet") };
    let made = materialize("big", &view, &tight).await.unwrap();
    assert_eq!(made.output.rows, ROWS as u64);
    let ample = materialize("big", &view, &options(folder.path(), "ample.parquet")).await.unwrap();
    assert_eq!(made.output.digest, ample.output.digest);
    assert_eq!(ParquetFile::open(&made.output.path).unwrap().rows(), ROWS as u64);
    let starved = Options { memory: 1 << 20, ..options(folder.path(), "none.parquet") };
    assert!(materialize("big", &view, &starved).await.unwrap_err().to_string().contains("at least 64 MiB"));
}
