//! Shares of successes or failures.

use super::special::normal_above;
use super::{Alternative, Test};

/// So many of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Share {
    /// How many were so.
    pub count: u64,
    /// Of how many.
    pub of: u64,
}

impl Share {
    /// `count` of `of`, at most all.
    pub fn new(count: u64, of: u64) -> Self {
        Self { count: count.min(of), of }
    }

    /// 0 to 1; `None` of nothing.
    pub fn value(self) -> Option<f64> {
        (self.of > 0).then(|| self.count as f64 / self.of as f64)
    }
}

/// The z-test with the pooled share: the statistic is z, positive when the first share is greater. Two shares that are
/// both 0 or both 1 do not differ (z 0). `None` when one side is of nothing.
pub fn two_proportions(first: Share, second: Share, alternative: Alternative) -> Option<Test> {
    let (p1, p2) = (first.value()?, second.value()?);
    let pooled = (first.count + second.count) as f64 / (first.of + second.of) as f64;
    let variance = pooled * (1.0 - pooled) * (1.0 / first.of as f64 + 1.0 / second.of as f64);
    let statistic = if variance > 0.0 { (p1 - p2) / variance.sqrt() } else { 0.0 };
    let p = match alternative {
        Alternative::TwoSided => 2.0 * normal_above(statistic.abs()),
        Alternative::Less => normal_above(-statistic),
        Alternative::Greater => normal_above(statistic),
    };
    Some(Test { statistic, p })
}

/// Wilson's interval of a share, for `z` standard errors (1.96 for 95 %). It stays within 0 to 1 and is sound for few values.
pub fn wilson(share: Share, z: f64) -> Option<(f64, f64)> {
    let (p, n) = (share.value()?, share.of as f64);
    let z2 = z * z;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    Some(((centre - half).max(0.0), (centre + half).min(1.0)))
}

/// Chernoff's bound on the probability of so great a share (or a greater one) when each is so with probability `p`:
/// exp(-n KL(share, p)). 1 when the share is not above `p`. It holds for every n, so few values need no rule of their own.
pub fn chernoff_above(share: Share, p: f64) -> f64 {
    let Some(seen) = share.value().filter(|seen| *seen > p) else { return 1.0 };
    if p <= 0.0 {
        return 0.0;
    }
    let rest = if seen < 1.0 { (1.0 - seen) * ((1.0 - seen) / (1.0 - p)).ln() } else { 0.0 };
    (-(share.of as f64) * (seen * (seen / p).ln() + rest)).exp()
}
