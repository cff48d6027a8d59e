//! A table in a file, whichever format it has.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

use super::csv::{Compression, CsvFormat, CsvReader};
use super::digest::{Tallied, Tally};
use super::parquet::{ParquetBatch, ParquetReader};
use super::{Cell, Fault, Limits};

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// Comma-separated values.
    Csv,
    /// Apache Parquet.
    Parquet,
}

/// What a format itself says of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// Nothing: they are text that may be read as anything.
    Text,
    /// Truth values.
    Bool,
    /// Whole numbers.
    Int,
    /// Numbers.
    Float,
    /// Text that is meant as such.
    String,
    /// Days.
    Date,
    /// Points in time.
    Timestamp,
    /// Bytes.
    Bytes,
    /// Lists, structures and other things that have no single value.
    Nested,
}

/// What a file turned out to be, once it was read to its end.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Its format.
    pub format: FileKind,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// Rows.
    pub rows: u64,
}

/// A table that is being read.
#[derive(Debug)]
pub struct Table<'r> {
    source: Source<'r>,
    tally: Tally,
    names: Vec<String>,
    declared: Vec<Declared>,
}

#[derive(Debug)]
enum Source<'r> {
    Csv(Box<CsvReader<'r>>),
    Parquet(Box<ParquetReader>),
}

/// A stretch of rows.
#[derive(Debug)]
pub struct Batch<'b> {
    /// Number of its first row, from 1.
    pub first_row: u64,
    /// Rows.
    pub rows: usize,
    cells: Cells<'b>,
}

#[derive(Debug)]
enum Cells<'b> {
    Csv(super::csv::CsvBatch<'b>),
    Parquet(ParquetBatch<'b>),
}

impl Batch<'_> {
    /// Visits the cells of the column at an index, with their rows in the batch. A column that is not read has none.
    #[inline]
    pub fn each<'s>(&'s self, column: usize, visit: impl FnMut(usize, Cell<'s>)) {
        match &self.cells {
            Cells::Csv(batch) => batch.each(column, visit),
            Cells::Parquet(batch) => batch.each(column, visit),
        }
    }
}

/// Opens the file at `path`. What it is, its first bytes say: Parquet, or CSV in `format`, as it is or in gzip or Zstandard.
///
/// # Errors
/// When it can't be read, or its beginning (for Parquet, its end) is damaged.
pub fn open(path: &Path, format: &CsvFormat, limits: &Limits) -> Result<Table<'static>, Fault> {
    let mut file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(Fault::new("this is a folder: name a file"));
    }
    let mut first = Vec::with_capacity(4);
    file.by_ref().take(4).read_to_end(&mut first)?;
    if first == b"PAR1" {
        return Table::parquet(file, limits);
    }
    // Pipes can't go back, and need not.
    let compression = Compression::of(&first);
    if file.seek(SeekFrom::Start(0)).is_ok() {
        return Table::csv(BufReader::with_capacity(128 << 10, file), compression, format, limits);
    }
    Table::csv(std::io::Cursor::new(first).chain(file), compression, format, limits)
}

impl<'r> Table<'r> {
    /// A CSV file from anything that gives its bytes.
    ///
    /// # Errors
    /// When the header is damaged.
    pub fn csv(
        source: impl Read + Send + 'r,
        compression: Compression,
        format: &CsvFormat,
        limits: &Limits,
    ) -> Result<Self, Fault> {
        let tally = Tally::default();
        let reader = CsvReader::open(Tallied::new(source, &tally), compression, format, limits)?;
        let (names, declared) = (reader.names().to_vec(), vec![Declared::Text; reader.names().len()]);
        Ok(Self { source: Source::Csv(Box::new(reader)), tally, names, declared })
    }

    fn parquet(file: File, limits: &Limits) -> Result<Self, Fault> {
        let reader = ParquetReader::open(file, limits)?;
        let (names, declared) = reader.columns().iter().cloned().unzip();
        Ok(Self { source: Source::Parquet(Box::new(reader)), tally: Tally::default(), names, declared })
    }

    /// Its format.
    pub fn kind(&self) -> FileKind {
        match &self.source {
            Source::Csv(_) => FileKind::Csv,
            Source::Parquet(_) => FileKind::Parquet,
        }
    }

    /// Names of its columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What the format says of each.
    pub fn declared(&self) -> &[Declared] {
        &self.declared
    }

    /// Where a column is.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// Reads only these columns, where the format allows it; before the first batch.
    pub fn select(&mut self, columns: &[usize]) {
        if let Source::Parquet(reader) = &mut self.source {
            reader.select(columns);
        }
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// Where the file is damaged, or demands more than the limits allow.
    pub fn next_batch(&mut self) -> Result<Option<Batch<'_>>, Fault> {
        match &mut self.source {
            Source::Csv(reader) => {
                let first_row = reader.rows() + 1;
                let Some(batch) = reader.next_batch()? else { return Ok(None) };
                Ok(Some(Batch { first_row, rows: batch.rows(), cells: Cells::Csv(batch) }))
            }
            Source::Parquet(reader) => {
                let first_row = reader.rows() + 1;
                let Some(batch) = reader.next_batch()? else { return Ok(None) };
                Ok(Some(Batch { first_row, rows: batch.rows(), cells: Cells::Parquet(batch) }))
            }
        }
    }

    /// What the file is; to be asked after the last batch.
    ///
    /// # Errors
    /// When a Parquet file changed while it was read.
    pub fn finish(self) -> Result<Facts, Fault> {
        let format = self.kind();
        let (rows, (sha256, bytes)) = match self.source {
            Source::Csv(reader) => (reader.rows(), self.tally.total()),
            Source::Parquet(reader) => (reader.rows(), reader.digest()?),
        };
        Ok(Facts { format, bytes, sha256, rows })
    }
}
