//! Pearson's chi-squared tests on categories.

use super::Test;
use super::special::chi_squared_above;

/// The current counts against the shares of the reference taken as true, which is SciPy's `chisquare` and what Evidently
/// does. A category that the reference lacks makes the statistic infinite. `None` for fewer than two categories, lists of
/// different lengths, or nothing counted on one side.
pub fn chi_squared_expected(reference: &[u64], current: &[u64]) -> Option<Test> {
    let (r, c) = (total(reference), total(current));
    if reference.len() != current.len() || r == 0.0 || c == 0.0 {
        return None;
    }
    let cells = kept(reference, current);
    let freedom = cells.len().checked_sub(1).filter(|freedom| *freedom > 0)? as f64;
    let statistic = cells.iter().map(|(reference, current)| squared(*current, *reference / r * c)).sum();
    Some(Test { statistic, p: chi_squared_above(statistic, freedom) })
}

/// Both counts as samples of one distribution, which is SciPy's `chi2_contingency` without correction and what NannyML does.
pub fn chi_squared_contingency(reference: &[u64], current: &[u64]) -> Option<Test> {
    let (r, c) = (total(reference), total(current));
    if reference.len() != current.len() || r == 0.0 || c == 0.0 {
        return None;
    }
    let cells = kept(reference, current);
    let freedom = cells.len().checked_sub(1).filter(|freedom| *freedom > 0)? as f64;
    let both = |(reference, current): &(f64, f64)| {
        let share = (reference + current) / (r + c);
        squared(*reference, share * r) + squared(*current, share * c)
    };
    let statistic = cells.iter().map(both).sum();
    Some(Test { statistic, p: chi_squared_above(statistic, freedom) })
}

fn squared(seen: f64, expected: f64) -> f64 {
    (seen - expected).powi(2) / expected
}

fn total(counts: &[u64]) -> f64 {
    counts.iter().map(|count| *count as f64).sum()
}

/// Cells that either side has.
fn kept(reference: &[u64], current: &[u64]) -> Vec<(f64, f64)> {
    let pairs = reference.iter().zip(current);
    pairs.filter(|(r, c)| **r + **c > 0).map(|(r, c)| (*r as f64, *c as f64)).collect()
}
