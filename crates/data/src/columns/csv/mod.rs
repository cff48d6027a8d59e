//! CSV as a stream of batches: what is read is hashed, decompressed, split, and handed on where it lies.

mod read;
mod split;

use std::io::Read;

pub(super) use read::CsvBatch;
pub use read::CsvReader;

use super::Fault;

/// How a CSV file is written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CsvFormat {
    /// What is between fields: one ASCII character that is no quote and no end of a line.
    pub delimiter: char,
    /// Texts that stand for nothing.
    pub null_values: Vec<String>,
}

impl Default for CsvFormat {
    fn default() -> Self {
        Self { delimiter: ',', null_values: vec![String::new()] }
    }
}

impl CsvFormat {
    /// The delimiter as a byte.
    ///
    /// # Errors
    /// When it can't be one.
    pub fn delimiter(&self) -> Result<u8, Fault> {
        match u8::try_from(self.delimiter) {
            Ok(byte) if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r' | 0) => Ok(byte),
            _ => Err(Fault::new(format!(
                "{:?} can't be a delimiter: it must be one ASCII character that is no quote and no end of a line",
                self.delimiter
            ))),
        }
    }
}

/// How a file's bytes become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// They are text.
    None,
    /// gzip, one member or several.
    Gzip,
    /// Zstandard, one frame or several.
    Zstd,
}

impl Compression {
    /// What the first bytes of a file tell.
    pub fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    fn open<'r>(self, source: impl Read + Send + 'r) -> Result<Box<dyn Read + Send + 'r>, Fault> {
        Ok(match self {
            Self::None => Box::new(source),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(source)),
            Self::Zstd => {
                let mut decoder = zstd::Decoder::new(source)?;
                // 128 MiB, the window that decoders must support at most, is the default; it is part of the promise here.
                decoder.window_log_max(27)?;
                Box::new(decoder)
            }
        })
    }
}
