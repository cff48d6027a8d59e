//! Parquet as a stream of batches.
//!
//! The `parquet` crate decodes; before it is let near a part of the file, what that part claims is checked: the footer
//! ([`thrift`]), the places and sizes of columns and pages ([`pages`]). Text is read as views of its page, so that a dictionary's
//! long value that is repeated costs nothing. Columns of lists and structures are not read.

mod batch;
mod pages;
mod thrift;

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use sha2::{Digest as _, Sha256};

pub(super) use batch::ParquetBatch;

use super::table::Declared;
use super::{Fault, Limits};

/// The last bytes: the footer's length and `PAR1`.
const TAIL: u64 = 8;
/// Bytes of a footer. One of a thousand columns and a thousand row groups has some 100 MB, but nobody wrote that one.
const LARGEST_FOOTER: u64 = 64 << 20;

/// Reads a Parquet file.
pub(super) struct ParquetReader {
    file: File,
    length: u64,
    limits: Limits,
    metadata: ArrowReaderMetadata,
    columns: Vec<(String, Declared)>,
    /// Where each column is in a batch, if it is read.
    places: Vec<Option<usize>>,
    reader: Option<ParquetRecordBatchReader>,
    batch: Option<RecordBatch>,
    rows: u64,
    digest: JoinHandle<std::io::Result<(String, u64)>>,
}

impl std::fmt::Debug for ParquetReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetReader")
            .field("columns", &self.columns)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

fn damaged(error: &dyn std::fmt::Display) -> Fault {
    Fault::new(format!("the file is damaged: {error}"))
}

/// A decoder's panic is a fault of the file. What it left behind is never used again.
fn shielded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(damaged(&"a value is not what its column promises")))
}

impl ParquetReader {
    pub(super) fn open(file: File, limits: &Limits) -> Result<Self, Fault> {
        let length = file.metadata()?.len();
        check_footer(&file, length)?;
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = shielded(|| {
            let plain = ArrowReaderMetadata::load(&file, options.clone()).map_err(|error| damaged(&error))?;
            let views = options.with_schema(with_views(plain.schema()));
            ArrowReaderMetadata::try_new(Arc::clone(plain.metadata()), views).map_err(|error| damaged(&error))
        })?;
        let columns: Vec<_> = metadata
            .schema()
            .fields()
            .iter()
            .map(|field| (field.name().clone(), declared(field.data_type())))
            .collect();
        if columns.is_empty() {
            return Err(Fault::new("the file has no columns"));
        }
        let copy = file.try_clone()?;
        let digest = std::thread::spawn(move || hash(&copy));
        let (limits, all) = (limits.clone(), (0..columns.len()).collect::<Vec<_>>());
        let places = places(&columns, &all);
        Ok(Self { file, length, limits, metadata, columns, places, reader: None, batch: None, rows: 0, digest })
    }

    pub(super) fn columns(&self) -> &[(String, Declared)] {
        &self.columns
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn select(&mut self, columns: &[usize]) {
        self.places = places(&self.columns, columns);
    }

    /// Builds the decoder for the columns that are wanted and can be read.
    fn start(&self) -> Result<ParquetRecordBatchReader, Fault> {
        let file_metadata = self.metadata.metadata();
        let schema = file_metadata.file_metadata().schema_descr();
        let wanted = |leaf: &usize| self.places.get(schema.get_column_root_idx(*leaf)).is_some_and(Option::is_some);
        let leaves: Vec<usize> = (0..schema.num_columns()).filter(wanted).collect();
        let rows = pages::check(&self.file, self.length, file_metadata, &leaves, &self.limits)?;
        let mask = ProjectionMask::leaves(schema, leaves);
        let file = self.file.try_clone()?;
        ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
            .with_projection(mask)
            .with_batch_size(rows)
            .build()
            .map_err(|error| damaged(&error))
    }

    pub(super) fn next_batch(&mut self) -> Result<Option<ParquetBatch<'_>>, Fault> {
        self.batch = None;
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => shielded(|| self.start())?,
        };
        let read = shielded(|| reader.next().transpose().map_err(|error| damaged(&error)));
        let batch = read.map_err(|fault| fault.row(self.rows + 1))?;
        self.reader = Some(reader);
        let Some(batch) = batch else {
            let claimed = self.metadata.metadata().file_metadata().num_rows();
            return if i64::try_from(self.rows).is_ok_and(|rows| rows == claimed) {
                Ok(None)
            } else {
                Err(damaged(&format!("it claims {claimed} rows and holds {}", self.rows)))
            };
        };
        self.rows += batch.num_rows() as u64;
        let batch = &*self.batch.insert(batch);
        Ok(Some(ParquetBatch { batch, places: &self.places }))
    }

    /// The digest of the file and its length.
    pub(super) fn digest(self) -> Result<(String, u64), Fault> {
        let digest = self.digest.join().map_err(|_| Fault::new("the digest could not be made"))??;
        if digest.1 != self.length {
            return Err(Fault::new("the file changed while it was read: check it again"));
        }
        Ok(digest)
    }
}

/// Where the columns that are wanted, and can be read, are in a batch, which has them in the file's order.
fn places(columns: &[(String, Declared)], wanted: &[usize]) -> Vec<Option<usize>> {
    let mut read = vec![false; columns.len()];
    for index in wanted {
        if let (Some(read), Some((_, declared))) = (read.get_mut(*index), columns.get(*index)) {
            *read = *declared != Declared::Nested;
        }
    }
    let mut next = 0..;
    read.into_iter().map(|read| if read { next.next() } else { None }).collect()
}

/// Reads beside the decoder, which jumps about: each of both finds in the page cache what the other one read.
fn hash(file: &File) -> std::io::Result<(String, u64)> {
    let (mut hash, mut at, mut buffer) = (Sha256::new(), 0, vec![0; 256 << 10]);
    loop {
        match file.read_at(&mut buffer, at) {
            Ok(0) => return Ok((super::digest::hex(&hash.finalize()), at)),
            Ok(count) => {
                hash.update(&buffer[..count]);
                at += count as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// That the footer is there, is no larger than it may be, and holds what it claims to hold.
fn check_footer(file: &File, length: u64) -> Result<(), Fault> {
    if length < 4 + TAIL {
        return Err(Fault::new("the file is truncated: it is too short for Parquet").byte(length));
    }
    let mut tail = [0; TAIL as usize];
    file.read_exact_at(&mut tail, length - TAIL)?;
    let [a, b, c, d, magic @ ..] = tail;
    if &magic == b"PARE" {
        return Err(Fault::new("the footer is encrypted: such files can't be read"));
    }
    if &magic != b"PAR1" {
        return Err(Fault::new("the file is truncated or damaged: it does not end with PAR1").byte(length - 4));
    }
    let size = u64::from(u32::from_le_bytes([a, b, c, d]));
    if size > length - TAIL - 4 {
        return Err(damaged(&format!("its footer claims {size} bytes, more than there are")).byte(length - TAIL));
    }
    if size > LARGEST_FOOTER {
        let limit = mcplane_core::units::ByteSize(LARGEST_FOOTER);
        return Err(Fault::new(format!("the footer has {size} bytes, more than the {limit} that are taken")));
    }
    let begin = length - TAIL - size;
    let mut file = file;
    file.seek(SeekFrom::Start(begin))?;
    let mut footer = Vec::new();
    file.take(size).read_to_end(&mut footer)?;
    let mut walk = thrift::Walk::new(&footer);
    walk.structure().map_err(|_| damaged(&"its footer is no Thrift structure").byte(begin + walk.passed() as u64))
}

/// Text and bytes as views.
fn with_views(schema: &Schema) -> Arc<Schema> {
    let view = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        DataType::Binary | DataType::LargeBinary => {
            Arc::new(field.as_ref().clone().with_data_type(DataType::BinaryView))
        }
        _ => Arc::clone(field),
    };
    Arc::new(Schema::new_with_metadata(schema.fields().iter().map(view).collect::<Vec<_>>(), schema.metadata().clone()))
}

fn declared(kind: &DataType) -> Declared {
    match kind {
        DataType::Boolean => Declared::Bool,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Declared::Int,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => Declared::Int,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Declared::Float,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) => Declared::Float,
        DataType::Utf8View => Declared::String,
        DataType::BinaryView | DataType::FixedSizeBinary(_) => Declared::Bytes,
        DataType::Date32 => Declared::Date,
        DataType::Timestamp(..) => Declared::Timestamp,
        _ => Declared::Nested,
    }
}
