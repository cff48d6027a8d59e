//! The reader: a buffer that slides over the text.

use std::io::Read;

use super::split::{Field, Fields, Malformed, Splitter};
use super::{Compression, CsvFormat};
use crate::columns::{Cell, Fault, Limits};

/// Bytes that are read at a time, unless a record is longer.
const CHUNK: usize = 256 << 10;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Reads a CSV file whose first record names the columns. A line without anything is no record.
pub struct CsvReader<'r> {
    source: Box<dyn Read + Send + 'r>,
    splitter: Splitter,
    nulls: Nulls,
    largest: usize,
    names: Vec<String>,
    buffer: Vec<u8>,
    /// Bytes of the buffer that hold text.
    filled: usize,
    /// Bytes of the buffer that were handed on.
    done: usize,
    /// Where the buffer begins in the text.
    offset: u64,
    /// The source has no more.
    last: bool,
    fields: Fields,
    rows: u64,
}

impl std::fmt::Debug for CsvReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CsvReader").field("names", &self.names).field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// Which texts stand for nothing.
#[derive(Debug, Clone)]
struct Nulls {
    empty: bool,
    others: Vec<String>,
}

impl Nulls {
    fn has(&self, text: &str) -> bool {
        if text.is_empty() { self.empty } else { self.others.iter().any(|null| null == text) }
    }
}

/// Whole records, where they lie in the buffer.
#[derive(Debug)]
pub struct CsvBatch<'b> {
    text: &'b str,
    places: &'b [Field],
    width: usize,
    nulls: &'b Nulls,
}

impl CsvBatch<'_> {
    pub(crate) fn rows(&self) -> usize {
        self.places.len() / self.width
    }

    fn at(&self, field: Field) -> Cell<'_> {
        let text = &self.text[field.start as usize..field.end as usize];
        if self.nulls.has(text) { Cell::Null } else { Cell::Text(text) }
    }

    #[inline]
    pub(crate) fn each<'s>(&'s self, column: usize, mut visit: impl FnMut(usize, Cell<'s>)) {
        let fields = self.places.get(column..).unwrap_or_default();
        for (row, field) in fields.iter().step_by(self.width).enumerate() {
            visit(row, self.at(*field));
        }
    }
}

impl<'r> CsvReader<'r> {
    /// Opens a file and reads the names of its columns.
    ///
    /// # Errors
    /// When there are none, or two are the same, or the text is not UTF-8.
    pub fn open(
        source: impl Read + Send + 'r,
        compression: Compression,
        format: &CsvFormat,
        limits: &Limits,
    ) -> Result<Self, Fault> {
        let (empty, others) = format.null_values.iter().cloned().partition::<Vec<String>, _>(String::is_empty);
        let mut reader = Self {
            source: compression.open(source)?,
            splitter: Splitter::new(format.delimiter()?),
            nulls: Nulls { empty: !empty.is_empty(), others },
            largest: limits.record.clamp(1, 1 << 30),
            names: Vec::new(),
            buffer: vec![0; limits.chunk.unwrap_or(CHUNK).max(BOM.len())],
            filled: 0,
            done: 0,
            offset: 0,
            last: false,
            fields: Fields::default(),
            rows: 0,
        };
        reader.header()?;
        Ok(reader)
    }

    /// Names of the columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Records that were handed on.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    fn header(&mut self) -> Result<(), Fault> {
        self.fill()?;
        let first = &self.buffer[..self.filled];
        if first.starts_with(&[0xff, 0xfe]) || first.starts_with(&[0xfe, 0xff]) {
            return Err(
                Fault::new("the text is UTF-16: convert it to UTF-8, as `iconv -f utf-16 -t utf-8` does").byte(0)
            );
        }
        if first.starts_with(b"PAR1") {
            return Err(Fault::new("this is a Parquet file"));
        }
        if first.starts_with(BOM) {
            self.done = BOM.len();
        }
        let next = loop {
            self.skip_blank_lines();
            if self.done == self.filled && self.last {
                return Err(Fault::new("the file is empty: its first line must name the columns"));
            }
            match self.split_one(self.done)? {
                Some(next) => break next,
                None => self.fill()?,
            }
        };
        check_text(&self.buffer[..next], self.offset).map_err(|(_, error)| error)?;
        self.fields.unescape(&mut self.buffer);
        for place in &self.fields.places {
            let name = String::from_utf8_lossy(&self.buffer[place.start as usize..place.end as usize]).into_owned();
            self.names.push(name);
        }
        let mut sorted: Vec<&String> = self.names.iter().collect();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Fault::new("two columns have this name: rename one of them").column(pair[0].as_str()));
        }
        self.fields.clear();
        self.done = next;
        Ok(())
    }

    /// Passes lines without anything, which are no records.
    fn skip_blank_lines(&mut self) {
        while self.done < self.filled && matches!(self.buffer[self.done], b'\n' | b'\r') {
            self.done += 1;
        }
    }

    /// The next records; `None` after the last one.
    ///
    /// # Errors
    /// With row and byte, for text that is no CSV, or that is not UTF-8, and for what the source can't give.
    pub fn next_batch(&mut self) -> Result<Option<CsvBatch<'_>>, Fault> {
        self.fields.clear();
        let width = self.names.len();
        let begin = loop {
            self.skip_blank_lines();
            let begin = self.done;
            let mut rows = 0;
            while self.done < self.filled {
                let before = self.fields.places.len();
                let next = match self.split_one(self.done) {
                    Ok(Some(next)) => next,
                    // First the rows before it; the same fault is found again when they are done.
                    Err(fault) if rows == 0 => return Err(fault),
                    Ok(None) | Err(_) => break,
                };
                let found = self.fields.places.len() - before;
                if found != width {
                    self.fields.truncate(before);
                    if rows > 0 {
                        break;
                    }
                    let message = format!("the row has {found} fields where the header has {width}");
                    return Err(self.fault(message, rows));
                }
                rows += 1;
                self.done = next;
                self.skip_blank_lines();
            }
            if rows > 0 {
                break begin;
            }
            if self.last && self.done >= self.filled {
                return Ok(None);
            }
            self.fill()?;
        };
        self.view(begin, width).map(Some)
    }

    /// The records from `begin` on, which are whole.
    fn view(&mut self, begin: usize, width: usize) -> Result<CsvBatch<'_>, Fault> {
        let at_row = |buffer: &[u8], rows: u64, splitter: Splitter, byte: usize| {
            let (mut at, mut row, mut fields) = (begin, rows, Fields::default());
            while let Ok(Some(next)) = splitter.record(buffer, at, true, &mut fields) {
                row += 1;
                if next > byte || next >= buffer.len() {
                    break;
                }
                at = next + buffer[next..].iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
            }
            row
        };
        if let Err((byte, fault)) = check_text(&self.buffer[begin..self.done], self.offset + begin as u64) {
            let row = at_row(&self.buffer[..self.done], self.rows, self.splitter, begin + byte);
            return Err(fault.row(row));
        }
        if self.fields.any_escaped() {
            self.fields.unescape(&mut self.buffer);
        }
        self.rows += (self.fields.places.len() / width) as u64;
        // From the beginning of the buffer, because that is where places are counted from; what was there before these
        // records has been checked already, or is the header.
        let text = std::str::from_utf8(&self.buffer[..self.done]).map_err(|error| Fault::new(error.to_string()))?;
        Ok(CsvBatch { text, places: &self.fields.places, width, nulls: &self.nulls })
    }

    /// Splits the record at `from`; `None` if more must be read first.
    fn split_one(&mut self, from: usize) -> Result<Option<usize>, Fault> {
        let before = self.whole_rows();
        match self.splitter.record(&self.buffer[..self.filled], from, self.last, &mut self.fields) {
            Ok(Some(next)) if next - from > self.largest => Err(self.too_large(before)),
            Ok(next) => Ok(next),
            Err(malformed) => {
                let (at, message) = match malformed {
                    Malformed::BehindQuote(at) => {
                        (at, "there is text behind the closing quote of this field: double the quotes inside it")
                    }
                    Malformed::Unclosed(at) => (at, "the quote that opens this field is never closed"),
                };
                let mut fault = self.fault(message.to_owned(), before);
                fault.byte = Some(self.offset + at as u64);
                Err(fault)
            }
        }
    }

    /// Records that were split and not handed on yet.
    fn whole_rows(&self) -> usize {
        self.fields.places.len().checked_div(self.names.len()).unwrap_or(0)
    }

    fn too_large(&self, rows: usize) -> Fault {
        let limit = mcplane_core::units::ByteSize(self.largest as u64);
        self.fault(format!("the row is larger than {limit}: perhaps a quote is not closed"), rows)
    }

    /// A fault of the record at hand, `rows` behind those that were handed on.
    fn fault(&self, message: String, rows: usize) -> Fault {
        let fault = Fault::new(message).byte(self.offset + self.done as u64);
        if self.names.is_empty() { fault } else { fault.row(self.rows + rows as u64 + 1) }
    }

    /// Drops what was handed on and reads until the buffer is full; makes it larger if it is full already.
    fn fill(&mut self) -> Result<(), Fault> {
        self.buffer.copy_within(self.done..self.filled, 0);
        self.filled -= self.done;
        self.offset += self.done as u64;
        self.done = 0;
        if self.filled > self.largest {
            return Err(self.too_large(0));
        }
        if self.filled == self.buffer.len() {
            self.buffer.resize((self.filled * 2).min(self.largest + 1).max(self.filled + 1), 0);
        }
        while self.filled < self.buffer.len() && !self.last {
            match self.source.read(&mut self.buffer[self.filled..]) {
                Ok(0) => self.last = true,
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.fault(format!("can't be read on: {error}"), 0)),
            }
        }
        Ok(())
    }
}

/// That bytes are text; else where they are not, from the beginning of the bytes.
fn check_text(bytes: &[u8], offset: u64) -> Result<(), (usize, Fault)> {
    if let Some(at) = memchr::memchr(0, bytes) {
        let message = "there is a NUL: the text is damaged, or is not UTF-8";
        return Err((at, Fault::new(message).byte(offset + at as u64)));
    }
    std::str::from_utf8(bytes).map(drop).map_err(|error| {
        let at = error.valid_up_to();
        let message = "the text is not UTF-8: convert it, as `iconv -f latin1 -t utf-8` does";
        (at, Fault::new(message).byte(offset + at as u64))
    })
}
