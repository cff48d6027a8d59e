//! A column of the training profile, and windows of serving compared with it.

use std::collections::BTreeMap;

use mcplane_core::Timestamp;
use serde::Serialize;

use crate::bands::{Band, Reading};
use crate::profiles::Column;
use crate::statistics::{
    Bins, Method, Sorted, align, chi_squared_contingency, jensen_shannon, kolmogorov_smirnov, l_infinity,
    population_stability, wasserstein_normed,
};
use crate::windows::Values;

const DECILES: usize = 10;
/// Stands for the categories that the profile does not name. No window can hold it: it is longer than names there.
const OTHER: &str = "(categories that are too rare to be named)";

/// A column, ready to be compared with.
#[derive(Debug, Clone)]
pub enum Reference {
    /// Numbers.
    Numbers {
        /// Training values, or a sample of them.
        sample: Sorted,
        /// Deciles of the sample.
        bins: Bins,
        /// Training values in each bin.
        counts: Vec<u64>,
    },
    /// Categories.
    Categories {
        /// Training rows by category.
        counts: BTreeMap<String, u64>,
        /// Whether there are rows of categories without a name, which any unknown category may be.
        other: bool,
    },
}

/// How far a window is from the reference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// Values of the window that are not missing.
    pub values: u64,
    /// Share of the window that is missing.
    pub missing: Option<f64>,
    /// Distance of Kolmogorov and Smirnov for numbers, L∞ for categories: 0 to 1.
    pub distance: Option<f64>,
    /// p of the test of Kolmogorov and Smirnov, or of χ²: how probable so great a distance is without drift. With great
    /// windows the least drift is certain, so the bands judge the distance.
    pub p: Option<f64>,
    /// Population stability index, over deciles of the reference or over categories.
    pub stability: Option<f64>,
    /// Jensen-Shannon distance to base 2 over the same cells, 0 to 1.
    pub jensen_shannon: Option<f64>,
    /// Wasserstein distance in standard deviations of the reference; numbers only.
    pub wasserstein: Option<f64>,
}

impl Reference {
    /// Prepares a column; `None` when it has no values.
    pub fn new(column: &Column) -> Option<Self> {
        match column {
            Column::Numbers(numbers) => {
                let sample = numbers.sketch.sample();
                let bins = Bins::quantiles(&sample, DECILES)?;
                let counts = bins.counts(&sample);
                Some(Self::Numbers { sample, bins, counts })
            }
            Column::Categories(categories) => {
                let mut counts = categories.counts.clone();
                let other = categories.other > 0;
                if other {
                    counts.insert(OTHER.to_owned(), categories.other);
                }
                (!counts.is_empty()).then_some(Self::Categories { counts, other })
            }
        }
    }

    /// Compares the window that ends at `now`.
    pub fn compare(&self, window: &Values, now: Timestamp) -> Drift {
        let (all, missing) = (window.len(now), window.missing(now));
        let missing = (all > 0).then(|| missing as f64 / all as f64);
        match self {
            Self::Numbers { sample, bins, counts } => {
                let current = Sorted::new(&window.numbers(now));
                let seen = bins.counts(&current);
                // Constant time: a look at each interval must not count paths.
                let test = kolmogorov_smirnov(sample, &current, Method::Asymptotic);
                Drift {
                    values: current.len() as u64,
                    missing,
                    distance: test.map(|test| test.statistic),
                    p: test.map(|test| test.p),
                    stability: population_stability(counts, &seen),
                    jensen_shannon: jensen_shannon(counts, &seen, 2.0),
                    wasserstein: wasserstein_normed(sample, &current),
                }
            }
            Self::Categories { counts, other } => {
                let mut current = window.categories(now);
                if *other {
                    let known = |name: &String| counts.contains_key(name);
                    let rare = current.iter().filter(|(name, _)| !known(name)).map(|(_, count)| count).sum();
                    current.retain(|name, _| known(name));
                    current.insert(OTHER.to_owned(), rare);
                }
                let (reference, seen) = align(counts, &current);
                Drift {
                    values: seen.iter().sum(),
                    missing,
                    distance: l_infinity(&reference, &seen),
                    p: chi_squared_contingency(&reference, &seen).map(|test| test.p),
                    stability: population_stability(&reference, &seen),
                    jensen_shannon: jensen_shannon(&reference, &seen, 2.0),
                    wasserstein: None,
                }
            }
        }
    }
}

impl Drift {
    /// What the bands judge, with their defaults: distance and stability.
    pub fn readings(&self) -> [(Band, Reading); 2] {
        let reading = |value| Reading::Number { value, values: self.values };
        [(Band::DISTANCE, reading(self.distance)), (Band::STABILITY, reading(self.stability))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bands::{Level, Verdict};
    use crate::profiles::Profile;
    use crate::statistics::uniform_draws;
    use crate::windows::Observed;

    fn reference(values: impl Iterator<Item = Observed>) -> Reference {
        let mut profile = Profile::default();
        values.for_each(|value| profile.add("c", &value).unwrap());
        Reference::new(&profile.columns()["c"]).unwrap()
    }

    fn compared(reference: &Reference, values: impl Iterator<Item = Observed>) -> Drift {
        let mut window = Values::new(5_000, 1_000);
        values.for_each(|value| window.record(0, value));
        reference.compare(&window, 1)
    }

    fn levels(drift: &Drift) -> Vec<Verdict> {
        drift.readings().iter().map(|(band, reading)| band.judge(*reading)).collect()
    }

    #[test]
    fn numbers_that_move_are_seen() {
        let numbers = |seed, n, shift: f64| uniform_draws(seed, n).map(move |u| Observed::Number(u + shift));
        // More than the profile keeps exactly.
        let reference = reference(numbers(1, 50_000, 0.0));
        let same = compared(&reference, numbers(2, 2_000, 0.0));
        assert_eq!(levels(&same), [Verdict::Judged(Level::Normal); 2]);
        assert!(same.p.unwrap() > 0.001 && same.wasserstein.unwrap() < 0.1);
        let moved = compared(&reference, numbers(2, 2_000, 0.4));
        assert_eq!(levels(&moved), [Verdict::Judged(Level::Alert); 2]);
        assert!(moved.p.unwrap() < 1e-9 && (moved.wasserstein.unwrap() - 0.4 * 12f64.sqrt()).abs() < 0.05);
        let few = compared(&reference, numbers(2, 20, 0.4).chain(std::iter::repeat_n(Observed::Missing, 20)));
        assert_eq!(levels(&few), [Verdict::TooLittleData; 2]);
        assert_eq!((few.values, few.missing), (20, Some(0.5)));
        let nothing = compared(&reference, std::iter::empty());
        assert_eq!((nothing.missing, nothing.distance, nothing.stability), (None, None, None));
    }

    #[test]
    fn categories_that_are_new_are_seen() {
        let named = |name: &str, n| std::iter::repeat_n(Observed::Category(name.to_owned()), n);
        let reference = reference(named("a", 600).chain(named("b", 400)));
        let same = compared(&reference, named("a", 610).chain(named("b", 390)));
        assert_eq!(levels(&same), [Verdict::Judged(Level::Normal); 2]);
        let new = compared(&reference, named("a", 300).chain(named("b", 300)).chain(named("c", 400)));
        assert_eq!(levels(&new), [Verdict::Judged(Level::Alert); 2]);
        assert_eq!(new.distance, Some(0.4));
    }

    #[test]
    fn rare_categories_are_one() {
        let rare = |from: u32| (from..from + 3_000).map(|at| Observed::Category(format!("c{at:06}")));
        let reference = reference(rare(0));
        let Reference::Categories { other, .. } = &reference else { panic!("no categories") };
        assert!(other);
        let before = compared(&reference, rare(0));
        let after = compared(&reference, rare(100_000));
        assert!(before.distance.unwrap() < after.distance.unwrap());
    }
}
