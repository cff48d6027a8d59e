//! The decision, from numbers alone: whoever has policy and numbers comes to the same verdict.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::compare::{Difference, compare};
use super::metrics::Terms;
use super::sample::{Sample, Side};
use super::spec::{Metric, Policy};
use crate::columns::Fault;

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Evaluation {
    /// The file's name, as it was given.
    pub file: String,
    /// SHA-256 of the file of held-out rows, in hex.
    pub sha256: String,
    /// Its rows.
    pub rows: u64,
    /// The model's metrics; one that is undefined is left out.
    pub challenger: BTreeMap<Metric, f64>,
    /// The serving model's, if the file has its columns.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub champion: BTreeMap<Metric, f64>,
    /// How they compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Difference>,
    /// The file has the serving model's columns.
    #[serde(default)]
    pub has_champion: bool,
}

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The model may go on.
    Pass,
    /// It is too weak.
    Refuse,
    /// The rows prove neither.
    Inconclusive,
}

impl Verdict {
    /// As decisions have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "Pass",
            Self::Refuse => "Refuse",
            Self::Inconclusive => "Inconclusive",
        }
    }
}

/// Measures what a policy asks for.
///
/// # Errors
/// When a comparison would take too long.
pub fn evaluate(policy: &Policy, sample: &Sample, file: &str) -> Result<Evaluation, Fault> {
    let measure = |side: &Side| {
        let value = |metric: Metric| Some((metric, Terms::new(metric, sample, side)?.value(None)?));
        Metric::ALL.into_iter().filter_map(value).collect()
    };
    let comparison = match (&policy.comparison, &sample.champion) {
        (Some(comparison), Some(champion)) => compare(sample, champion, comparison)?,
        _ => None,
    };
    Ok(Evaluation {
        file: file.to_owned(),
        sha256: sample.sha256.clone(),
        rows: sample.rows() as u64,
        challenger: measure(&sample.challenger),
        champion: sample.champion.as_ref().map(measure).unwrap_or_default(),
        comparison,
        has_champion: sample.champion.is_some(),
    })
}

/// Decides. Every reason is a sentence with its numbers; what refuses weighs more than what is open.
pub fn decide(policy: &Policy, evaluation: &Evaluation) -> (Verdict, Vec<String>) {
    let mut found = Vec::new();
    if evaluation.rows < policy.min_rows {
        let few = format!("{} rows prove nothing: {} are needed", evaluation.rows, policy.min_rows);
        found.push((Verdict::Inconclusive, few));
    }
    for threshold in &policy.thresholds {
        let name = threshold.metric.name();
        let Some(value) = evaluation.challenger.get(&threshold.metric) else {
            found.push((Verdict::Refuse, format!("{name} could not be measured")));
            continue;
        };
        let bounds = [(threshold.min, "at least", *value), (threshold.max, "at most", -*value)];
        for (bound, words, signed) in bounds {
            let Some(bound) = bound else { continue };
            let signed_bound = if words == "at most" { -bound } else { bound };
            let verdict = if signed >= signed_bound { Verdict::Pass } else { Verdict::Refuse };
            found.push((verdict, format!("{name} is {value:.6}, and must be {words} {bound}")));
        }
    }
    if let Some(comparison) = &policy.comparison {
        let name = comparison.metric.name();
        let percent = comparison.confidence * 100.0;
        found.push(match &evaluation.comparison {
            Some(Difference { difference, lower, upper, .. }) => {
                let least = -comparison.margin;
                let verdict = if *lower > least {
                    Verdict::Pass
                } else if *upper < least {
                    Verdict::Refuse
                } else {
                    Verdict::Inconclusive
                };
                let words = format!(
                    "{name} is better than the serving model's by {difference:.6}, at {percent} % between {lower:.6} and \
                     {upper:.6}, and must be above {least}"
                );
                (verdict, words)
            }
            None if comparison.optional && !evaluation.has_champion => {
                (Verdict::Pass, "there is no serving model to compare with".to_owned())
            }
            None => (Verdict::Refuse, format!("{name} could not be compared with the serving model's")),
        });
    }
    let any = |wanted: Verdict| found.iter().any(|(verdict, _)| *verdict == wanted);
    let verdict = match (any(Verdict::Refuse), any(Verdict::Inconclusive)) {
        (true, _) => Verdict::Refuse,
        (false, true) => Verdict::Inconclusive,
        (false, false) => Verdict::Pass,
    };
    let reasons = found.into_iter().map(|(verdict, words)| format!("{}: {words}", verdict.name())).collect();
    (verdict, reasons)
}

#[cfg(test)]
mod tests;
