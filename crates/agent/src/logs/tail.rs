//! Finds where the last lines of a log begin, reading no more of it than those.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::entry::{Entry, LONGEST};

const BLOCK: u64 = 64 << 10;

/// Counts lines from the end backwards, segment after segment.
#[derive(Debug)]
pub(super) struct Backwards {
    wanted: u64,
    counted: u64,
    /// The last entry of all has been seen.
    begun: bool,
}

impl Backwards {
    pub(super) fn new(wanted: u64) -> Self {
        Self { wanted, counted: 0, begun: false }
    }

    /// Where in this segment the wanted lines begin; `None` if they begin before it.
    pub(super) fn scan(&mut self, segment: &File) -> io::Result<Option<u64>> {
        let mut position = segment.metadata()?.len();
        // What is to the right of `position` up to the first line's end there.
        let mut carry: Vec<u8> = Vec::new();
        if self.wanted == 0 {
            return Ok(Some(position));
        }
        while position > 0 {
            let start = position.saturating_sub(BLOCK);
            let mut block = vec![0; usize::try_from(position - start).unwrap_or(0)];
            segment.read_exact_at(&mut block, start)?;
            block.append(&mut carry);
            let mut end = block.len();
            // An entry that is just being written has no end yet, and is none.
            while let Some(newline) = block[..end].iter().rposition(|byte| *byte == b'\n') {
                let begin = block[..newline].iter().rposition(|byte| *byte == b'\n').map(|before| before + 1);
                let begin = match begin {
                    Some(begin) => begin,
                    None if start == 0 => 0,
                    None => break,
                };
                if self.starts_after(&block[begin..newline]) {
                    return Ok(Some(start + newline as u64 + 1));
                }
                end = begin;
            }
            block.truncate(end);
            carry = if block.len() > 2 * LONGEST { Vec::new() } else { block };
            position = start;
        }
        Ok(None)
    }

    /// Whether the wanted lines are those after this entry. A line's entries but the last say that it goes on; so does
    /// the last of a line that never ended.
    fn starts_after(&mut self, entry: &[u8]) -> bool {
        let whole = Entry::parse(entry).is_none_or(|entry| entry.whole);
        let first = !std::mem::replace(&mut self.begun, true);
        if whole {
            if self.counted == self.wanted {
                return true;
            }
            self.counted += 1;
        } else if first {
            self.counted += 1;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn segment(entries: &[(&str, &str)]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        for (tag, message) in entries {
            writeln!(file, "2016-10-06T00:17:09.669794202Z stdout {tag} {message}").unwrap();
        }
        file
    }

    fn tail(file: &File, wanted: u64) -> Option<String> {
        let start = Backwards::new(wanted).scan(file).unwrap()?;
        let mut rest = vec![0; usize::try_from(file.metadata().unwrap().len() - start).unwrap()];
        file.read_exact_at(&mut rest, start).unwrap();
        let lines = rest.split(|byte| *byte == b'\n').filter_map(Entry::parse);
        Some(lines.map(|entry| String::from_utf8(entry.message.to_vec()).unwrap()).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn lines_are_counted_not_entries() {
        let file = segment(&[("F", "a"), ("P", "b1"), ("P", "b2"), ("F", "b3"), ("F", "c")]);
        assert_eq!(tail(&file, 0).as_deref(), Some(""));
        assert_eq!(tail(&file, 1).as_deref(), Some("c"));
        assert_eq!(tail(&file, 2).as_deref(), Some("b1,b2,b3,c"));
        assert_eq!(tail(&file, 3), None);
        let open = segment(&[("F", "a"), ("F", "b"), ("P", "c1"), ("P", "c2")]);
        assert_eq!(tail(&open, 1).as_deref(), Some("c1,c2"));
        assert_eq!(tail(&open, 2).as_deref(), Some("b,c1,c2"));
        assert_eq!(tail(&segment(&[]), 1), None);
    }

    #[test]
    fn blocks_do_not_matter() {
        let lines: Vec<String> = (0..5000).map(|number| format!("{number:0width$}", width = 1 + number % 97)).collect();
        let entries: Vec<(&str, &str)> = lines.iter().map(|line| ("F", line.as_str())).collect();
        let file = segment(&entries);
        for wanted in [1, 700, 2048, 4999] {
            let expected = lines[lines.len() - wanted..].join(",");
            assert_eq!(tail(&file, wanted as u64), Some(expected), "{wanted}");
        }
        assert_eq!(tail(&file, 5000), None);
    }

    #[test]
    fn a_segment_without_ends_is_survived() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![b'x'; 1 << 20]).unwrap();
        assert_eq!(tail(&file, 3), None);
    }
}
