//! `mcplane features materialize`.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use mcplane_core::clock;
use mcplane_core::units::ByteSize;
use mcplane_features::materialize::{Materialized, Options, materialize, output_path};
use mcplane_features::views::FeatureViewSpec;
use serde_json::{Value, json};

use super::{failed, path_of};
use crate::cli::connection::{Connection, Place, request};
use crate::cli::failure::Failure;
use crate::cli::manifests;
use crate::cli::output::{complain, print_line};

/// Bytes of stack for planning deeply nested queries.
const STACK: usize = 16 << 20;

/// Run a view's query in this process, and write its rows to Parquet
///
/// Rows of a view that the server knows are put on record there, with digests of every file. Those of a view from a file
/// are not.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("view").required(true))]
pub(super) struct Arguments {
    /// A view that the server knows
    #[arg(group = "view")]
    name: Option<String>,
    /// A view from a file; relative paths of its sources begin there
    #[arg(short, long, value_name = "FILE", group = "view")]
    filename: Option<PathBuf>,
    /// File to write, or the directory for NAME.parquet
    #[arg(short, long, value_name = "PATH")]
    output: PathBuf,
    /// Bytes that sorts, joins and aggregations may hold before they spill
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    memory: ByteSize,
    /// Directory to spill to; without it that of temporary files
    #[arg(long, value_name = "DIRECTORY")]
    spill_dir: Option<PathBuf>,
    /// Threads to use; without it as many as the machine runs at once
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

pub(super) fn run(arguments: Arguments, place: Place) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_stack_size(STACK).enable_all().build()?;
    // Not on this thread, whose stack is what the system gave it.
    let task = runtime.spawn(async move { Box::pin(make(arguments, &place)).await });
    runtime.block_on(task).map_err(|error| Failure::from_error("the query broke off", &error))?
}

async fn make(arguments: Arguments, place: &Place) -> Result<(), Failure> {
    if let Some(file) = &arguments.filename {
        let (name, spec) = from_file(file)?;
        let base = file.parent().map(Path::to_owned).unwrap_or_default();
        let made =
            materialize(&name, &spec, &arguments.options(&name, &base)?).await.map_err(|error| failed(&error))?;
        return told(&name, &made, "");
    }
    let name = arguments.name.clone().unwrap_or_default();
    let connection = place.connect().await?;
    let path = path_of(&connection, &name);
    let view: Value = connection.get(&path).await?;
    let spec = read(&view, &name)?;
    let started = jiff::Timestamp::now().as_millisecond();
    let options = arguments.options(&name, Path::new(""))?;
    let made = materialize(&name, &spec, &options).await.map_err(|error| failed(&error))?;
    let record = record(&view, &spec, &made, started)?;
    if let Err(failure) = put_on_record(&connection, &path, &record).await {
        complain(&format!("the rows are in {}, but not on record", made.output.path.display()));
        return Err(failure);
    }
    told(&name, &made, ", on record")
}

impl Arguments {
    fn options(&self, name: &str, base: &Path) -> Result<Options, Failure> {
        let here = std::env::current_dir()?;
        let threads = self.threads.map(usize::from);
        let threads = threads.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
        Ok(Options {
            memory: self.memory.0,
            spill: self.spill_dir.clone(),
            threads,
            base: here.join(base),
            output: here.join(output_path(&self.output, name)),
        })
    }
}

fn from_file(file: &Path) -> Result<(String, FeatureViewSpec), Failure> {
    let shown = file.display().to_string();
    let manifests = manifests::read(std::slice::from_ref(&shown), false)?;
    let mut views = manifests.iter().filter(|manifest| manifest.text("kind") == "FeatureView");
    let (Some(view), None) = (views.next(), views.next()) else {
        return Err(Failure::usage(format!("{shown}: there must be one FeatureView")));
    };
    if view.text("apiVersion") != "mcplane.io/v1alpha1" {
        return Err(Failure::usage(format!("{shown}: the apiVersion of a FeatureView is mcplane.io/v1alpha1")));
    }
    let name = view.metadata("name").to_owned();
    let spec = read(&view.object, &name).map_err(|failure| failure.within(&shown))?;
    Ok((name, spec))
}

fn read(view: &Value, name: &str) -> Result<FeatureViewSpec, Failure> {
    let spec: FeatureViewSpec = serde_json::from_value(view["spec"].clone())
        .map_err(|error| Failure::from_error(format!("featureview {name}: spec"), &error))?;
    match spec.faults().first() {
        Some(fault) => Err(Failure::failed(format!("featureview {name}: {fault}"))),
        None => Ok(spec),
    }
}

fn record(view: &Value, spec: &FeatureViewSpec, made: &Materialized, started: i64) -> Result<Value, Failure> {
    let output = made.output.path.canonicalize()?;
    Ok(json!({
        "apiVersion": "mcplane.io/v1alpha1",
        "kind": "Materialization",
        "spec": {
            "id": uuid::Uuid::new_v4(),
            "generation": view["metadata"]["generation"],
            "specDigest": spec.digest(),
            "inputs": made.inputs,
            "output": output.to_str().ok_or_else(|| Failure::failed("the path of the output is no text"))?,
            "outputDigest": made.output.digest,
            "rows": made.output.rows,
            "startedAt": clock::rfc3339_micro(started),
            "finishedAt": clock::rfc3339_micro(jiff::Timestamp::now().as_millisecond()),
        },
    }))
}

async fn put_on_record(connection: &Connection, view: &str, record: &Value) -> Result<Value, Failure> {
    connection.json(request("POST", &format!("{view}/materializations"), Some(record))?).await
}

fn told(name: &str, made: &Materialized, how: &str) -> Result<(), Failure> {
    let Materialized { inputs, output } = made;
    let files = if inputs.len() == 1 { "1 file".to_owned() } else { format!("{} files", inputs.len()) };
    print_line(&format!("{name}: {} rows from {files} in {}{how}", output.rows, output.path.display()))?;
    print_line(&output.digest)
}
