//! Which rows repeat a value, in bounded memory.
//!
//! Values are kept as 128-bit hashes (XXH3 with a random seed) with the row that had them first. When the budget is full they
//! are written to a temporary file, sorted, and all such runs are merged at the end; so counts are exact but for collisions of
//! hashes, of which one among 10⁹ distinct values has a chance below 2⁻⁶⁹ (n² / 2¹²⁹). A repetition within a run is known at once,
//! one across runs only at the end, when the value itself is gone.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;

use twox_hash::XxHash3_128;

use crate::columns::Fault;

/// Bytes that a value takes in memory, at worst: in the table, and in the list that is sorted.
const EACH: usize = 80;
/// A value's bytes in a run.
const RECORD: usize = 24;
/// Bytes of a run that are read at a time.
const READ: usize = RECORD * 512;

type Hash = [u64; 2];

/// Finds repetitions.
#[derive(Debug)]
pub(in crate::contracts) struct Unique {
    seed: u64,
    seen: HashMap<Hash, u64, foldhash::fast::RandomState>,
    most: usize,
    spill: Option<Spill>,
}

#[derive(Debug)]
struct Spill {
    file: File,
    /// Where each run ends.
    ends: Vec<u64>,
}

fn no_room(error: std::io::Error) -> Fault {
    Fault::new(format!("looking for repetitions needs room for temporary files: {error}; TMPDIR names another folder"))
}

impl Unique {
    /// A finder that uses some `budget` bytes of memory.
    pub(in crate::contracts) fn new(budget: usize, seed: u64) -> Self {
        Self { seed, seen: HashMap::default(), most: (budget / EACH).max(16), spill: None }
    }

    pub(in crate::contracts) fn hash(&self, bytes: &[u8]) -> u128 {
        XxHash3_128::oneshot_with_seed(self.seed, bytes)
    }

    /// Notes that `row` has the value of `hash`; gives the row that had it first, if that is known already.
    pub(in crate::contracts) fn note(&mut self, hash: u128, row: u64) -> Result<Option<u64>, Fault> {
        if self.seen.len() >= self.most {
            self.spill()?;
        }
        match self.seen.entry([(hash >> 64) as u64, hash as u64]) {
            Entry::Occupied(first) => Ok(Some(*first.get())),
            Entry::Vacant(place) => {
                place.insert(row);
                Ok(None)
            }
        }
    }

    fn spill(&mut self) -> Result<(), Fault> {
        let spill = match &mut self.spill {
            Some(spill) => spill,
            None => self.spill.insert(Spill { file: tempfile::tempfile().map_err(no_room)?, ends: vec![] }),
        };
        let mut values: Vec<(Hash, u64)> = self.seen.drain().collect();
        values.sort_unstable();
        let mut out = BufWriter::new(&spill.file);
        for ([high, low], row) in &values {
            for word in [high, low, row] {
                out.write_all(&word.to_le_bytes()).map_err(no_room)?;
            }
        }
        out.flush().map_err(no_room)?;
        drop(out);
        let begin = spill.ends.last().copied().unwrap_or(0);
        spill.ends.push(begin + (values.len() * RECORD) as u64);
        Ok(())
    }

    /// Tells `repeated` of every row that repeats a value of an earlier run, and which row had it first.
    pub(in crate::contracts) fn finish(mut self, mut repeated: impl FnMut(u64, u64)) -> Result<(), Fault> {
        if self.spill.is_none() {
            return Ok(());
        }
        self.spill()?;
        let Some(spill) = self.spill.take() else { return Ok(()) };
        drop(self.seen);
        let mut begin = 0;
        let mut runs: Vec<Run<'_>> = Vec::with_capacity(spill.ends.len());
        for end in &spill.ends {
            runs.push(Run { file: &spill.file, at: begin, end: *end, buffer: vec![], read: 0 });
            begin = *end;
        }
        let mut next = BinaryHeap::with_capacity(runs.len());
        for (index, run) in runs.iter_mut().enumerate() {
            if let Some((hash, row)) = run.next()? {
                next.push(Reverse((hash, row, index)));
            }
        }
        let mut last: Option<(Hash, u64)> = None;
        while let Some(Reverse((hash, row, index))) = next.pop() {
            match last {
                Some((before, first)) if before == hash => repeated(row, first),
                _ => last = Some((hash, row)),
            }
            if let Some((hash, row)) = runs[index].next()? {
                next.push(Reverse((hash, row, index)));
            }
        }
        Ok(())
    }
}

/// A run that is read.
struct Run<'f> {
    file: &'f File,
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    read: usize,
}

impl Run<'_> {
    fn next(&mut self) -> Result<Option<(Hash, u64)>, Fault> {
        if self.read == self.buffer.len() {
            let size = usize::try_from(self.end - self.at).unwrap_or(READ).min(READ);
            self.buffer.resize(size, 0);
            self.file.read_exact_at(&mut self.buffer, self.at).map_err(no_room)?;
            self.at += size as u64;
            self.read = 0;
        }
        let Some(record) = self.buffer.get(self.read..self.read + RECORD) else { return Ok(None) };
        self.read += RECORD;
        let word = |n: usize| {
            record
                .get(n * 8..n * 8 + 8)
                .and_then(|bytes| bytes.try_into().ok())
                .map(u64::from_le_bytes)
                .unwrap_or_default()
        };
        Ok(Some(([word(0), word(1)], word(2))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn repeats(values: &[u16], budget: usize) -> Vec<u64> {
        let mut unique = Unique::new(budget, 7);
        let mut found = Vec::new();
        for (row, value) in values.iter().enumerate() {
            let hash = unique.hash(&value.to_le_bytes());
            if unique.note(hash, row as u64).unwrap().is_some() {
                found.push(row as u64);
            }
        }
        unique
            .finish(|row, first| {
                assert!(first < row && values[first as usize] == values[row as usize]);
                found.push(row);
            })
            .unwrap();
        found.sort_unstable();
        found
    }

    proptest! {
        #[test]
        fn as_many_rows_repeat_as_without_bounds(values in prop::collection::vec(0_u16..200, 0..400)) {
            let mut seen = std::collections::HashSet::new();
            let expected = values.iter().filter(|value| !seen.insert(**value)).count();
            prop_assert_eq!(repeats(&values, 1 << 20).len(), expected);
            prop_assert_eq!(repeats(&values, 0).len(), expected, "spilled");
        }
    }
}
