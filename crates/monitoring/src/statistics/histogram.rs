//! Bins of numbers.

use super::Sorted;

/// No set of bins has more.
pub const MOST_BINS: usize = 10_000;

/// Edges between bins. Bin `i` has the values above edge `i - 1` and not above edge `i`; the first and last are open, so
/// that every value, infinities included, is in one bin.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Bins {
    edges: Vec<f64>,
    /// Bins as NumPy's `histogram` has them: a value on an edge is above it, and what is outside is left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    numpy: bool,
}

impl Bins {
    /// `parts` bins that each have the same share of the reference (10: deciles). Equal edges, which ties make, are one;
    /// a constant reference has two bins, up to the constant and above.
    pub fn quantiles(reference: &Sorted, parts: usize) -> Option<Self> {
        let parts = parts.clamp(2, MOST_BINS);
        let mut edges: Vec<f64> = Vec::with_capacity(parts);
        for part in 1..parts {
            let edge = reference.quantile(part as f64 / parts as f64)?;
            if edges.last() != Some(&edge) {
                edges.push(edge);
            }
        }
        Some(Self { edges, numpy: false })
    }

    /// Bins of equal width over both samples, as many as Sturges' rule says (1 + log2 n), which is what Evidently does.
    /// `None` when a sample is empty or has infinities.
    pub fn sturges(reference: &Sorted, current: &Sorted) -> Option<Self> {
        let (a, b) = (reference.values(), current.values());
        let (low, high) = (a.first()?.min(*b.first()?), a.last()?.max(*b.last()?));
        if !(low.is_finite() && high.is_finite() && (high - low).is_finite()) {
            return None;
        }
        let total = (a.len() + b.len()) as f64;
        let count = if low == high { 1 } else { (total.log2() + 1.0).ceil() as usize };
        let (low, high) = if low == high { (low - 0.5, high + 0.5) } else { (low, high) };
        let step = (high - low) / count as f64;
        let mut edges: Vec<f64> = (0..=count).map(|at| at as f64 * step + low).collect();
        edges[count] = high;
        Some(Self { edges, numpy: true })
    }

    /// Edges, ascending.
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// How many values are in each bin. Sorted values are cut at the edges, so it takes bins × log values.
    pub fn counts(&self, sample: &Sorted) -> Vec<u64> {
        let values = sample.values();
        let below = |edge: f64| values.partition_point(|value| if self.numpy { *value < edge } else { *value <= edge });
        let mut cuts: Vec<usize> = self.edges.iter().map(|edge| below(*edge)).collect();
        if self.numpy {
            // The last bin has its upper edge too.
            if let (Some(cut), Some(edge)) = (cuts.last_mut(), self.edges.last()) {
                *cut = values.partition_point(|value| value <= edge);
            }
        } else {
            cuts.insert(0, 0);
            cuts.push(values.len());
        }
        cuts.windows(2).map(|pair| (pair[1] - pair[0]) as u64).collect()
    }

    /// The bin of one value, for windows that count as values come; `None` for NaN and for what is outside.
    pub fn place(&self, value: f64) -> Option<usize> {
        if value.is_nan() {
            return None;
        }
        if !self.numpy {
            return Some(self.edges.partition_point(|edge| *edge < value));
        }
        let (first, last) = (self.edges.first()?, self.edges.last()?);
        let inside = value >= *first && value <= *last;
        inside.then(|| (self.edges.partition_point(|edge| *edge <= value) - 1).min(self.edges.len() - 2))
    }

    /// How many bins there are.
    pub fn len(&self) -> usize {
        if self.numpy { self.edges.len() - 1 } else { self.edges.len() + 1 }
    }

    /// Never: there is at least one bin.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
