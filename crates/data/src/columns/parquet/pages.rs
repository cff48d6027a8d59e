//! The pages of a Parquet file, looked at before they are read: what their headers claim decides how much memory is
//! reserved, so claims are checked against the file and the limits first. Data stays unread.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use super::thrift::{Broken, Walk};
use crate::columns::{Fault, Limits};

/// Bytes that are read for a header, which rarely has more than a hundred, and the most that it may have.
const WINDOW: usize = 1 << 10;
const LARGEST_HEADER: usize = 1 << 20;
/// The encoding `DELTA_BYTE_ARRAY`, whose values share their beginnings and so may be far larger than their page.
const DELTA_BYTE_ARRAY: i64 = 7;
/// Rows of a batch.
pub(super) const ROWS: usize = 8 << 10;

/// What a page's header claims. `parquet.thrift` names the fields.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Page {
    kind: i64,
    uncompressed: i64,
    compressed: i64,
    values: i64,
    encoding: i64,
}

/// `PageType`.
const DATA: i64 = 0;
const DICTIONARY: i64 = 2;
const DATA_V2: i64 = 3;

impl Page {
    /// Reads a header; gives its length too.
    fn read(bytes: &[u8]) -> Result<(Self, usize), Broken> {
        let mut page = Self::default();
        let mut walk = Walk::new(bytes);
        walk.visit(&mut |walk, id, structure| {
            match (id, structure) {
                (1, false) => page.kind = walk.value()?,
                (2, false) => page.uncompressed = walk.value()?,
                (3, false) => page.compressed = walk.value()?,
                // The headers of data pages, of dictionaries, and of data pages of the second version.
                (5 | 7 | 8, true) => {
                    let encoding = if id == 8 { 4 } else { 2 };
                    walk.visit(&mut |walk, inner, structure| {
                        match (inner, structure) {
                            (1, false) => page.values = walk.value()?,
                            (inner, false) if inner == encoding => page.encoding = walk.value()?,
                            _ => return Ok(false),
                        }
                        Ok(true)
                    })?;
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok((page, walk.passed()))
    }
}

/// Checks the pages of the columns that are to be read; gives the number of rows that a batch may have.
pub(super) fn check(
    file: &File,
    length: u64,
    metadata: &ParquetMetaData,
    columns: &[usize],
    limits: &Limits,
) -> Result<usize, Fault> {
    let mut rows = ROWS;
    let mut total: i64 = 0;
    for (index, group) in metadata.row_groups().iter().enumerate() {
        if group.num_rows() < 0 {
            return Err(Fault::new(format!("the file is damaged: row group {index} claims {} rows", group.num_rows())));
        }
        total = total.saturating_add(group.num_rows());
        let mut together = 0;
        for column in columns {
            let scan = Scan { file, length, group, index, column: *column };
            let found = scan.chunk()?;
            together += found.largest_data + found.largest_dictionary;
            if together > limits.pages {
                let limit = mcplane_core::units::ByteSize(limits.pages);
                let message = format!(
                    "the pages of row group {index} need more than {limit} of memory together: write the file with smaller pages"
                );
                return Err(Fault::new(message).column(scan.name()));
            }
            if found.shares_beginnings {
                // No value is larger than its page's text; so many of them fit.
                let most = limits.pages / found.largest_data.max(1);
                rows = rows.min(usize::try_from(most).unwrap_or(ROWS)).max(1);
            }
        }
    }
    if total != metadata.file_metadata().num_rows() {
        let claimed = metadata.file_metadata().num_rows();
        return Err(Fault::new(format!(
            "the file is damaged: it claims {claimed} rows, and its row groups have {total}"
        )));
    }
    Ok(rows)
}

struct Scan<'f> {
    file: &'f File,
    length: u64,
    group: &'f RowGroupMetaData,
    index: usize,
    column: usize,
}

#[derive(Default)]
struct Found {
    largest_data: u64,
    largest_dictionary: u64,
    shares_beginnings: bool,
}

impl Scan<'_> {
    fn name(&self) -> String {
        self.group.columns().get(self.column).map_or_else(String::new, |chunk| chunk.column_path().string())
    }

    fn fault(&self, byte: u64, message: &str) -> Fault {
        Fault::new(format!("the file is damaged: row group {}: {message}", self.index)).column(self.name()).byte(byte)
    }

    fn chunk(&self) -> Result<Found, Fault> {
        let Some(chunk) = self.group.columns().get(self.column) else {
            return Err(self.fault(0, "it has fewer columns than the schema"));
        };
        let begin = match chunk.dictionary_page_offset() {
            Some(dictionary) => dictionary,
            None => chunk.data_page_offset(),
        };
        let (Ok(begin), Ok(size)) = (u64::try_from(begin), u64::try_from(chunk.compressed_size())) else {
            return Err(self.fault(0, "the column's place is negative"));
        };
        let end = begin.checked_add(size).filter(|end| *end <= self.length);
        let Some(end) = end else { return Err(self.fault(begin, "the column lies beyond the end of the file")) };
        if chunk.uncompressed_size() < 0 {
            return Err(self.fault(begin, "the column's size is negative"));
        }
        let (mut at, mut values, mut found) = (begin, 0_i64, Found::default());
        while at < end {
            let (page, header) = self.page(at, end)?;
            let body = at + header as u64;
            let uncompressed = u64::try_from(page.uncompressed).ok();
            let next = u64::try_from(page.compressed).ok().and_then(|size| body.checked_add(size));
            let (Some(uncompressed), Some(next)) = (uncompressed, next.filter(|next| *next <= end)) else {
                return Err(self.fault(at, "a page claims a size that does not fit its column"));
            };
            match page.kind {
                DATA | DATA_V2 => {
                    if page.values < 0 {
                        return Err(self.fault(at, "a page claims a negative number of values"));
                    }
                    values = values.saturating_add(page.values);
                    found.largest_data = found.largest_data.max(uncompressed);
                    found.shares_beginnings |= page.encoding == DELTA_BYTE_ARRAY;
                }
                DICTIONARY => {
                    // Every value has a bit at least, so that there can't be more; the reader reserves room for all.
                    if page.values < 0 || page.values as u64 > uncompressed.saturating_mul(8) {
                        return Err(self.fault(at, "a dictionary claims more values than it has room for"));
                    }
                    found.largest_dictionary = found.largest_dictionary.max(uncompressed);
                }
                _ => {}
            }
            at = next;
        }
        let rows = self.group.num_rows();
        if values != rows {
            return Err(self.fault(begin, &format!("its pages have {values} values for {rows} rows")));
        }
        Ok(found)
    }

    /// The header of the page at `at`, and its length.
    fn page(&self, at: u64, end: u64) -> Result<(Page, usize), Fault> {
        let mut window = WINDOW;
        loop {
            let size = usize::try_from(end - at).map_or(window, |left| left.min(window));
            let mut bytes = vec![0; size];
            self.file.read_exact_at(&mut bytes, at)?;
            match Page::read(&bytes) {
                Ok(found) => return Ok(found),
                Err(_) if size == window && window < LARGEST_HEADER => window *= 8,
                Err(_) => return Err(self.fault(at, "there is no header of a page here")),
            }
        }
    }
}
