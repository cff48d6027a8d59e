//! What a gate demands: the `spec` of the kind, as people write it.

use mcplane_core::{FieldError, FieldReason};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a model must show on data that it has not seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// Where things are in the file of held-out rows.
    pub columns: Columns,
    /// The label whose detection F1, AUC and log loss measure; for two classes.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub positive: Value,
    /// Fewer rows prove nothing.
    #[serde(default = "least_rows")]
    pub min_rows: u64,
    /// What the model must reach by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<Threshold>,
    /// How it must compare with the model that serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
}

fn one() -> Value {
    Value::from(1)
}

fn is_one(value: &Value) -> bool {
    *value == one()
}

fn least_rows() -> u64 {
    100
}

/// Columns of the file of held-out rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Columns {
    /// What is true.
    pub label: String,
    /// What the model says: a class, or a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<String>,
    /// How probable it finds the positive class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<String>,
    /// What the serving model says of the same rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion_prediction: Option<String>,
    /// How probable the serving model finds the positive class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion_score: Option<String>,
}

/// A measure of predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Metric {
    /// Part of the predictions that are right.
    Accuracy,
    /// Harmonic mean of precision and recall of the positive class; 0 where both are undefined.
    F1,
    /// Probability that a positive row has a higher score than a negative one; equal scores count half.
    Auc,
    /// Mean negative logarithm of the probability given to what is true, in nats.
    LogLoss,
    /// Root of the mean squared error.
    Rmse,
    /// Mean absolute error.
    Mae,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Accuracy, Self::F1, Self::Auc, Self::LogLoss, Self::Rmse, Self::Mae];

    /// As contracts and reports write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::F1 => "f1",
            Self::Auc => "auc",
            Self::LogLoss => "logLoss",
            Self::Rmse => "rmse",
            Self::Mae => "mae",
        }
    }

    /// Whether more is better.
    pub fn more_is_better(self) -> bool {
        matches!(self, Self::Accuracy | Self::F1 | Self::Auc)
    }

    /// Whether it is of scores, not of predictions.
    pub fn of_scores(self) -> bool {
        matches!(self, Self::Auc | Self::LogLoss)
    }
}

/// A bound of a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Threshold {
    /// The metric.
    pub metric: Metric,
    /// No less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// No more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// How a difference's interval is found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Method {
    /// Rows are drawn again and again, both models' together (the paired bootstrap with percentiles); for any metric.
    #[default]
    Bootstrap,
    /// From the rows on which just one is right, with McNemar's exact test beside it; for accuracy.
    Mcnemar,
}

/// What is demanded of the difference to the serving model, where positive is better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Comparison {
    /// The metric.
    pub metric: Metric,
    /// How much worse it may be. The difference's whole interval must lie above this, negated.
    #[serde(default)]
    pub margin: f64,
    /// Of the two-sided interval, between 0 and 1.
    #[serde(default = "usual_confidence")]
    pub confidence: f64,
    /// How the interval is found.
    #[serde(default)]
    pub method: Method,
    /// Draws of the bootstrap.
    #[serde(default = "usual_resamples")]
    pub resamples: u32,
    /// What the bootstrap's draws begin from: the same seed, the same numbers.
    #[serde(default)]
    pub seed: u64,
    /// A file without the serving model's columns is judged by the thresholds alone, as for a first version.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

fn usual_confidence() -> f64 {
    0.95
}

fn usual_resamples() -> u32 {
    1_000
}

/// Draws of a bootstrap.
const RESAMPLES: std::ops::RangeInclusive<u32> = 100..=20_000;
/// Thresholds of a gate.
const MOST_THRESHOLDS: usize = 32;

impl Policy {
    /// Every rule of gates that this one breaks.
    pub fn faults(&self) -> Vec<FieldError> {
        let mut faults = Vec::new();
        if self.thresholds.is_empty() && self.comparison.is_none() {
            faults.push(FieldError::required("spec.thresholds", "a gate without thresholds needs a comparison"));
        }
        if self.thresholds.len() > MOST_THRESHOLDS {
            let most = format!("a gate has at most {MOST_THRESHOLDS}");
            faults.push(FieldError::new("spec.thresholds", FieldReason::TooMany, most));
        }
        for (index, threshold) in self.thresholds.iter().enumerate() {
            let path = format!("spec.thresholds[{index}]");
            let bounds = [threshold.min, threshold.max];
            if bounds.iter().all(Option::is_none) || bounds.iter().flatten().any(|bound| !bound.is_finite()) {
                faults.push(FieldError::required(&path, "min or max must be given, as finite numbers"));
            }
            self.needs(threshold.metric, false, &path, &mut faults);
        }
        if let Some(comparison) = &self.comparison {
            self.compare_faults(comparison, &mut faults);
        }
        let of = |metric: Metric| matches!(metric, Metric::Rmse | Metric::Mae);
        let metrics: Vec<Metric> = self.metrics().collect();
        if metrics.iter().any(|metric| of(*metric)) && !metrics.iter().all(|metric| of(*metric)) {
            let detail = "rmse and mae are of numbers, the others of classes: use two gates";
            faults.push(FieldError::new("spec.thresholds", FieldReason::Invalid, detail));
        }
        faults
    }

    fn compare_faults(&self, comparison: &Comparison, faults: &mut Vec<FieldError>) {
        let path = "spec.comparison";
        for champion in [false, true] {
            self.needs(comparison.metric, champion, path, faults);
        }
        if !(comparison.confidence > 0.0 && comparison.confidence < 1.0) {
            let detail = "must be between 0 and 1";
            faults.push(FieldError::invalid(format!("{path}.confidence"), comparison.confidence, detail));
        }
        if !(comparison.margin.is_finite() && comparison.margin >= 0.0) {
            faults.push(FieldError::invalid(format!("{path}.margin"), comparison.margin, "must not be negative"));
        }
        if !RESAMPLES.contains(&comparison.resamples) {
            let detail = format!("must be from {} to {}", RESAMPLES.start(), RESAMPLES.end());
            faults.push(FieldError::invalid(format!("{path}.resamples"), comparison.resamples, detail));
        }
        if comparison.method == Method::Mcnemar && comparison.metric != Metric::Accuracy {
            faults.push(FieldError::invalid(format!("{path}.method"), "mcnemar", "is for accuracy"));
        }
    }

    /// Metrics that are to be measured, of the model itself.
    pub fn metrics(&self) -> impl Iterator<Item = Metric> {
        let named = self.thresholds.iter().map(|threshold| threshold.metric);
        named.chain(self.comparison.iter().map(|comparison| comparison.metric))
    }

    fn needs(&self, metric: Metric, champion: bool, path: &str, faults: &mut Vec<FieldError>) {
        let Columns { prediction, score, champion_prediction, champion_score, .. } = &self.columns;
        let (column, field) = match (metric.of_scores(), champion) {
            (false, false) => (prediction, "prediction"),
            (true, false) => (score, "score"),
            (false, true) => (champion_prediction, "championPrediction"),
            (true, true) => (champion_score, "championScore"),
        };
        if column.is_none() {
            faults.push(FieldError::required(format!("spec.columns.{field}"), format!("{path} needs it")));
        }
    }
}
