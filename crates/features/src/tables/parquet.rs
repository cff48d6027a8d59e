//! Reading Parquet.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use arrow::datatypes::SchemaRef;
use mcplane_core::Result;

use super::{BATCH_ROWS, Batches, Table, check_names, fault, positions};

/// A Parquet file. Its footer is read once, and held.
pub struct ParquetFile {
    name: String,
    path: PathBuf,
    footer: ArrowReaderMetadata,
}

impl ParquetFile {
    /// Reads the footer.
    ///
    /// # Errors
    /// [`mcplane_core::Error::BadRequest`] for what is no Parquet file.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| fault(&name, error))?;
        let footer = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
            .map_err(|error| fault(&name, format!("no readable Parquet file: {error}")))?;
        check_names(&name, footer.schema())?;
        Ok(Self { name, path: path.to_owned(), footer })
    }

    /// Rows, as the footer tells.
    pub fn rows(&self) -> u64 {
        u64::try_from(self.footer.metadata().file_metadata().num_rows()).unwrap_or_default()
    }
}

impl fmt::Debug for ParquetFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParquetFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Table for ParquetFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema(&self) -> &SchemaRef {
        self.footer.schema()
    }

    fn metadata(&self, key: &str) -> Option<&str> {
        let pairs = self.footer.metadata().file_metadata().key_value_metadata()?;
        pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
    }

    fn scan(&self, columns: &[&str]) -> Result<Batches> {
        let positions = positions(self, columns)?;
        let name = self.name.clone();
        let file = File::open(&self.path).map_err(|error| fault(&name, error))?;
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.footer.clone())
            .with_projection(ProjectionMask::roots(self.footer.parquet_schema(), positions))
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(|error| fault(&name, error))?;
        Ok(Box::new(reader.map(move |batch| batch.map_err(|error| fault(&name, error)))))
    }
}
