//! The difference between two models on the same rows, and how sure it is.

use serde::{Deserialize, Serialize};
use statrs::distribution::{Binomial, ContinuousCDF as _, DiscreteCDF as _, Normal};

use super::metrics::Terms;
use super::sample::{Outcomes, Sample, Side};
use super::spec::{Comparison, Method};
use crate::columns::Fault;

/// Draws of rows that one comparison may make: some minutes.
const MOST_DRAWS: u64 = 20_000_000_000;

/// A difference; positive is better for the new model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// What it is on these rows.
    pub difference: f64,
    /// Lower end of the two-sided interval.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// Of McNemar's exact two-sided test, that both are right equally often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_value: Option<f64>,
}

/// Compares the two models of a sample; `None` if one of them does not say what the metric is of, or it is undefined.
///
/// # Errors
/// When it would take too long.
pub(super) fn compare(sample: &Sample, champion: &Side, policy: &Comparison) -> Result<Option<Difference>, Fault> {
    let ours = Terms::new(policy.metric, sample, &sample.challenger);
    let theirs = Terms::new(policy.metric, sample, champion);
    let (Some(ours), Some(theirs)) = (ours, theirs) else { return Ok(None) };
    let sign = if policy.metric.more_is_better() { 1.0 } else { -1.0 };
    let difference = |weights: Option<&[u32]>| Some(sign * (ours.value(weights)? - theirs.value(weights)?));
    let Some(observed) = difference(None) else { return Ok(None) };
    match policy.method {
        Method::Mcnemar => Ok(mcnemar(sample, champion, policy.confidence)),
        Method::Bootstrap => {
            let rows = sample.rows();
            if rows as u64 * u64::from(policy.resamples) > MOST_DRAWS {
                let message =
                    format!("{} draws of {rows} rows take too long: fewer of either will do", policy.resamples);
                return Err(Fault::new(message));
            }
            let mut random = SplitMix(policy.seed);
            let mut weights = vec![0; rows];
            let mut found = Vec::with_capacity(policy.resamples as usize);
            for _ in 0..policy.resamples {
                weights.fill(0);
                (0..rows).for_each(|_| weights[random.below(rows)] += 1);
                found.extend(difference(Some(&weights)));
            }
            // A draw in which the metric is undefined, such as one without positives, says nothing; too many say too little.
            if found.len() * 2 < policy.resamples as usize {
                return Ok(None);
            }
            found.sort_unstable_by(f64::total_cmp);
            let tail = (1.0 - policy.confidence) / 2.0;
            let (lower, upper) = (quantile(&found, tail), quantile(&found, 1.0 - tail));
            Ok(Some(Difference { difference: observed, lower, upper, p_value: None }))
        }
    }
}

/// The quantile of sorted values, between which it is linear (Hyndman and Fan's seventh definition, NumPy's default).
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = part * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let (low, high) = (sorted[below], sorted[(below + 1).min(sorted.len() - 1)]);
    low + (high - low) * (place - below as f64)
}

/// Of paired proportions: Wald's interval (Agresti, "Categorical Data Analysis", 11.1.1) and McNemar's exact test.
fn mcnemar(sample: &Sample, champion: &Side, confidence: f64) -> Option<Difference> {
    let (Outcomes::Classes(truth), Some(Outcomes::Classes(ours)), Some(Outcomes::Classes(theirs))) =
        (&sample.truth, &sample.challenger.predictions, &champion.predictions)
    else {
        return None;
    };
    let (mut gained, mut lost) = (0_u64, 0_u64);
    for ((truth, ours), theirs) in truth.iter().zip(ours).zip(theirs) {
        match (ours == truth, theirs == truth) {
            (true, false) => gained += 1,
            (false, true) => lost += 1,
            _ => {}
        }
    }
    interval(gained, lost, truth.len() as u64, confidence)
}

fn interval(gained: u64, lost: u64, rows: u64, confidence: f64) -> Option<Difference> {
    let (n, discordant) = (rows as f64, gained + lost);
    let net = gained as f64 - lost as f64;
    let difference = net / n;
    let deviation = (discordant as f64 - net * net / n).max(0.0).sqrt() / n;
    let reach = Normal::standard().inverse_cdf(f64::midpoint(1.0, confidence)) * deviation;
    let p_value = match discordant {
        0 => 1.0,
        count => (2.0 * Binomial::new(0.5, count).ok()?.cdf(gained.min(lost))).min(1.0),
    };
    Some(Difference { difference, lower: difference - reach, upper: difference + reach, p_value: Some(p_value) })
}

/// `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators"): a seed gives the same numbers on
/// every machine and in every version, so that a decision can be made again.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, by multiplication; its bias is below 2⁻⁴⁰ for any sample that is taken.
    fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of `numpy.quantile`, and of `scipy.stats`: `binomtest(min(b, c), b + c).pvalue`, `norm.ppf`.
    #[test]
    fn numbers_are_those_of_others() {
        assert!((quantile(&[1.0, 2.0, 4.0, 8.0], 0.4) - 2.4).abs() < 1e-12);
        for (gained, lost, rows, confidence, lower, p_value) in [
            (25, 10, 1_000, 0.95, 0.0034420274057411684, 0.016673847800120715),
            (10, 25, 1_000, 0.99, -0.030189750797841045, 0.016673847800120715),
            (5200, 5000, 100_000, 0.95, 2.0572219363591045e-05, 0.04878796312682234),
            (0, 3, 10, 0.8, -0.48571446555975695, 0.25),
        ] {
            let found = interval(gained, lost, rows, confidence).unwrap();
            assert!((found.lower - lower).abs() < 1e-9, "{found:?}");
            assert!((found.p_value.unwrap() - p_value).abs() < 1e-9, "{found:?}");
        }
        assert_eq!(interval(0, 0, 10, 0.95).unwrap().p_value, Some(1.0));
    }

    #[test]
    fn draws_are_those_of_the_paper() {
        let mut random = SplitMix(1_234_567);
        assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }
}
