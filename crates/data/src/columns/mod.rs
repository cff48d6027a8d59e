//! Tables in files, read once, as a stream of batches in bounded memory.
//!
//! - A batch is a stretch of rows; its columns are visited cell by cell, without a copy of the file's values.
//! - Whatever the file holds, a reader uses at most [`Limits`] and a few batches' worth of memory, never panics, and says where
//!   the file is wrong ([`Fault`]). Files come from strangers.
//! - The SHA-256 of the file's bytes is made in the same pass, so that it is the digest of what was read.

mod cell;
mod csv;
mod digest;
mod fault;
mod parquet;
pub mod parse;
mod table;

pub use cell::Cell;
pub use csv::{Compression, CsvFormat, CsvReader};
pub use fault::Fault;
pub use table::{Batch, Declared, Facts, FileKind, Table, open};

/// What a file may demand.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of one row of CSV.
    pub record: usize,
    /// Bytes of the pages of a Parquet file that must be in memory together, decompressed.
    pub pages: u64,
    /// Bytes that are read at a time, for tests; `None` for what suits.
    pub chunk: Option<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { record: 16 << 20, pages: 512 << 20, chunk: None }
    }
}
