//! Reading CSV with a header. The type of a column is the narrowest that takes all of its values, which one pass over the
//! file finds out; empty fields are null.

use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::SchemaRef;
use mcplane_core::Result;

use super::{BATCH_ROWS, Batches, Table, check_names, fault, positions};

/// Bytes that are read at a time.
const BUFFER: usize = 1 << 18;

/// A CSV file with a header.
pub struct CsvFile {
    name: String,
    path: PathBuf,
    schema: SchemaRef,
}

impl CsvFile {
    /// Reads the header, and finds out the types.
    ///
    /// # Errors
    /// [`mcplane_core::Error::BadRequest`] for what is no CSV.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| fault(&name, error))?;
        let (schema, _) = Format::default()
            .with_header(true)
            .infer_schema(BufReader::with_capacity(BUFFER, file), None)
            .map_err(|error| fault(&name, error))?;
        check_names(&name, &schema)?;
        Ok(Self { name, path: path.to_owned(), schema: Arc::new(schema) })
    }
}

impl fmt::Debug for CsvFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CsvFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Table for CsvFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn scan(&self, columns: &[&str]) -> Result<Batches> {
        let positions = positions(self, columns)?;
        let name = self.name.clone();
        let file = File::open(&self.path).map_err(|error| fault(&name, error))?;
        let reader = ReaderBuilder::new(Arc::clone(&self.schema))
            .with_header(true)
            .with_projection(positions)
            .with_batch_size(BATCH_ROWS)
            .build_buffered(BufReader::with_capacity(BUFFER, file))
            .map_err(|error| fault(&name, error))?;
        Ok(Box::new(reader.map(move |batch| batch.map_err(|error| fault(&name, error)))))
    }
}
