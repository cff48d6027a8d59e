//! Splitting CSV into records and fields, as RFC 4180 has it.
//!
//! Fields stay where they are: a field is a range of the buffer, and only one with doubled quotes is moved, within itself.
//! What common readers take for granted is taken: lines that end with `\n`, `\r\n` or `\r`, and quotes inside a field that
//! does not begin with one. What they would read in different ways is refused: text behind a closing quote, and a quote
//! that is never closed.

/// A field's place in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// What can't be split, at a place of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Malformed {
    /// There is text behind the closing quote of the field that begins here.
    BehindQuote(usize),
    /// The quote that opens here is never closed.
    Unclosed(usize),
}

/// How fields are told apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Splitter {
    delimiter: u8,
    /// The delimiter in each of eight bytes.
    spread: u64,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;
const LF: u64 = ONES * b'\n' as u64;
const CR: u64 = ONES * b'\r' as u64;

/// A bit at the top of each byte that is zero; above the first such byte there may be more.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

/// The fields of the records of a buffer.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// In order, as many a record as it has.
    pub(super) places: Vec<Field>,
    /// Which of them hold doubled quotes.
    escaped: Vec<usize>,
}

impl Fields {
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.escaped.clear();
    }

    pub(super) fn any_escaped(&self) -> bool {
        !self.escaped.is_empty()
    }

    /// Makes one quote of two, within each field. Only for records that are whole: they can't be split again.
    pub(super) fn unescape(&mut self, buffer: &mut [u8]) {
        for index in self.escaped.drain(..) {
            let Field { start, end } = self.places[index];
            let field = &mut buffer[start as usize..end as usize];
            let (mut read, mut write) = (0, 0);
            while read < field.len() {
                let to = memchr::memchr(b'"', &field[read..]).map_or(field.len(), |found| read + found + 1);
                field.copy_within(read..to, write);
                write += to - read;
                // The second of the two.
                read = to + 1;
            }
            // What is left behind may be half a character.
            field[write..].fill(b'"');
            self.places[index].end = start + write as u32;
        }
    }

    pub(super) fn truncate(&mut self, to: usize) {
        self.places.truncate(to);
        while self.escaped.last().is_some_and(|index| *index >= to) {
            self.escaped.pop();
        }
    }
}

impl Splitter {
    pub(super) fn new(delimiter: u8) -> Self {
        Self { delimiter, spread: ONES * u64::from(delimiter) }
    }

    /// Splits the record at `from` into `fields`; gives where the next one begins, or `None` if the buffer ends before the
    /// record does. The end of the buffer is the end of a record if nothing comes after it (`last`).
    pub(super) fn record(
        self,
        buffer: &[u8],
        from: usize,
        last: bool,
        fields: &mut Fields,
    ) -> Result<Option<usize>, Malformed> {
        let before = fields.places.len();
        let next = self.split(buffer, from, last, fields);
        if !matches!(next, Ok(Some(_))) {
            fields.truncate(before);
        }
        next
    }

    fn split(self, buffer: &[u8], from: usize, last: bool, fields: &mut Fields) -> Result<Option<usize>, Malformed> {
        let mut at = from;
        loop {
            let (start, close, end) = if buffer.get(at) == Some(&b'"') {
                let Some((close, escaped)) = closing(buffer, at, last)? else { return Ok(None) };
                if escaped {
                    fields.escaped.push(fields.places.len());
                }
                (at + 1, close, close + 1)
            } else {
                let end = self.plain(buffer, at);
                (at, end, end)
            };
            // Places fit: a buffer is smaller than 2 GiB.
            let place = Field { start: start as u32, end: close as u32 };
            let next = buffer.get(end).copied();
            if next.is_none() && !last || next == Some(b'\r') && end + 1 == buffer.len() && !last {
                return Ok(None);
            }
            fields.places.push(place);
            match next {
                Some(byte) if byte == self.delimiter => at = end + 1,
                Some(b'\n') => return Ok(Some(end + 1)),
                Some(b'\r') => return Ok(Some(end + 1 + usize::from(buffer.get(end + 1) == Some(&b'\n')))),
                Some(_) => return Err(Malformed::BehindQuote(at)),
                None => return Ok(Some(end)),
            }
        }
    }

    /// Where the plain field at `at` ends.
    fn plain(self, buffer: &[u8], mut at: usize) -> usize {
        while let Some(chunk) = buffer.get(at..at + 8).and_then(|chunk| <[u8; 8]>::try_from(chunk).ok()) {
            let word = u64::from_le_bytes(chunk);
            let found = zeros(word ^ self.spread) | zeros(word ^ LF) | zeros(word ^ CR);
            if found != 0 {
                return at + (found.trailing_zeros() / 8) as usize;
            }
            at += 8;
        }
        let ends = |byte: &u8| *byte == self.delimiter || *byte == b'\n' || *byte == b'\r';
        let rest = buffer.get(at..).unwrap_or_default();
        at + rest.iter().position(ends).unwrap_or(rest.len())
    }
}

/// The quote that closes the field which `open` begins, and whether there are doubled ones before it.
fn closing(buffer: &[u8], open: usize, last: bool) -> Result<Option<(usize, bool)>, Malformed> {
    let (mut at, mut escaped) = (open + 1, false);
    loop {
        let found = buffer.get(at..).and_then(|rest| memchr::memchr(b'"', rest)).map(|found| at + found);
        match found.map(|close| (close, buffer.get(close + 1))) {
            None if last => return Err(Malformed::Unclosed(open)),
            None => return Ok(None),
            Some((_, None)) if !last => return Ok(None),
            Some((close, Some(b'"'))) => (at, escaped) = (close + 2, true),
            Some((close, _)) => return Ok(Some((close, escaped))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Result<Vec<Vec<String>>, Malformed> {
        let mut buffer = text.as_bytes().to_vec();
        let (mut at, mut records) = (0, Vec::new());
        while at < buffer.len() {
            let mut fields = Fields::default();
            at = Splitter::new(b',').record(&buffer, at, true, &mut fields)?.unwrap();
            fields.unescape(&mut buffer);
            let text =
                |field: &Field| String::from_utf8(buffer[field.start as usize..field.end as usize].to_vec()).unwrap();
            records.push(fields.places.iter().map(text).collect());
        }
        Ok(records)
    }

    #[test]
    fn records_are_split_as_common_readers_do() {
        for (text, records) in [
            ("a,b\n1,2\n", vec![vec!["a", "b"], vec!["1", "2"]]),
            ("a,b\r\n1,\r\n", vec![vec!["a", "b"], vec!["1", ""]]),
            ("a\rb", vec![vec!["a"], vec!["b"]]),
            ("\"a,\nb\",\"say \"\"hi\"\"\"\n", vec![vec!["a,\nb", "say \"hi\""]]),
            ("5\" pipe,longer than eight bytes,x", vec![vec!["5\" pipe", "longer than eight bytes", "x"]]),
            ("\"\",\"\"\"\"", vec![vec!["", "\""]]),
            (",", vec![vec!["", ""]]),
        ] {
            assert_eq!(split(text).unwrap(), records, "{text:?}");
        }
        assert_eq!(split("a,\"b\"c\n"), Err(Malformed::BehindQuote(2)));
        assert_eq!(split("a,\"b\"\"\n"), Err(Malformed::Unclosed(2)));
    }

    #[test]
    fn records_that_are_not_whole_wait() {
        let text = b"x,\"a\"\"b\",tail\r\n";
        for end in 0..text.len() {
            let mut fields = Fields::default();
            let split = Splitter::new(b',').record(&text[..end], 0, false, &mut fields);
            assert_eq!((split, fields.places.len(), fields.any_escaped()), (Ok(None), 0, false), "{end}");
        }
        let whole = Splitter::new(b',').record(text, 0, false, &mut Fields::default());
        assert_eq!(whole, Ok(Some(text.len())));
    }
}
