//! A test that may be looked at as often as one likes: the mixture sequential probability ratio test for the difference of
//! two means (Robbins 1970; Johari, Koomen, Pekelis and Walsh, "Always Valid Inference", Operations Research 70, 2022).
//!
//! With d the difference of the means and V the variance of d, the likelihood ratio of "the difference is drawn from
//! N(0, τ²)" to "there is none" is
//!
//! Λ = √(V / (V + τ²)) · exp(τ² d² / (2 V (V + τ²))).
//!
//! Under "there is none" Λ is a martingale that starts at 1, so by Ville's inequality the probability that it *ever*
//! reaches 1/α is at most α, whenever and how often one looks. V comes from the sample, so this holds as samples grow;
//! [`Sequential::least`] is the number of values a side before which nothing is decided. Samples of differing size are fine.

/// Count, mean and variance of a stream, in constant space (Welford); two can be added.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Moments {
    /// How many values.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    squares: f64,
}

impl Moments {
    /// Of `count` outcomes of which `successes` were 1 and the others 0.
    pub fn of_share(share: super::Share) -> Self {
        let mean = share.value().unwrap_or(0.0);
        Self { count: share.of, mean, squares: share.of as f64 * mean * (1.0 - mean) }
    }

    /// One more value; anything not finite is left out.
    pub fn add(&mut self, value: f64) {
        if value.is_finite() {
            self.count += 1;
            let before = value - self.mean;
            self.mean += before / self.count as f64;
            self.squares += before * (value - self.mean);
        }
    }

    /// Both together.
    pub fn merged(self, other: Self) -> Self {
        let count = self.count + other.count;
        if count == 0 {
            return self;
        }
        let apart = other.mean - self.mean;
        let share = other.count as f64 / count as f64;
        let squares = self.squares + other.squares + apart * apart * self.count as f64 * share;
        Self { count, mean: self.mean + apart * share, squares }
    }

    /// Variance of the values (divided by n - 1).
    pub fn variance(self) -> Option<f64> {
        (self.count > 1).then(|| (self.squares / (self.count - 1) as f64).max(0.0))
    }
}

/// Settings of the test.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Sequential {
    /// The probability ever to call two equal sides different.
    pub alpha: f64,
    /// τ, the size of difference at which the test is quickest, in the unit of the values. It changes power, not `alpha`.
    pub scale: f64,
    /// Values that each side must have.
    pub least: u64,
}

impl Default for Sequential {
    fn default() -> Self {
        Self { alpha: 0.01, scale: 0.05, least: 50 }
    }
}

impl Sequential {
    /// The p-value of the difference of means; take the least ever seen. `None` before there is enough.
    pub fn p(&self, first: Moments, second: Moments) -> Option<f64> {
        if first.count.min(second.count) < self.least.max(2) {
            return None;
        }
        always_valid_p(first.mean - second.mean, variance_of_difference(first, second)?, self.scale)
    }
}

/// V: both variances over their counts. Where all values of a side are equal its variance is unknown rather than 0, so each
/// side gets at least what one value of the pooled spread would give it.
fn variance_of_difference(first: Moments, second: Moments) -> Option<f64> {
    let pooled = first.merged(second).variance()?;
    let of = |side: Moments| side.variance().map(|own| own.max(pooled / side.count as f64) / side.count as f64);
    Some(of(first)? + of(second)?)
}

/// min(1, 1/Λ) for a difference with a variance; `scale` is τ. A difference without any variance is certain.
pub fn always_valid_p(difference: f64, variance: f64, scale: f64) -> Option<f64> {
    let usable = difference.is_finite() && variance >= 0.0 && variance.is_finite() && scale > 0.0 && scale.is_finite();
    if !usable {
        return None;
    }
    if variance == 0.0 {
        return Some(if difference == 0.0 { 1.0 } else { 0.0 });
    }
    let wider = variance + scale * scale;
    let log = 0.5 * (variance / wider).ln() + scale * scale * difference * difference / (2.0 * variance * wider);
    Some((-log).exp().min(1.0))
}
