//! One value of a table.

/// A value as the file has it: text where it is text (all of a CSV file), else what the file's own types say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number; decimals too.
    Float(f64),
    /// Text.
    Text(&'a str),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01T00:00:00Z; a time without zone counts as UTC.
    Timestamp(i64),
    /// Bytes that are no text.
    Bytes(&'a [u8]),
}

/// Bytes of a value that are shown.
const SHOWN: usize = 100;

impl Cell<'_> {
    /// The value for people, cut to a length.
    pub fn shown(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(text) if text.len() > SHOWN => format!("{}…", &text[..text.floor_char_boundary(SHOWN)]),
            Self::Text(text) => (*text).to_owned(),
            Self::Date(days) => super::parse::show_date(*days),
            Self::Timestamp(micros) => super::parse::show_timestamp(*micros),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
        }
    }
}
