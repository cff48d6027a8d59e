//! The query, by DataFusion.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{
    CsvReadOptions, DataFrame, Expr, ParquetReadOptions, SQLOptions, SessionConfig, SessionContext, cast, ident,
};
use futures::StreamExt as _;
use mcplane_core::{Error, Result};

use super::inputs::{Found, find};
use crate::join::FACTS_KEY;
use crate::records::Input;
use crate::tables::{ParquetOutput, Written};
use crate::views::{FeatureViewSpec, Format};

/// Bytes below which a query can't do its work.
const LEAST_MEMORY: u64 = 64 << 20;
/// Bytes of memory for each thread at least.
const LEAST_SHARE: usize = 32 << 20;

/// How to materialise.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes that the query's sorts, joins and aggregations may hold.
    pub memory: u64,
    /// Where they spill to; the system's directory of temporary files if not said.
    pub spill: Option<PathBuf>,
    /// Threads that share the work; each has a part of the memory.
    pub threads: usize,
    /// Where relative paths of sources begin.
    pub base: PathBuf,
    /// The file to write.
    pub output: PathBuf,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Materialized {
    /// The files that were read, with their digests.
    pub inputs: Vec<Input>,
    /// The file that was written.
    pub output: Written,
}

/// Runs the query of the view called `name`, and writes its rows.
///
/// # Errors
/// [`Error::BadRequest`] for a view that breaks its rules, files that can't be read, a query that is wrong or does not give
/// the columns that the view names, and for a query that needs more memory. Nothing is written then.
pub async fn materialize(name: &str, view: &FeatureViewSpec, options: &Options) -> Result<Materialized> {
    if let Some(fault) = view.faults().first() {
        return Err(Error::bad_request(fault.to_string()));
    }
    if options.memory < LEAST_MEMORY {
        return Err(Error::bad_request(format!("a query needs at least {} MiB of memory", LEAST_MEMORY >> 20)));
    }
    let context = context(options)?;
    let mut found = Vec::new();
    for source in &view.sources {
        let files = find(source, &options.base)?;
        let table = read(&context, &source.name, &files).await?;
        context.register_table(source.name.as_str(), table.into_view()).map_err(wrong(&source.name))?;
        found.extend(files);
    }
    let rows = rows(&context, view).await?;
    let schema = schema(view, &rows);
    let facts = serde_json::to_string(&view.facts(name)).map_err(Error::internal)?;
    let mut output = ParquetOutput::create(&options.output, Arc::clone(&schema), &[(FACTS_KEY, facts)])?;
    let mut stream = rows.execute_stream().await.map_err(wrong("the query"))?;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(wrong("the query"))?;
        let batch = RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()).map_err(Error::internal)?;
        output.write(&batch)?;
    }
    let inputs = found.into_iter().map(Found::unchanged).collect::<Result<_>>()?;
    Ok(Materialized { inputs, output: output.finish()? })
}

fn context(options: &Options) -> Result<SessionContext> {
    let mode = match &options.spill {
        Some(directory) => DiskManagerMode::Directories(vec![directory.clone()]),
        None => DiskManagerMode::OsTmpDirectory,
    };
    let memory = usize::try_from(options.memory).unwrap_or(usize::MAX);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(memory)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(mode))
        .build_arc()
        .map_err(wrong("the query engine"))?;
    let threads = options.threads.clamp(1, (memory / LEAST_SHARE).max(1));
    // What a sort holds is merged before it spills, by keys that are whole rows here: merging takes somewhat more than holding.
    let reservation = memory / threads / 5 * 3;
    let config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_sort_spill_reservation_bytes(reservation)
        .with_information_schema(false);
    Ok(SessionContext::new_with_config_rt(config, runtime))
}

/// The table of a source.
async fn read(context: &SessionContext, source: &str, files: &[Found]) -> Result<DataFrame> {
    let format = files.first().map(|file| file.format).ok_or_else(|| Error::internal("a source without files"))?;
    if files.iter().any(|file| file.format != format) {
        return Err(Error::bad_request(format!("source {source}: its files are both csv and parquet")));
    }
    // As URLs, since paths with * or [ would be taken for patterns again.
    let url = |file: &Found| {
        let url = url::Url::from_file_path(&file.path).map(String::from);
        url.map_err(|()| Error::internal("a path that does not begin at the root"))
    };
    let urls: Vec<String> = files.iter().map(url).collect::<Result<_>>()?;
    let table = match format {
        Format::Csv => {
            let options =
                CsvReadOptions::new().has_header(true).file_extension("").schema_infer_max_records(usize::MAX);
            context.read_csv(urls, options).await
        }
        Format::Parquet => {
            let options = ParquetReadOptions { file_extension: "", ..ParquetReadOptions::default() };
            context.read_parquet(urls, options).await
        }
    };
    table.map_err(wrong(&format!("source {source}")))
}

/// The query's rows: the columns of the view as they are to be, in order.
async fn rows(context: &SessionContext, view: &FeatureViewSpec) -> Result<DataFrame> {
    let reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let rows = context.sql_with_options(&view.sql, reading).await.map_err(wrong("spec.sql"))?;
    let given = rows.schema().as_arrow();
    let kind = |name: &str| {
        let mut found = given.fields().iter().filter(|field| field.name() == name);
        match (found.next(), found.next()) {
            (Some(field), None) => Ok(field.data_type().clone()),
            (Some(_), Some(_)) => Err(Error::bad_request(format!("spec.sql: it gives two columns {name:?}"))),
            _ => {
                let names: Vec<&str> = given.fields().iter().map(|field| field.name().as_str()).collect();
                Err(Error::bad_request(format!("spec.sql: it gives no column {name:?}, but {}", names.join(", "))))
            }
        }
    };
    let mut columns: Vec<Expr> = Vec::new();
    for name in &view.entities {
        kind(name)?;
        columns.push(ident(name));
    }
    for name in std::iter::once(&view.timestamp_column).chain(&view.created_timestamp_column) {
        let found = kind(name)?;
        if !matches!(found, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64) {
            return Err(Error::bad_request(format!(
                "spec.sql: column {name:?} is {found}, and must be a timestamp or a date"
            )));
        }
        columns.push(ident(name));
    }
    for feature in &view.features {
        let (name, found) = (feature.name.as_str(), kind(&feature.name)?);
        if !feature.kind.takes(&found) {
            let wanted = feature.kind.arrow();
            return Err(Error::bad_request(format!(
                "spec.sql: column {name:?} is {found}, and the view says {wanted}"
            )));
        }
        columns.push(cast(ident(name), feature.kind.arrow()).alias(name));
    }
    let rows = rows.select(columns).map_err(wrong("spec.sql"))?;
    rows.sort(view.columns().map(|name| ident(name).sort(true, true)).collect()).map_err(wrong("spec.sql"))
}

/// The columns of the file. Whether there are nulls is no promise of a view.
fn schema(view: &FeatureViewSpec, rows: &DataFrame) -> Arc<Schema> {
    let given = rows.schema().as_arrow();
    let field = |name: &str| {
        let found = given.field_with_name(name);
        found.map(|field| Field::new(name, field.data_type().clone(), true))
    };
    Arc::new(Schema::new(view.columns().filter_map(|name| field(name).ok()).collect::<Vec<_>>()))
}

/// What the engine says, without its own place in the code.
fn wrong(place: &str) -> impl Fn(DataFusionError) -> Error {
    move |error| {
        if let DataFusionError::ResourcesExhausted(why) = error.find_root() {
            return Error::bad_request(format!("{place}: it needs more memory than it may have: {why}"));
        }
        Error::bad_request(format!("{place}: {}", error.strip_backtrace()))
    }
}

/// Where to put the rows of a view: into the directory, if that is what is there or the path does not end in `.parquet`.
pub fn output_path(output: &Path, view: &str) -> PathBuf {
    let is_file = output.extension().is_some_and(|extension| extension == "parquet" || extension == "pq");
    if is_file && !output.is_dir() { output.to_owned() } else { output.join(format!("{view}.parquet")) }
}
