//! What is wrong with a file, and where.

use std::fmt;

/// Why a table can't be read (further). Positions are as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// What is wrong, and what to do about it.
    pub message: String,
    /// Row, from 1, without the header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    /// Byte, from 0; in the text if the file is compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub byte: Option<u64>,
    /// Column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
}

impl Fault {
    /// A fault of the whole file.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), row: None, byte: None, column: None }
    }

    /// The same at a row.
    pub fn row(mut self, row: u64) -> Self {
        self.row = Some(row);
        self
    }

    /// The same at a byte.
    pub fn byte(mut self, byte: u64) -> Self {
        self.byte = Some(byte);
        self
    }

    /// The same in a column.
    pub fn column(mut self, column: impl Into<String>) -> Self {
        self.column = Some(column.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = self.column.as_ref().map(|name| format!("column {name:?}"));
        let place = [column, self.row.map(|row| format!("row {row}")), self.byte.map(|byte| format!("byte {byte}"))];
        let place: Vec<String> = place.into_iter().flatten().collect();
        if !place.is_empty() {
            write!(f, "{}: ", place.join(", "))?;
        }
        f.write_str(&self.message)
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::new(format!("can't be read: {error}"))
    }
}
