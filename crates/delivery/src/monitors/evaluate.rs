//! What the windows of a version mean. Pure.

use std::collections::BTreeMap;

use mcplane_core::Timestamp;
use mcplane_monitoring::bands::{Alerts, Band, Change, Level, Notice, Reading, Verdict, Watch};
use mcplane_monitoring::live::Looked;
use serde::{Deserialize, Serialize};

use super::MonitorSpec;

/// Levels and open alerts of one version, as they are kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Watches {
    /// By reading: `errors`, `drift/age/stability`.
    pub levels: BTreeMap<String, Watch>,
    /// What is open.
    pub alerts: Alerts,
}

/// Of which version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Where the service is.
    pub namespace: String,
    /// Its name.
    pub service: String,
    /// The version.
    pub version: String,
    /// The server that saw it.
    pub server: String,
}

/// One reading, for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// Which number: `errors`, `latency`, `accuracy`, `f1`, `stability`, `distance`.
    pub metric: &'static str,
    /// Of which column; `(prediction)` for what was predicted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The number.
    pub value: Option<f64>,
    /// How many values it is made of.
    pub values: u64,
    /// Where it is, after hysteresis.
    pub level: Level,
    /// Whether it is made of too few values to say anything.
    pub too_few: bool,
}

/// How the column of predictions is called.
pub(super) const PREDICTION: &str = "(prediction)";

/// A reading with its band.
struct Measured {
    metric: &'static str,
    column: Option<String>,
    band: Band,
    reading: Reading,
}

fn measured(spec: &MonitorSpec, looked: &Looked) -> Vec<Measured> {
    let bands = &spec.bands;
    let traffic = &looked.traffic;
    let number = |value, values| Reading::Number { value, values };
    let of = |metric, band, reading| Measured { metric, column: None, band, reading };
    let errors = mcplane_monitoring::statistics::Share::new(traffic.errors, traffic.requests);
    let mut all = vec![
        of("errors", bands.errors, Reading::Share(errors)),
        of("latency", bands.latency, number(traffic.mean_ms, traffic.requests)),
    ];
    if looked.right.of > 0 {
        all.push(of("accuracy", bands.accuracy, Reading::Share(looked.right)));
        all.push(of("f1", bands.f1, number(looked.f1, looked.right.of)));
    }
    let features = looked.features.iter().filter(|(name, _)| !spec.ignore.contains(name));
    let columns = features.map(|(name, drift)| (name.as_str(), drift));
    for (name, drift) in looked.predicted.iter().map(|drift| (PREDICTION, drift)).chain(columns) {
        let column = Some(name.to_owned());
        let [distance, stability] = drift.readings().map(|(_, reading)| reading);
        all.push(Measured { metric: "distance", column: column.clone(), band: bands.distance, reading: distance });
        all.push(Measured { metric: "stability", column, band: bands.stability, reading: stability });
    }
    all
}

/// Takes a look: what each reading says, and what has to be told because of it.
pub fn evaluate(
    spec: &MonitorSpec,
    seen: &Seen,
    looked: &Looked,
    watches: &mut Watches,
    now: Timestamp,
) -> (Vec<Shown>, Vec<Notice>) {
    let (mut shown, mut notices) = (Vec::new(), Vec::new());
    for Measured { metric, column, band, reading } in measured(spec, looked) {
        let key = column.as_ref().map_or_else(|| metric.to_owned(), |column| format!("drift/{column}/{metric}"));
        let watch = watches.levels.entry(key).or_default();
        let (verdict, change) = watch.step(&band, reading);
        let level = watch.level();
        let told = reading.value();
        if let Some(change) = change {
            let value = told.map(|(value, _)| value);
            let notice = tell(seen, metric, column.as_deref(), &band, value, change, &mut watches.alerts, now);
            notices.extend(notice);
        }
        shown.push(Shown {
            metric,
            column,
            value: told.map(|(value, _)| value).filter(|value| value.is_finite()),
            values: told.map_or(0, |(_, values)| values),
            level,
            too_few: verdict == Verdict::TooLittleData,
        });
    }
    (shown, notices)
}

#[expect(clippy::too_many_arguments, reason = "the parts of one alert, used once")]
fn tell(
    seen: &Seen,
    metric: &str,
    column: Option<&str>,
    band: &Band,
    value: Option<f64>,
    change: Change,
    alerts: &mut Alerts,
    now: Timestamp,
) -> Option<Notice> {
    let name = match (metric, column) {
        ("errors", _) => "ModelErrorsHigh",
        ("latency", _) => "ModelLatencyHigh",
        ("accuracy", _) => "ModelAccuracyLow",
        ("f1", _) => "ModelF1Low",
        (_, Some(PREDICTION)) => "ModelPredictionDrift",
        _ => "ModelFeatureDrift",
    };
    let mut labels = labels(seen);
    labels.insert("alertname".to_owned(), name.to_owned());
    labels.insert("severity".to_owned(), "critical".to_owned());
    labels.insert("metric".to_owned(), metric.to_owned());
    if let Some(column) = column {
        labels.insert("column".to_owned(), column.to_owned());
    }
    let value = value.map_or_else(|| "?".to_owned(), |value| format!("{value:.4}"));
    let of = column.map_or_else(String::new, |column| format!(" of {column}"));
    let line = if change.to == Level::Alert { format!("beyond {}", band.alert) } else { "well again".to_owned() };
    let summary = format!("{metric}{of} of {} {} is {value}, {line}", seen.service, seen.version);
    let annotations = BTreeMap::from([("summary".to_owned(), summary), ("value".to_owned(), value)]);
    alerts.step(now, change, labels, annotations)
}

/// What all alerts of a version share.
pub(super) fn labels(seen: &Seen) -> BTreeMap<String, String> {
    let fields = [
        ("namespace", &seen.namespace),
        ("service", &seen.service),
        ("version", &seen.version),
        ("server", &seen.server),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use mcplane_monitoring::statistics::Share;
    use mcplane_monitoring::windows::TrafficSummary;

    use super::*;

    fn seen() -> Seen {
        Seen { namespace: "lab".into(), service: "fraud".into(), version: "v1".into(), server: "node-1".into() }
    }

    fn traffic(requests: u64, errors: u64, mean_ms: f64) -> Looked {
        let traffic = TrafficSummary { requests, errors, mean_ms: Some(mean_ms), ..TrafficSummary::default() };
        Looked { traffic, ..Looked::default() }
    }

    #[test]
    fn an_alert_is_raised_once_and_resolved_once() {
        let (spec, mut watches) = (MonitorSpec::default(), Watches::default());
        let mut look = |looked: &Looked, now| {
            // As after a restart, each time.
            watches = serde_json::from_str(&serde_json::to_string(&watches).unwrap()).unwrap();
            evaluate(&spec, &seen(), looked, &mut watches, now).1
        };
        assert_eq!(look(&traffic(1_000, 2, 50.0), 1), []);
        let raised = look(&traffic(1_000, 200, 50.0), 2);
        let [Notice::Raised(alert)] = raised.as_slice() else { panic!("{raised:?}") };
        assert_eq!((alert.labels["alertname"].as_str(), alert.labels["version"].as_str()), ("ModelErrorsHigh", "v1"));
        assert_eq!(alert.annotations["summary"], "errors of fraud v1 is 0.2000, beyond 0.05");
        assert_eq!(look(&traffic(1_000, 300, 50.0), 3), []);
        assert_eq!(look(&traffic(10, 0, 50.0), 4), [], "too little to say that all is well");
        assert_eq!(look(&traffic(1_000, 0, 50.0), 5), []);
        assert_eq!(look(&traffic(1_000, 0, 50.0), 6), []);
        let resolved = look(&traffic(1_000, 0, 50.0), 7);
        assert!(matches!(resolved.as_slice(), [Notice::Resolved(alert)] if alert.ends_at == Some(7)), "{resolved:?}");
        assert_eq!(look(&traffic(1_000, 0, 50.0), 8), []);
    }

    #[test]
    fn quality_and_drift_are_read() {
        let (mut spec, mut watches) = (MonitorSpec::default(), Watches::default());
        let drift = mcplane_monitoring::drift::Drift {
            values: 1_000,
            missing: Some(0.0),
            distance: Some(0.5),
            p: Some(0.0),
            stability: Some(1.2),
            jensen_shannon: None,
            wasserstein: None,
        };
        let looked = Looked {
            right: Share::new(800, 1_000),
            f1: Some(0.8),
            predicted: Some(drift),
            features: BTreeMap::from([("age".to_owned(), drift), ("id".to_owned(), drift)]),
            ..traffic(1_000, 0, 600.0)
        };
        spec.ignore = vec!["id".into()];
        let (shown, notices) = evaluate(&spec, &seen(), &looked, &mut watches, 1);
        assert_eq!(shown.len(), 8);
        let mut names: Vec<&str> = notices
            .iter()
            .map(|notice| match notice {
                Notice::Raised(alert) | Notice::Resolved(alert) => alert.labels["alertname"].as_str(),
            })
            .collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "ModelAccuracyLow",
                "ModelF1Low",
                "ModelFeatureDrift",
                "ModelFeatureDrift",
                "ModelLatencyHigh",
                "ModelPredictionDrift",
                "ModelPredictionDrift"
            ]
        );
        assert_eq!(watches.alerts.gone(2, &labels(&seen())).len(), 7);
    }
}
