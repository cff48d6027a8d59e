//! How far predicted numbers were off. Pairs with NaN are left out; `None` when nothing is left or the lengths differ.

/// √(mean of squared errors), in the unit of the values.
pub fn root_mean_squared_error(truths: &[f64], predictions: &[f64]) -> Option<f64> {
    mean(truths, predictions, |error| error * error).map(f64::sqrt)
}

/// Mean of absolute errors, in the unit of the values.
pub fn mean_absolute_error(truths: &[f64], predictions: &[f64]) -> Option<f64> {
    mean(truths, predictions, f64::abs)
}

fn mean(truths: &[f64], predictions: &[f64], of: impl Fn(f64) -> f64) -> Option<f64> {
    if truths.len() != predictions.len() {
        return None;
    }
    let errors = truths.iter().zip(predictions).map(|(truth, predicted)| truth - predicted);
    let (sum, count) = errors.filter(|e| !e.is_nan()).fold((0.0, 0u64), |(sum, n), error| (sum + of(error), n + 1));
    (count > 0).then(|| sum / count as f64)
}
