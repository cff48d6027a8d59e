//! A sample in order: what the exact distances are computed from. A reference is sorted once and kept.

/// Values in ascending order, without NaN.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sorted {
    values: Vec<f64>,
    missing: usize,
}

impl Sorted {
    /// Sorts a sample; NaN is counted and left out, and -0 is 0.
    pub fn new(sample: &[f64]) -> Self {
        let mut keys: Vec<u64> = sample.iter().filter(|value| !value.is_nan()).map(|value| key(*value)).collect();
        // Integers of the same order as the numbers compare without branches.
        keys.sort_unstable();
        let missing = sample.len() - keys.len();
        Self { values: keys.into_iter().map(value).collect(), missing }
    }

    /// Two samples as one, in linear time.
    pub fn merged(&self, other: &Self) -> Self {
        let mut values = Vec::with_capacity(self.len() + other.len());
        let (mut left, mut right) = (self.values.as_slice(), other.values.as_slice());
        while let (Some(a), Some(b)) = (left.first(), right.first()) {
            let side = if a <= b { &mut left } else { &mut right };
            values.push(a.min(*b));
            *side = &side[1..];
        }
        values.extend_from_slice(left);
        values.extend_from_slice(right);
        Self { values, missing: self.missing + other.missing }
    }

    /// Values in ascending order.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// How many NaN were left out.
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// The quantile `q` within 0 to 1, linear between neighbours, as NumPy's default (Hyndman and Fan's type 7).
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let last = self.len().checked_sub(1)?;
        let position = q.clamp(0.0, 1.0) * last as f64;
        let low = self.values[position.floor() as usize];
        let high = self.values[position.ceil() as usize];
        Some(if low == high { low } else { low + (high - low) * position.fract() })
    }

    /// Mean of the values.
    pub fn mean(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.values.iter().sum::<f64>() / self.len() as f64)
    }

    /// Standard deviation of the values as a population (divided by n).
    pub fn deviation(&self) -> Option<f64> {
        let mean = self.mean()?;
        let squares: f64 = self.values.iter().map(|value| (value - mean).powi(2)).sum();
        Some((squares / self.len() as f64).sqrt())
    }
}

/// An integer that compares as the number does.
fn key(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

fn value(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn order_is_that_of_numbers(sample in prop::collection::vec(prop::num::f64::ANY, 0..50), cut in 0usize..50) {
            let sorted = Sorted::new(&sample);
            let mut expected: Vec<f64> = sample.iter().copied().filter(|value| !value.is_nan()).collect();
            expected.sort_by(|a, b| a.partial_cmp(b).unwrap());
            prop_assert_eq!(sorted.values(), expected.as_slice());
            prop_assert_eq!(sorted.missing() + sorted.len(), sample.len());
            let (head, tail) = sample.split_at(cut.min(sample.len()));
            prop_assert_eq!(Sorted::new(head).merged(&Sorted::new(tail)), sorted);
        }
    }

    #[test]
    fn quantiles_of_little() {
        assert_eq!(Sorted::new(&[f64::NAN]).quantile(0.5), None);
        assert_eq!(Sorted::new(&[3.0]).quantile(0.9), Some(3.0));
        assert_eq!(Sorted::new(&[1.0, 2.0]).quantile(0.25), Some(1.25));
        assert_eq!(Sorted::new(&[f64::NEG_INFINITY, f64::INFINITY]).quantile(1.0), Some(f64::INFINITY));
    }
}
