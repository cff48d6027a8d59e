//! How much two filters of traces have to do with each other: normalised pointwise mutual information.

use mcplane_core::{Grant, Result};
use serde::Serialize;

use super::search::Statement;
use crate::Tracking;
use crate::experiments::ExperimentId;

/// Weight that is added to each of the four kinds of traces, so that few traces claim little.
const PRIOR: f64 = 0.5;

/// What two filters find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts {
    first: u64,
    second: u64,
    both: u64,
    all: u64,
}

/// The measure, with what it was computed from.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Correlation {
    #[serde(skip_serializing_if = "Option::is_none")]
    npmi: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    npmi_smoothed: Option<f64>,
    filter1_count: u64,
    filter2_count: u64,
    joint_count: u64,
    total_count: u64,
}

impl Tracking {
    /// Relates two filters over the traces of experiments that pass the filter `base`.
    ///
    /// # Errors
    /// [`mcplane_core::Error::BadRequest`] for a filter that is none.
    pub(crate) async fn correlate_traces(
        &self,
        grant: &Grant,
        experiments: &[ExperimentId],
        filters: [&str; 2],
        base: &str,
    ) -> Result<Correlation> {
        let joined = |filter: &str| if base.is_empty() { filter.to_owned() } else { format!("{base} and {filter}") };
        let (first, second) = (joined(filters[0]), joined(filters[1]));
        let mut view = self.db.snapshot().await?;
        let mut found = Vec::with_capacity(3);
        for filter in [first.as_str(), second.as_str(), base] {
            found.push(Statement::matching(&mut view, grant.namespace()?, experiments, filter).await?);
        }
        let [first, second, all] = found.as_slice() else { return Ok(Correlation::of(Counts::NONE)) };
        let both = first.iter().filter(|number| second.binary_search(number).is_ok()).count();
        let count = |numbers: &[i64]| numbers.len() as u64;
        Ok(Correlation::of(Counts { first: count(first), second: count(second), both: both as u64, all: count(all) }))
    }
}

impl Correlation {
    fn of(counts: Counts) -> Self {
        Self {
            npmi: counts.plain(),
            npmi_smoothed: counts.smoothed(),
            filter1_count: counts.first,
            filter2_count: counts.second,
            joint_count: counts.both,
            total_count: counts.all,
        }
    }
}

impl Counts {
    const NONE: Self = Self { first: 0, second: 0, both: 0, all: 0 };

    fn plain(self) -> Option<f64> {
        let cells = self.cells()?;
        if self.both == 0 { Some(-1.0) } else { information(cells, 0.0) }
    }

    fn smoothed(self) -> Option<f64> {
        information(self.cells()?, PRIOR)
    }

    /// How many pass both, only the first, only the second, neither; none if a filter finds nothing.
    fn cells(self) -> Option<[f64; 4]> {
        if self.first == 0 || self.second == 0 {
            return None;
        }
        let only = [self.first.checked_sub(self.both)?, self.second.checked_sub(self.both)?];
        let neither = (self.all + self.both).checked_sub(self.first + self.second)?;
        Some([self.both as f64, only[0] as f64, only[1] as f64, neither as f64])
    }
}

fn information(cells: [f64; 4], prior: f64) -> Option<f64> {
    let [_, first, second, neither] = cells;
    if first == 0.0 && second == 0.0 && neither == 0.0 {
        return Some(1.0);
    }
    let [both, first, second, neither] = cells.map(|cell| cell + prior);
    let all = both + first + second + neither;
    let mutual = both.ln() + all.ln() - (both + first).ln() - (both + second).ln();
    let own = all.ln() - both.ln();
    Some((mutual / own).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_weighed() {
        let counts = |first, second, both, all| Counts { first, second, both, all };
        let near = |found: Option<f64>, wanted: f64| assert!((found.unwrap() - wanted).abs() < 1e-3, "{found:?}");
        near(counts(6, 7, 6, 10).plain(), 0.698);
        near(counts(10, 20, 0, 100).plain(), -1.0);
        near(counts(5, 5, 5, 5).plain(), 1.0);
        near(counts(10, 10, 1, 100).plain(), 0.0);
        assert!(counts(6, 7, 6, 10).smoothed().unwrap() < 0.698);
        for none in [Counts::NONE, counts(0, 7, 0, 10), counts(5, 5, 6, 10), counts(5, 5, 0, 9)] {
            assert_eq!((none.plain(), none.smoothed()), (None, None), "{none:?}");
        }
    }
}
