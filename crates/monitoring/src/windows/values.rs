//! The newest values of a column.

use std::collections::{BTreeMap, VecDeque};

use mcplane_core::Timestamp;
use serde::{Deserialize, Serialize};

/// One value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Observed {
    /// A number; NaN is missing.
    Number(f64),
    /// A category.
    Category(String),
    /// No value.
    Missing,
}

/// A category's name is cut to so many bytes, so that memory has a bound.
const LONGEST_NAME: usize = 128;

/// A window of one column: at most `most` values, none older than `oldest_ms`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Values {
    most: usize,
    oldest_ms: i64,
    values: VecDeque<(Timestamp, Observed)>,
}

impl Values {
    /// An empty window.
    pub fn new(most: usize, oldest_ms: i64) -> Self {
        Self { most: most.max(1), oldest_ms, values: VecDeque::new() }
    }

    /// Takes a value; the oldest leaves when there are too many.
    pub fn record(&mut self, now: Timestamp, value: Observed) {
        let now = self.values.back().map_or(now, |(at, _)| now.max(*at));
        let value = match value {
            Observed::Number(number) if number.is_nan() => Observed::Missing,
            Observed::Category(mut name) => {
                let end = (0..=LONGEST_NAME.min(name.len())).rev().find(|at| name.is_char_boundary(*at));
                name.truncate(end.unwrap_or(0));
                Observed::Category(name)
            }
            other => other,
        };
        if self.values.len() == self.most {
            self.values.pop_front();
        }
        self.values.push_back((now, value));
        self.expire(now);
    }

    /// Lets go of what is too old.
    pub fn expire(&mut self, now: Timestamp) {
        while self.values.front().is_some_and(|(at, _)| now - at >= self.oldest_ms) {
            self.values.pop_front();
        }
    }

    /// Numbers in the window at `now`.
    pub fn numbers(&self, now: Timestamp) -> Vec<f64> {
        let number = |value: &Observed| if let Observed::Number(number) = value { Some(*number) } else { None };
        self.present(now).filter_map(number).collect()
    }

    /// Categories in the window at `now`, counted.
    pub fn categories(&self, now: Timestamp) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for value in self.present(now) {
            if let Observed::Category(name) = value {
                match counts.get_mut(name) {
                    Some(count) => *count += 1,
                    None => drop(counts.insert(name.clone(), 1)),
                }
            }
        }
        counts
    }

    /// How many values of the window at `now` are missing.
    pub fn missing(&self, now: Timestamp) -> usize {
        self.present(now).filter(|value| **value == Observed::Missing).count()
    }

    /// How many values there are at `now`.
    pub fn len(&self, now: Timestamp) -> usize {
        self.present(now).count()
    }

    fn present(&self, now: Timestamp) -> impl Iterator<Item = &Observed> {
        let from = self.values.partition_point(|(at, _)| now - at >= self.oldest_ms);
        self.values.range(from..).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_stay() {
        let mut window = Values::new(3, 100);
        for at in 0..5 {
            window.record(at, Observed::Number(at as f64));
        }
        assert_eq!(window.numbers(5), [2.0, 3.0, 4.0]);
        assert_eq!(window.numbers(103), [4.0]);
        assert_eq!(window.len(104), 0);
        window.record(50, Observed::Number(f64::NAN));
        window.record(50, Observed::Category("é".repeat(100)));
        assert_eq!((window.len(50), window.missing(50)), (3, 1));
        assert_eq!(window.categories(50), BTreeMap::from([("é".repeat(64), 1)]));
    }

    #[test]
    fn a_clock_that_goes_back_keeps_order() {
        let mut window = Values::new(10, 100);
        window.record(1_000, Observed::Missing);
        window.record(10, Observed::Number(1.0));
        assert_eq!(window.numbers(1_050), [1.0]);
        assert_eq!(window.len(1_100), 0);
    }
}
