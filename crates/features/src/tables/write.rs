//! Writing Parquet: beside its place under another name, and moved there once it is on the disk.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::WriterProperties;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use mcplane_core::{Error, Result};
use sha2::{Digest as _, Sha256};

use super::fault;

/// Rows of a row group, which the writer holds in memory.
const GROUP_ROWS: usize = 1 << 18;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Where.
    pub path: PathBuf,
    /// Rows.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// `sha256:` and the digest of the file in hex.
    pub digest: String,
}

/// A Parquet file that is being written. Dropped unfinished, it leaves nothing.
pub struct ParquetOutput {
    writer: ArrowWriter<Hashing>,
    path: PathBuf,
    partial: Partial,
    rows: u64,
}

impl ParquetOutput {
    /// Begins a file with facts about it, by key.
    ///
    /// # Errors
    /// [`Error::BadRequest`] if it can't be written there.
    pub fn create(path: &Path, schema: SchemaRef, facts: &[(&str, String)]) -> Result<Self> {
        let shown = path.display();
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let name = path.file_name().ok_or_else(|| fault(&shown, "no name of a file"))?;
        std::fs::create_dir_all(directory).map_err(|error| fault(directory.display(), error))?;
        let partial = directory.join(format!(".{}.{}.partial", name.to_string_lossy(), uuid::Uuid::new_v4().simple()));
        let file = File::options().write(true).create_new(true).open(&partial).map_err(|error| fault(&shown, error))?;
        let partial = Partial(Some(partial));
        let facts = facts.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone())).collect();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_created_by(format!("mcplane {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(facts))
            .build();
        let sink = Hashing { file: BufWriter::with_capacity(1 << 18, file), hash: Sha256::new(), bytes: 0 };
        let writer = ArrowWriter::try_new(sink, schema, Some(properties)).map_err(|error| fault(&shown, error))?;
        Ok(Self { writer, path: path.to_owned(), partial, rows: 0 })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// [`Error::BadRequest`] when the disk does not take them.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        self.writer.write(batch).map_err(|error| fault(self.path.display(), error))
    }

    /// Puts the file in its place, instead of what was there.
    ///
    /// # Errors
    /// [`Error::BadRequest`] when the disk does not take it.
    pub fn finish(mut self) -> Result<Written> {
        let shown = self.path.display();
        let sink = self.writer.into_inner().map_err(|error| fault(&shown, error))?;
        let Hashing { file, hash, bytes } = sink;
        let file = file.into_inner().map_err(|error| fault(&shown, error.into_error()))?;
        file.sync_all().map_err(|error| fault(&shown, error))?;
        let partial = self.partial.0.take().ok_or_else(|| Error::internal("a file without a name"))?;
        if let Err(error) = std::fs::rename(&partial, &self.path) {
            self.partial.0 = Some(partial);
            return Err(fault(&shown, error));
        }
        // The name is on the disk once its directory is.
        if let Some(directory) = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(directory).and_then(|directory| directory.sync_all()).map_err(|error| fault(&shown, error))?;
        }
        Ok(Written { rows: self.rows, bytes, digest: written(hash), path: self.path })
    }
}

impl fmt::Debug for ParquetOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParquetOutput").field("path", &self.path).field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// SHA-256 of a file's bytes, as [`Written::digest`] writes it, and their number.
///
/// # Errors
/// [`Error::BadRequest`] when it can't be read.
pub fn digest_of(path: &Path) -> Result<(String, u64)> {
    let failed = |error| fault(path.display(), error);
    let mut file = File::open(path).map_err(failed)?;
    let (mut hash, mut buffer, mut bytes) = (Sha256::new(), vec![0; 1 << 18], 0);
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok((written(hash), bytes)),
            count => {
                hash.update(&buffer[..count]);
                bytes += count as u64;
            }
        }
    }
}

fn written(hash: Sha256) -> String {
    hash.finalize().iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// A file that goes unless it was moved.
struct Partial(Option<PathBuf>);

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Hashes what is written.
struct Hashing {
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};

    use super::super::{ParquetFile, Table as _};
    use super::*;

    #[test]
    fn files_appear_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/out.parquet");
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(vec![1, 2]))]).unwrap();
        let begin = || ParquetOutput::create(&path, Arc::clone(&schema), &[("k", "v".to_owned())]).unwrap();
        let mut output = begin();
        output.write(&batch).unwrap();
        drop(output);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
        let mut output = begin();
        output.write(&batch).unwrap();
        let written = output.finish().unwrap();
        assert_eq!(digest_of(&path).unwrap(), (written.digest.clone(), written.bytes));
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let file = ParquetFile::open(&path).unwrap();
        assert_eq!((file.rows(), written.rows, file.metadata("k")), (2, 2, Some("v")));
        assert_eq!(file.scan(&["a"]).unwrap().map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 2);
        assert!(file.scan(&["b"]).err().unwrap().to_string().contains("there is no column \"b\"; it has a"));
    }
}
