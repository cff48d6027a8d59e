//! How many rows broke an expectation, and which came first.

use crate::contracts::report::Example;

/// What is known of one expectation.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) rows: u64,
    /// In the order of rows.
    pub(super) first: Vec<Example>,
}

impl Tally {
    /// Notes a row; `value` is asked for only if it will be shown.
    #[inline]
    pub(super) fn note(&mut self, most: usize, row: u64, value: impl FnOnce() -> Option<String>) {
        self.rows += 1;
        if self.first.len() < most {
            self.first.push(Example { row, value: value(), repeats: None });
        }
    }

    /// Notes a row that repeats another one; they may come in any order.
    pub(super) fn repeat(&mut self, most: usize, row: u64, repeats: u64, value: Option<String>) {
        self.rows += 1;
        let place = self.first.partition_point(|known| known.row < row);
        if place < most {
            self.first.insert(place, Example { row, value, repeats: Some(repeats) });
            self.first.truncate(most);
        }
    }
}
