//! What people write: `spec` of a `Rollout` (`mcplane.io/v1alpha1`).

use mcplane_core::{FieldError, FieldReason};
use serde::{Deserialize, Serialize};

use super::Comparison;
use crate::routes::{Audience, AudienceSpec, Override, parse_duration};

const MOST_STAGES: usize = 100;

/// How a version goes out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RolloutSpec {
    /// The InferenceService whose revisions go out, each newer one by these stages.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// Or the VirtualService whose traffic moves.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub virtual_service: String,
    /// What goes out: a revision of the service, the newest one if empty; or a subset of the virtual service.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Stages in their order; the last has a weight of 100.
    pub stages: Vec<StageSpec>,
    /// When it is looked at, and how it is judged.
    pub analysis: Analysis,
    /// Nothing moves forward while it is set; worse still goes back.
    pub paused: bool,
}

/// A stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct StageSpec {
    /// Its name.
    pub name: String,
    /// Who gets the version whatever the weight; audiences of earlier stages keep it only if they are named again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<AudienceSpec>,
    /// Percent of everybody else, 0 to 100.
    pub weight: u32,
    /// How long it lasts at least, such as `10m`.
    pub duration: String,
    /// What ends it.
    pub promote: Promote,
}

/// What ends a stage whose time is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Promote {
    /// A verdict that the version is better or the same.
    #[default]
    Automatic,
    /// A person.
    Manual,
}

/// How a version is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Analysis {
    /// Between looks.
    pub interval: String,
    /// How long a stage may last without a verdict before a person is asked.
    pub patience: String,
    /// Statistics.
    pub comparison: Comparison,
}

impl Default for Analysis {
    fn default() -> Self {
        Self { interval: "30s".into(), patience: "1h".into(), comparison: Comparison::default() }
    }
}

impl Analysis {
    /// Milliseconds between looks.
    pub fn interval_ms(&self) -> i64 {
        milliseconds(&self.interval).unwrap_or(30_000).max(1)
    }

    pub(super) fn patience_ms(&self) -> i64 {
        milliseconds(&self.patience).unwrap_or(3_600_000)
    }
}

impl StageSpec {
    pub(super) fn duration_ms(&self) -> i64 {
        milliseconds(&self.duration).unwrap_or(0)
    }

    /// Who gets the version whatever the weight. They were checked with the object.
    pub fn audiences(&self) -> Vec<Audience> {
        let mut errors = Vec::new();
        self.audience.iter().map(|spec| Audience::new(spec, "", &mut errors)).collect()
    }

    /// The stage as traffic sees it.
    pub fn traffic(&self, version: &str, stable: &str) -> Override {
        let (version, stable) = (version.to_owned(), stable.to_owned());
        Override { version, stable, audiences: self.audiences(), weight: self.weight }
    }
}

fn milliseconds(text: &str) -> Option<i64> {
    parse_duration(text).and_then(|duration| i64::try_from(duration.as_millis()).ok())
}

impl RolloutSpec {
    /// Every rule that the spec breaks.
    pub fn faults(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        match (self.service.as_str(), self.virtual_service.as_str()) {
            ("", "") => {
                errors.push(FieldError::required("spec.service", "name an InferenceService, or a virtualService"))
            }
            ("", _) if self.version.is_empty() => {
                errors
                    .push(FieldError::required("spec.version", "name the subset of the virtual service that goes out"));
            }
            (service, other) if !service.is_empty() && !other.is_empty() => {
                let detail = "a rollout is of a service or of a virtual service, not of both";
                errors.push(FieldError::new("spec.virtualService", FieldReason::Forbidden, detail));
            }
            _ => {}
        }
        for (field, text) in
            [("spec.analysis.interval", &self.analysis.interval), ("spec.analysis.patience", &self.analysis.patience)]
        {
            if milliseconds(text).is_none_or(|ms| ms == 0) {
                errors.push(FieldError::invalid(field, text.as_str(), "must be a duration such as 30s"));
            }
        }
        errors.extend(
            self.analysis
                .comparison
                .fault()
                .map(|detail| FieldError::new("spec.analysis.comparison", FieldReason::Invalid, detail)),
        );
        if self.stages.len() > MOST_STAGES {
            errors.push(FieldError::new(
                "spec.stages",
                FieldReason::TooMany,
                format!("has at most {MOST_STAGES} items"),
            ));
            return errors;
        }
        if self.stages.last().is_none_or(|last| last.weight != 100) {
            errors.push(FieldError::required("spec.stages", "the last stage must have a weight of 100"));
        }
        for (at, stage) in self.stages.iter().enumerate() {
            let field = format!("spec.stages[{at}]");
            if stage.weight > 100 {
                let field = format!("{field}.weight");
                errors.push(FieldError::invalid(field, stage.weight, "must be within 0 to 100"));
            }
            if stage.weight == 0 && stage.audience.is_empty() {
                errors.push(FieldError::required(field.as_str(), "needs an audience or a weight above 0"));
            }
            if !stage.duration.is_empty() && milliseconds(&stage.duration).is_none() {
                let field = format!("{field}.duration");
                errors.push(FieldError::invalid(field, stage.duration.as_str(), "must be a duration such as 10m"));
            }
            for (index, audience) in stage.audience.iter().enumerate() {
                Audience::new(audience, &format!("{field}.audience[{index}]"), &mut errors);
            }
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGES: &str = r"
virtualService: user-service
version: v2
stages:
- name: operators
  audience:
  - addresses: [10.0.0.0/8]
  duration: 5m
- name: region
  audience:
  - regions: [eu-west]
  weight: 10
  duration: 30m
  promote: Manual
- name: all
  weight: 100
analysis:
  interval: 10s
  comparison:
    alpha: 0.005
";

    #[test]
    fn stages_are_written_as_people_think() {
        let spec: RolloutSpec = serde_norway::from_str(STAGES).unwrap();
        assert_eq!(spec.faults(), []);
        assert_eq!((spec.stages[0].duration_ms(), spec.stages[1].promote), (300_000, Promote::Manual));
        assert_eq!((spec.analysis.interval_ms(), spec.analysis.comparison.alpha), (10_000, 0.005));
        let traffic = spec.stages[1].traffic("v2", "v1");
        assert_eq!((traffic.audiences.len(), traffic.weight), (1, 10));
        assert!(serde_norway::from_str::<RolloutSpec>("wait: 1m").is_err(), "a field that nobody knows");
    }

    #[test]
    fn faults_name_their_fields() {
        let spec: RolloutSpec = serde_norway::from_str(
            "{stages: [{weight: 120, duration: soon}, {}, {audience: [{addresses: [x]}]}], analysis: {interval: 0s, comparison: {alpha: 2}}}",
        )
        .unwrap();
        let fields: Vec<String> = spec.faults().into_iter().map(|fault| fault.field).collect();
        assert_eq!(
            fields,
            [
                "spec.service",
                "spec.analysis.interval",
                "spec.analysis.comparison",
                "spec.stages",
                "spec.stages[0].weight",
                "spec.stages[0].duration",
                "spec.stages[1]",
                "spec.stages[2].audience[0].addresses[0]",
            ]
        );
    }
}
