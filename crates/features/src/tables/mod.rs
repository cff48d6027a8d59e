//! Files of rows: what the join reads and writes, batch by batch.
//!
//! A table may be read several times, each time only some of its columns, so that an operation that needs keys before
//! values holds no more than it must. Written files appear whole or not at all.

mod csv;
mod parquet;
mod write;

use std::fmt::{self, Debug, Display};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use mcplane_core::{Error, Result};

pub use self::csv::CsvFile;
pub use self::parquet::ParquetFile;
pub use self::write::{ParquetOutput, Written, digest_of};

/// Rows of a batch that is read.
pub(crate) const BATCH_ROWS: usize = 1 << 14;

/// Batches of a table, in its order.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// Rows that can be read more than once; each reading gives the same.
pub trait Table: Debug + Send + Sync {
    /// What messages call it.
    fn name(&self) -> &str;

    /// All columns. No two have the same name.
    fn schema(&self) -> &SchemaRef;

    /// Facts about the table, by key, as its file holds them.
    fn metadata(&self, _key: &str) -> Option<&str> {
        None
    }

    /// Reads the named columns. Batches hold them in the table's order.
    ///
    /// # Errors
    /// [`Error::BadRequest`] if the table can't be read, also from the batches.
    fn scan(&self, columns: &[&str]) -> Result<Batches>;
}

/// Opens a file by its ending: `.csv`, or Parquet in `.parquet` and `.pq`.
///
/// # Errors
/// [`Error::BadRequest`] for another ending, and for what can't be read.
pub fn open(path: &Path) -> Result<Arc<dyn Table>> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "csv" => Ok(Arc::new(CsvFile::open(path)?)),
        "parquet" | "pq" => Ok(Arc::new(ParquetFile::open(path)?)),
        _ => Err(Error::bad_request(format!("{}: the name must end in .csv or .parquet", path.display()))),
    }
}

/// Rows in memory.
pub struct Memory {
    name: String,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Memory {
    /// Batches of one schema.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for columns of the same name.
    pub fn new(name: impl Into<String>, schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<Self> {
        let name = name.into();
        check_names(&name, &schema)?;
        Ok(Self { name, schema, batches })
    }
}

impl Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Table for Memory {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn scan(&self, columns: &[&str]) -> Result<Batches> {
        let positions = positions(self, columns)?;
        let batches = self.batches.clone().into_iter();
        Ok(Box::new(batches.map(move |batch| batch.project(&positions).map_err(Error::internal))))
    }
}

/// Places of the named columns, in the table's order.
fn positions(table: &dyn Table, columns: &[&str]) -> Result<Vec<usize>> {
    let place = |name: &&str| {
        let known = || table.schema().fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
        let missing =
            |_| Error::bad_request(format!("{}: there is no column {name:?}; it has {}", table.name(), known()));
        table.schema().index_of(name).map_err(missing)
    };
    let mut positions: Vec<usize> = columns.iter().map(place).collect::<Result<_>>()?;
    positions.sort_unstable();
    positions.dedup();
    Ok(positions)
}

fn check_names(table: &str, schema: &Schema) -> Result<()> {
    let mut names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::bad_request(format!("{table}: two columns are called {:?}", pair[0]))),
        None => Ok(()),
    }
}

/// The error of reading or writing a file.
pub(crate) fn fault(file: impl Display, error: impl Display) -> Error {
    Error::bad_request(format!("{file}: {error}"))
}
