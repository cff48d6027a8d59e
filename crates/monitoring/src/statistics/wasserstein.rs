//! The first Wasserstein distance: the work to move one sample onto the other, in the unit of the values.

use super::Sorted;

/// ∫ |F1 - F2|; `None` when a sample is empty or has infinities.
pub fn wasserstein(first: &Sorted, second: &Sorted) -> Option<f64> {
    let (a, b) = (first.values(), second.values());
    let ends = [a.first()?, a.last()?, b.first()?, b.last()?];
    if ends.iter().any(|end| end.is_infinite()) {
        return None;
    }
    let (mut i, mut j, mut sum) = (0, 0, 0.0);
    let mut at = a[0].min(b[0]);
    while i < a.len() || j < b.len() {
        let x = a.get(i).copied().unwrap_or(f64::INFINITY);
        let y = b.get(j).copied().unwrap_or(f64::INFINITY);
        let next = x.min(y);
        sum += (i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs() * (next - at);
        at = next;
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    Some(sum)
}

/// The distance in standard deviations of the reference, at least a thousandth of the unit, as Evidently gives it.
pub fn wasserstein_normed(reference: &Sorted, current: &Sorted) -> Option<f64> {
    const LEAST: f64 = 0.001;
    Some(wasserstein(reference, current)? / reference.deviation()?.max(LEAST))
}
