//! What people write: `spec` of a `Monitor` (`mcplane.io/v1alpha1`).

use mcplane_core::{FieldError, FieldReason};
use mcplane_egress::Target;
use mcplane_monitoring::bands::Band;
use mcplane_monitoring::live::WatchConfig;
use mcplane_monitoring::windows::{OutcomesConfig, TrafficConfig};
use serde::{Deserialize, Serialize};

use crate::routes::parse_duration;

const MOST_RECEIVERS: usize = 20;
/// A window of rows holds at most so many; each column of each version has one.
const MOST_ROWS: usize = 100_000;
const MOST_LABELS: usize = 1_000_000;

/// How a service is watched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct MonitorSpec {
    /// The service: an InferenceService, or a host of a VirtualService without its namespace.
    pub service: String,
    /// Whether it is watched.
    pub enabled: bool,
    /// Between looks.
    pub interval: String,
    /// How far back is looked.
    pub windows: Windows,
    /// When a reading is worrying.
    pub bands: Bands,
    /// Columns whose drift is of no interest.
    pub ignore: Vec<String>,
    /// Who is told.
    pub receivers: Vec<Receiver>,
}

impl Default for MonitorSpec {
    fn default() -> Self {
        Self {
            service: String::new(),
            enabled: true,
            interval: "30s".into(),
            windows: Windows::default(),
            bands: Bands::default(),
            ignore: Vec::new(),
            receivers: Vec::new(),
        }
    }
}

/// How far back is looked, by count and by time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Windows {
    /// Requests, errors and latency of so long.
    pub traffic: String,
    /// Drift of at most so many rows,
    pub rows: usize,
    /// none older than this.
    pub rows_age: String,
    /// Quality of at most so many labelled predictions,
    pub labels: usize,
    /// none labelled longer ago than this.
    pub labels_age: String,
    /// How long a prediction waits for its label.
    pub label_delay: String,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            traffic: "5m".into(),
            rows: 2_000,
            rows_age: "1h".into(),
            labels: 10_000,
            labels_age: "24h".into(),
            label_delay: "168h".into(),
        }
    }
}

/// When a reading is worrying.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Bands {
    /// Share of right predictions.
    pub accuracy: Band,
    /// F1, averaged over classes.
    pub f1: Band,
    /// Share of requests that fail.
    pub errors: Band,
    /// Mean latency in milliseconds.
    pub latency: Band,
    /// Population stability index of a column, or of what is predicted.
    pub stability: Band,
    /// Distance of Kolmogorov and Smirnov of the same; of categories the greatest difference of a share.
    pub distance: Band,
}

impl Default for Bands {
    fn default() -> Self {
        Self {
            accuracy: Band::ACCURACY,
            // As accuracy; it is no share, so chance must be kept out by more labels.
            f1: Band { least: 500, ..Band::ACCURACY },
            errors: Band::ERRORS,
            latency: Band::LATENCY,
            stability: Band::STABILITY,
            distance: Band::DISTANCE,
        }
    }
}

/// Who is told of alerts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Receiver {
    /// Where to.
    pub url: String,
    /// How it is written.
    #[serde(default)]
    pub format: Format,
}

/// How alerts are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// As Alertmanager writes to webhooks.
    #[default]
    Webhook,
    /// As Alertmanager itself takes them, at `/api/v2/alerts`.
    Alertmanager,
}

impl Format {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Webhook => "Webhook",
            Self::Alertmanager => "Alertmanager",
        }
    }
}

fn milliseconds(text: &str) -> Option<i64> {
    parse_duration(text).and_then(|duration| i64::try_from(duration.as_millis()).ok()).filter(|ms| *ms > 0)
}

impl MonitorSpec {
    /// Milliseconds between looks.
    pub fn interval_ms(&self) -> i64 {
        milliseconds(&self.interval).unwrap_or(30_000)
    }

    /// The windows, for those who fill them.
    pub fn watch(&self) -> WatchConfig {
        let (own, usual) = (&self.windows, WatchConfig::default());
        let ms = |text: &str, usual: i64| milliseconds(text).unwrap_or(usual);
        WatchConfig {
            traffic: TrafficConfig { length_ms: ms(&own.traffic, usual.traffic.length_ms), ..usual.traffic },
            rows: own.rows,
            rows_ms: ms(&own.rows_age, usual.rows_ms),
            outcomes: OutcomesConfig {
                most: own.labels,
                oldest_ms: ms(&own.labels_age, usual.outcomes.oldest_ms),
                wait_ms: ms(&own.label_delay, usual.outcomes.wait_ms),
                ..usual.outcomes
            },
        }
    }

    /// Every rule that the spec breaks.
    pub fn faults(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if self.service.is_empty() {
            errors.push(FieldError::required("spec.service", "name the service"));
        }
        let windows = &self.windows;
        for (field, text) in [
            ("interval", &self.interval),
            ("windows.traffic", &windows.traffic),
            ("windows.rowsAge", &windows.rows_age),
            ("windows.labelsAge", &windows.labels_age),
            ("windows.labelDelay", &windows.label_delay),
        ] {
            if milliseconds(text).is_none() {
                let field = format!("spec.{field}");
                errors.push(FieldError::invalid(field, text.as_str(), "must be a duration above 0, such as 30s"));
            }
        }
        for (field, count, most) in [("rows", windows.rows, MOST_ROWS), ("labels", windows.labels, MOST_LABELS)] {
            if !(1..=most).contains(&count) {
                let detail = format!("must be from 1 to {most}");
                errors.push(FieldError::invalid(format!("spec.windows.{field}"), count, detail));
            }
        }
        let bands = &self.bands;
        for (field, band) in [
            ("accuracy", &bands.accuracy),
            ("f1", &bands.f1),
            ("errors", &bands.errors),
            ("latency", &bands.latency),
            ("stability", &bands.stability),
            ("distance", &bands.distance),
        ] {
            if let Some(fault) = band.fault() {
                errors.push(FieldError::new(format!("spec.bands.{field}"), FieldReason::Invalid, fault));
            }
        }
        if self.receivers.len() > MOST_RECEIVERS {
            let detail = format!("has at most {MOST_RECEIVERS} items");
            errors.push(FieldError::new("spec.receivers", FieldReason::TooMany, detail));
        }
        for (at, receiver) in self.receivers.iter().enumerate().take(MOST_RECEIVERS) {
            if let Err(why) = Target::parse(&receiver.address()) {
                errors.push(FieldError::new(format!("spec.receivers[{at}].url"), FieldReason::Invalid, why));
            }
        }
        errors
    }
}

impl Receiver {
    /// The URL that alerts are posted to.
    pub fn address(&self) -> String {
        match self.format {
            Format::Alertmanager if !self.url.ends_with("/api/v2/alerts") => {
                format!("{}/api/v2/alerts", self.url.trim_end_matches('/'))
            }
            _ => self.url.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let spec = MonitorSpec { service: "fraud".into(), ..MonitorSpec::default() };
        assert_eq!(spec.faults(), []);
        assert_eq!(spec.watch(), WatchConfig::default());
        let (accuracy, latency) = (spec.bands.accuracy, spec.bands.latency);
        assert_eq!((accuracy.normal, accuracy.alert, latency.normal, latency.alert), (0.95, 0.9, 200.0, 500.0));
    }

    #[test]
    fn faults_name_their_fields() {
        let spec: MonitorSpec = serde_norway::from_str(
            "{interval: 0s, windows: {rows: 0, traffic: soon}, receivers: [{url: 'ftp://x'}, {url: 'https://am.example', format: Alertmanager}]}",
        )
        .unwrap();
        let fields: Vec<String> = spec.faults().into_iter().map(|fault| fault.field).collect();
        assert_eq!(
            fields,
            ["spec.service", "spec.interval", "spec.windows.traffic", "spec.windows.rows", "spec.receivers[0].url"]
        );
        assert_eq!(spec.receivers[1].address(), "https://am.example/api/v2/alerts");
        assert!(serde_norway::from_str::<MonitorSpec>("{servce: a}").is_err());
    }
}
