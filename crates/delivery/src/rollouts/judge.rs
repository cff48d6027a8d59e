//! Is the new version worse than the stable one? Pure.

use mcplane_monitoring::bands::{Band, Level, Reading, Verdict as BandVerdict};
use mcplane_monitoring::statistics::{Moments, Sequential, Share, always_valid_p};
use serde::{Deserialize, Serialize};

/// How two versions are compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Comparison {
    /// The probability that a version as good as the stable one is ever found to differ, over all metrics and looks.
    pub alpha: f64,
    /// Requests, or labels, that each version must have before anything is said.
    pub least: u64,
    /// How much worse a share may be and still count as the same (0.02: two percentage points).
    pub share_margin: f64,
    /// How much longer latency may be and still count as the same, as a part of the stable version's.
    pub latency_margin: f64,
    /// Milliseconds by which latency may be longer and still count as the same, however short the stable version's is: a
    /// small model in process takes one, and no caller minds a second one.
    pub latency_slack: f64,
    /// Lines of normal and alert for accuracy.
    pub accuracy: Band,
    /// Lines of normal and alert for the share of errors.
    pub errors: Band,
    /// Lines of normal and alert for mean latency in milliseconds.
    pub latency: Band,
}

impl Default for Comparison {
    fn default() -> Self {
        Self {
            alpha: 0.01,
            least: 100,
            share_margin: 0.02,
            latency_margin: 0.2,
            latency_slack: 5.0,
            accuracy: Band::ACCURACY,
            errors: Band::ERRORS,
            latency: Band::LATENCY,
        }
    }
}

impl Comparison {
    pub(super) fn fault(&self) -> Option<&'static str> {
        let margins = [self.share_margin, self.latency_margin];
        if !(self.alpha > 0.0 && self.alpha < 1.0) {
            Some("alpha must be above 0 and below 1")
        } else if margins.iter().any(|margin| !(*margin > 0.0 && margin.is_finite())) {
            Some("margins must be above 0")
        } else if !(self.latency_slack >= 0.0 && self.latency_slack.is_finite()) {
            Some("latencySlack must be 0 or above")
        } else {
            [self.accuracy, self.errors, self.latency].iter().find_map(Band::fault)
        }
    }
}

/// What one version did since the stage began.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Requests that failed, of all.
    pub errors: Share,
    /// Latency in milliseconds.
    pub latency: Moments,
    /// Right predictions, of those with labels.
    pub right: Share,
}

/// What is said of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Something is better, and nothing is worse.
    Better,
    /// Nothing is worse by more than the margins.
    Same,
    /// Something is worse, or is beyond its alert line where the stable version is not.
    Worse,
    /// There is too little to say anything.
    TooLittleTraffic,
    /// There is enough to look at, and it speaks for nothing yet.
    Inconclusive,
}

/// Which number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Metric {
    /// Share of requests that failed.
    Errors,
    /// Mean latency in milliseconds.
    Latency,
    /// Share of right predictions.
    Accuracy,
}

/// One number of both versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// Which.
    pub metric: Metric,
    /// Of the new version.
    pub version: Option<f64>,
    /// Of the stable version.
    pub stable: Option<f64>,
    /// Values of the new version.
    pub values: u64,
    /// That they are equal, valid at every look; of the comparison of all metrics.
    pub p: Option<f64>,
    /// What it says.
    pub verdict: Verdict,
}

/// A verdict with its numbers, as the audit log keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// Of all metrics together.
    pub verdict: Verdict,
    /// Each metric.
    pub metrics: Vec<Measured>,
}

impl Judgement {
    /// The numbers in a sentence.
    pub fn reason(&self) -> String {
        let mut told: Vec<String> = Vec::new();
        for one in self.metrics.iter().filter(|one| self.verdict != Verdict::Worse || one.verdict == Verdict::Worse) {
            let (name, unit) = match one.metric {
                Metric::Errors => ("errors", ""),
                Metric::Latency => ("latency", " ms"),
                Metric::Accuracy => ("accuracy", ""),
            };
            let number = |value: Option<f64>| value.map_or_else(|| "?".to_owned(), |value| format!("{value:.4}{unit}"));
            let p = one.p.map_or_else(String::new, |p| format!(" (p {p:.2e})"));
            told.push(format!("{name} {} against {}{p} of {}", number(one.version), number(one.stable), one.values));
        }
        told.join("; ")
    }
}

/// One metric, turned so that greater is worse.
struct Pair {
    metric: Metric,
    version: Moments,
    stable: Moments,
    shown: (Option<f64>, Option<f64>),
    margin: f64,
    /// The size of difference at which the test is quickest.
    scale: f64,
    band: Band,
    readings: (Reading, Reading),
}

/// Compares two versions over the same time; when a stage leaves the stable version nothing, its sample is that of the
/// stage before. Metrics that neither version has (no labels yet) are left out; the
/// probability of an error is shared among all three all the same.
pub fn judge(version: &Sample, stable: &Sample, comparison: &Comparison) -> Judgement {
    let wrong = |share: Share| Share::new(share.of - share.count, share.of);
    let of_share = |metric, worse: (Share, Share), shown: (Share, Share), band| Pair {
        metric,
        version: Moments::of_share(worse.0),
        stable: Moments::of_share(worse.1),
        shown: (shown.0.value(), shown.1.value()),
        margin: comparison.share_margin,
        scale: comparison.share_margin,
        band,
        readings: (Reading::Share(shown.0), Reading::Share(shown.1)),
    };
    let latency = |moments: Moments| (moments.count > 0).then_some(moments.mean);
    let reading = |moments: Moments| Reading::Number { value: latency(moments), values: moments.count };
    let part = comparison.latency_margin * stable.latency.mean.max(f64::MIN_POSITIVE);
    let longer = part.max(comparison.latency_slack);
    let pairs = [
        of_share(Metric::Errors, (version.errors, stable.errors), (version.errors, stable.errors), comparison.errors),
        Pair {
            metric: Metric::Latency,
            version: version.latency,
            stable: stable.latency,
            shown: (latency(version.latency), latency(stable.latency)),
            margin: longer,
            scale: longer,
            band: comparison.latency,
            readings: (reading(version.latency), reading(stable.latency)),
        },
        of_share(
            Metric::Accuracy,
            (wrong(version.right), wrong(stable.right)),
            (version.right, stable.right),
            comparison.accuracy,
        ),
    ];
    let alpha = comparison.alpha / pairs.len() as f64;
    let metrics: Vec<Measured> = pairs
        .iter()
        .filter(|pair| pair.metric == Metric::Errors || pair.version.count + pair.stable.count > 0)
        .map(|pair| pair.measured(alpha, comparison.least))
        .collect();
    Judgement { verdict: together(&metrics), metrics }
}

impl Pair {
    fn measured(&self, alpha: f64, least: u64) -> Measured {
        let test = Sequential { alpha, scale: self.scale, least };
        let p = test.p(self.version, self.stable);
        Measured {
            metric: self.metric,
            version: self.shown.0,
            stable: self.shown.1,
            values: self.version.count,
            p,
            verdict: self.verdict(&test, p),
        }
    }

    fn verdict(&self, test: &Sequential, p: Option<f64>) -> Verdict {
        if self.beyond_alert() {
            return Verdict::Worse;
        }
        let Some(p) = p else { return Verdict::TooLittleTraffic };
        let worse_by = self.version.mean - self.stable.mean;
        if p <= test.alpha {
            return if worse_by < 0.0 {
                Verdict::Better
            } else if worse_by > self.margin / 2.0 {
                Verdict::Worse
            } else {
                // Certainly worse, and by so little that nobody minds.
                Verdict::Same
            };
        }
        // The same when "worse by the margin" can be excluded with the same certainty.
        let variance = [self.version, self.stable].iter().map(|m| m.variance().map(|v| v / m.count as f64)).sum();
        let excluded = Option::<f64>::and_then(variance, |v| {
            // Where nothing varied, one more value could have been otherwise.
            let smallest = (self.margin / self.version.count as f64).powi(2);
            always_valid_p(self.margin - worse_by, v.max(smallest), self.scale)
        });
        let same = worse_by < self.margin && excluded.is_some_and(|p| p <= test.alpha);
        if same { Verdict::Same } else { Verdict::Inconclusive }
    }

    /// The new version is in the alert band, and the stable one is known not to be.
    fn beyond_alert(&self) -> bool {
        let level = |reading| self.band.judge(reading);
        level(self.readings.0) == BandVerdict::Judged(Level::Alert)
            && matches!(level(self.readings.1), BandVerdict::Judged(Level::Normal | Level::Warning))
    }
}

/// Worse counts whatever else; what nobody can say yet hides what is good. Labels may take days, so accuracy with too few of
/// them holds nothing up.
fn together(metrics: &[Measured]) -> Verdict {
    let has = |verdict| metrics.iter().any(|one| one.verdict == verdict);
    let too_little = |one: &Measured| one.verdict == Verdict::TooLittleTraffic && one.metric != Metric::Accuracy;
    if has(Verdict::Worse) {
        Verdict::Worse
    } else if metrics.iter().any(too_little) {
        Verdict::TooLittleTraffic
    } else if has(Verdict::Inconclusive) {
        Verdict::Inconclusive
    } else if has(Verdict::Better) {
        Verdict::Better
    } else {
        Verdict::Same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(errors: (u64, u64), ms: f64, right: (u64, u64)) -> Sample {
        let mut latency = Moments::default();
        for at in 0..errors.1 {
            latency.add(ms * (0.5 + (at % 11) as f64 / 10.0));
        }
        Sample { errors: Share::new(errors.0, errors.1), latency, right: Share::new(right.0, right.1) }
    }

    fn verdict(version: Sample, stable: Sample) -> Verdict {
        judge(&version, &stable, &Comparison::default()).verdict
    }

    #[test]
    fn each_verdict_has_its_case() {
        let stable = sample((30, 6_000), 50.0, (5_700, 6_000));
        let good = sample((30, 6_000), 50.0, (5_700, 6_000));
        assert_eq!(verdict(good, stable), Verdict::Same);
        assert_eq!(verdict(Sample::default(), stable), Verdict::TooLittleTraffic);
        assert_eq!(verdict(Sample::default(), Sample::default()), Verdict::TooLittleTraffic);
        assert_eq!(verdict(sample((360, 6_000), 50.0, (0, 0)), stable), Verdict::Worse);
        assert_eq!(verdict(sample((30, 6_000), 80.0, (0, 0)), stable), Verdict::Worse);
        assert_eq!(verdict(sample((30, 6_000), 50.0, (5_100, 6_000)), stable), Verdict::Worse);
        assert_eq!(verdict(sample((30, 6_000), 50.0, (5_970, 6_000)), stable), Verdict::Better);
        assert_eq!(verdict(sample((30, 6_000), 50.0, (9, 10)), stable), Verdict::Same, "labels come later");
        assert_eq!(verdict(sample((2, 150), 50.0, (0, 0)), sample((1, 150), 50.0, (0, 0))), Verdict::Inconclusive);
    }

    #[test]
    fn a_millisecond_more_is_no_fault() {
        let (stable, slower) = (sample((0, 300), 0.8, (0, 0)), sample((0, 300), 1.4, (0, 0)));
        assert_eq!(verdict(slower, stable), Verdict::Same);
        let strict = Comparison { latency_slack: 0.0, ..Comparison::default() };
        assert_eq!(judge(&slower, &stable, &strict).verdict, Verdict::Worse);
        assert_eq!(verdict(sample((0, 300), 9.0, (0, 0)), stable), Verdict::Worse);
    }

    #[test]
    fn a_bad_hour_for_both_is_no_fault_of_either() {
        let bad = sample((200, 2_000), 700.0, (0, 0));
        assert_ne!(verdict(bad, bad), Verdict::Worse);
        let crossed = judge(&bad, &sample((10, 2_000), 700.0, (0, 0)), &Comparison::default());
        assert_eq!(crossed.verdict, Verdict::Worse);
        assert!(crossed.reason().starts_with("errors 0.1000 against 0.0050 (p "), "{}", crossed.reason());
    }
}
