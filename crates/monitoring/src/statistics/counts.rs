//! Distances between two distributions over the same cells (bins or categories), given as counts.
//! All are `None` when the lists differ in length or one of them counts nothing.

/// What an empty cell's share is taken for, so that the logarithm stays finite.
const FLOOR: f64 = 1e-4;

/// Population stability index: Σ (c - r) ln(c / r) over shares. An empty cell counts as a share of 0.0001, or a millionth
/// of the least share of its side if that is not above 0.0001, which is Evidently's rule.
pub fn population_stability(reference: &[u64], current: &[u64]) -> Option<f64> {
    let (r, c) = (floored(&shares(reference)?), floored(&shares(current)?));
    (r.len() == c.len()).then(|| r.iter().zip(&c).map(|(r, c)| (c - r) * (c / r).ln()).sum())
}

/// Jensen-Shannon distance, the root of the divergence, with logarithms to `base` (2 makes it 0 to 1, e is SciPy's and
/// Evidently's default). `None` too when the base is not above 1.
pub fn jensen_shannon(reference: &[u64], current: &[u64], base: f64) -> Option<f64> {
    let (r, c) = paired(reference, current)?;
    if !(base > 1.0 && base.is_finite()) {
        return None;
    }
    let entropy = |p: f64, m: f64| if p > 0.0 { p * (p / m).ln() } else { 0.0 };
    let sum: f64 = r.iter().zip(&c).map(|(r, c)| entropy(*r, (r + c) / 2.0) + entropy(*c, (r + c) / 2.0)).sum();
    Some((sum.max(0.0) / base.ln() / 2.0).sqrt())
}

/// Hellinger distance, 0 to 1.
pub fn hellinger(reference: &[u64], current: &[u64]) -> Option<f64> {
    let (r, c) = paired(reference, current)?;
    let sum: f64 = r.iter().zip(&c).map(|(r, c)| (r.sqrt() - c.sqrt()).powi(2)).sum();
    Some((sum / 2.0).sqrt())
}

/// The greatest difference of a share, 0 to 1.
pub fn l_infinity(reference: &[u64], current: &[u64]) -> Option<f64> {
    let (r, c) = paired(reference, current)?;
    Some(r.iter().zip(&c).map(|(r, c)| (r - c).abs()).fold(0.0, f64::max))
}

fn paired(reference: &[u64], current: &[u64]) -> Option<(Vec<f64>, Vec<f64>)> {
    let (r, c) = (shares(reference)?, shares(current)?);
    (r.len() == c.len()).then_some((r, c))
}

fn shares(counts: &[u64]) -> Option<Vec<f64>> {
    let total: f64 = counts.iter().map(|count| *count as f64).sum();
    (total > 0.0).then(|| counts.iter().map(|count| *count as f64 / total).collect())
}

fn floored(shares: &[f64]) -> Vec<f64> {
    let least = shares.iter().copied().filter(|share| *share > 0.0).fold(1.0, f64::min);
    let floor = if least <= FLOOR { least / 1e6 } else { FLOOR };
    shares.iter().map(|share| if *share > 0.0 { *share } else { floor }).collect()
}
