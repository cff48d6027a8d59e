//! Measures of traces, spans and assessments over time, as the pages draw them: counts, sums, percentiles, by properties and
//! by stretches of time.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use mcplane_core::{Error, Result};
use serde_json::{Map, Value, json};

use super::spans::double;
use crate::experiments::ExperimentId;
use crate::filter::python::repr_list;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Traces,
    Spans,
    Assessments,
}

/// How the values of a group become one number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Aggregation {
    Count,
    Sum,
    Average,
    Percentile(f64),
    Min,
    Max,
}

/// A question for measures.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) experiments: Vec<ExperimentId>,
    pub(crate) view: View,
    pub(crate) metric: String,
    pub(crate) aggregations: Vec<Aggregation>,
    pub(crate) dimensions: Vec<String>,
    pub(crate) filters: Vec<String>,
    /// Seconds.
    pub(crate) interval: Option<i64>,
    pub(crate) from: Option<i64>,
    pub(crate) until: Option<i64>,
    pub(crate) most: usize,
}

/// A metric: what it is called, how it may be aggregated, and by what it may be grouped.
struct Metric {
    name: &'static str,
    counted: bool,
    summed: bool,
    dimensions: &'static [&'static str],
}

const fn metric(name: &'static str, counted: bool, summed: bool, dimensions: &'static [&'static str]) -> Metric {
    Metric { name, counted, summed, dimensions }
}

const TRACES: &[Metric] = &[
    metric("trace_count", true, false, &["trace_name", "trace_status"]),
    metric("session_count", true, false, &[]),
    metric("latency", false, false, &["trace_name"]),
    metric("input_tokens", false, true, &["trace_name"]),
    metric("output_tokens", false, true, &["trace_name"]),
    metric("total_tokens", false, true, &["trace_name"]),
    metric("cache_read_input_tokens", false, true, &["trace_name"]),
    metric("cache_creation_input_tokens", false, true, &["trace_name"]),
];
const OF_MODELS: &[&str] = &["span_model_name", "span_model_provider"];
const SPANS: &[Metric] = &[
    metric(
        "span_count",
        true,
        false,
        &["span_model_name", "span_model_provider", "span_name", "span_status", "span_type"],
    ),
    metric("latency", false, false, &["span_name", "span_status"]),
    metric("input_cost", false, true, OF_MODELS),
    metric("output_cost", false, true, OF_MODELS),
    metric("total_cost", false, true, OF_MODELS),
];
const ASSESSMENTS: &[Metric] = &[
    metric("assessment_count", true, false, &["assessment_name", "assessment_value"]),
    metric("assessment_value", false, false, &["assessment_name"]),
];

impl View {
    /// The view of that name or number; what is unknown means traces, as for the reference.
    pub(crate) fn read(value: &Value) -> Self {
        match (value.as_str(), value.as_i64()) {
            (Some("SPANS"), _) | (_, Some(2)) => Self::Spans,
            (Some("ASSESSMENTS"), _) | (_, Some(3)) => Self::Assessments,
            _ => Self::Traces,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Spans => "SPANS",
            Self::Assessments => "ASSESSMENTS",
        }
    }

    const fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Traces => TRACES,
            Self::Spans => SPANS,
            Self::Assessments => ASSESSMENTS,
        }
    }
}

impl Aggregation {
    /// Reads a name or number, and the percentile that only one of them takes.
    pub(crate) fn read(kind: Option<&Value>, percentile: Option<f64>) -> Result<Self> {
        let number = kind.and_then(Value::as_i64);
        let found = match (kind.and_then(Value::as_str), number) {
            (Some("SUM"), _) | (_, Some(2)) => Self::Sum,
            (Some("AVG"), _) | (_, Some(3)) => Self::Average,
            (Some("PERCENTILE"), _) | (_, Some(4)) => match percentile {
                Some(value) if (0.0..=100.0).contains(&value) => return Ok(Self::Percentile(value)),
                Some(value) => {
                    let value = double(value);
                    let message = format!("Percentile value must be between 0 and 100, got {value}");
                    return Err(Error::bad_request(message));
                }
                None => return Err(Error::bad_request("Percentile value is required for PERCENTILE aggregation")),
            },
            (Some("MIN"), _) | (_, Some(5)) => Self::Min,
            (Some("MAX"), _) | (_, Some(6)) => Self::Max,
            _ => Self::Count,
        };
        match percentile {
            None => Ok(found),
            Some(_) => Err(Error::bad_request(format!(
                "Percentile value is only allowed for PERCENTILE aggregation type, got {}",
                found.kind()
            ))),
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::Count => "COUNT",
            Self::Sum => "SUM",
            Self::Average => "AVG",
            Self::Percentile(_) => "PERCENTILE",
            Self::Min => "MIN",
            Self::Max => "MAX",
        }
    }

    fn label(self) -> String {
        match self {
            Self::Percentile(value) => format!("P{}", double(value)),
            other => other.kind().to_owned(),
        }
    }
}

impl Question {
    /// Checks what is asked against what there is.
    ///
    /// # Errors
    /// [`Error::BadRequest`] with what there is instead.
    pub(crate) fn check(&self) -> Result<()> {
        let metrics = self.view.metrics();
        let Some(metric) = metrics.iter().find(|metric| metric.name == self.metric) else {
            let known = repr_list(&metrics.iter().map(|metric| metric.name).collect::<Vec<_>>());
            return Err(Error::bad_request(format!("metric_name must be one of {known}, got '{}'", self.metric)));
        };
        let allowed: &[&str] = match (metric.counted, metric.summed) {
            (true, _) => &["COUNT"],
            (_, true) => &["AVG", "MAX", "MIN", "PERCENTILE", "SUM"],
            _ => &["AVG", "MAX", "MIN", "PERCENTILE"],
        };
        let foreign = |asked: Vec<&str>, known: &[&str]| -> Vec<String> {
            let mut foreign: Vec<String> =
                asked.into_iter().filter(|name| !known.contains(name)).map(str::to_owned).collect();
            foreign.sort();
            foreign.dedup();
            foreign
        };
        let kinds = foreign(self.aggregations.iter().map(|aggregation| aggregation.kind()).collect(), allowed);
        if !kinds.is_empty() {
            return Err(Error::bad_request(format!(
                "Found invalid aggregation_type(s): {}. Supported aggregation types: {}",
                repr_list(&kinds),
                repr_list(allowed)
            )));
        }
        let dimensions = foreign(self.dimensions.iter().map(String::as_str).collect(), metric.dimensions);
        if !dimensions.is_empty() {
            return Err(Error::bad_request(format!(
                "Found invalid dimension(s): {}. Supported dimensions: {}",
                repr_list(&dimensions),
                repr_list(metric.dimensions)
            )));
        }
        if self.interval.is_some_and(|interval| interval != 0) && (self.from.is_none() || self.until.is_none()) {
            let message = "start_time_ms and end_time_ms are required if time_interval_seconds is set";
            return Err(Error::bad_request(message));
        }
        if self.interval.is_some_and(|interval| interval < 0) {
            return Err(Error::bad_request("time_interval_seconds must be a positive integer"));
        }
        Ok(())
    }
}

/// What is measured of one thing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample<'s> {
    /// Milliseconds since the epoch.
    pub(crate) at: i64,
    /// The value, where it is a number.
    pub(crate) value: Option<f64>,
    /// What counts once however often it comes.
    pub(crate) distinct: Option<&'s str>,
}

#[derive(Debug, Default)]
struct Group {
    count: u64,
    sum: f64,
    least: Option<f64>,
    greatest: Option<f64>,
    values: Vec<f64>,
    distinct: HashSet<String>,
}

/// Samples by time and properties.
#[derive(Debug)]
pub(crate) struct Groups<'q> {
    question: &'q Question,
    keeps_values: bool,
    groups: BTreeMap<(Option<i64>, Vec<String>), Group>,
}

impl<'q> Groups<'q> {
    pub(crate) fn new(question: &'q Question) -> Self {
        let keeps_values = question.aggregations.iter().any(|kind| matches!(kind, Aggregation::Percentile(_)));
        let mut groups = BTreeMap::new();
        if question.dimensions.is_empty() && question.interval.unwrap_or_default() == 0 {
            groups.insert((None, vec![]), Group::default());
        }
        Self { question, keeps_values, groups }
    }

    /// Adds a sample. Those without a value, or without a property that they are grouped by, do not count.
    pub(crate) fn add(&mut self, sample: &Sample<'_>, property: impl Fn(&str) -> Option<String>) {
        if sample.value.is_none() && sample.distinct.is_none() {
            return;
        }
        let Some(properties) = self.question.dimensions.iter().map(|name| property(name)).collect() else { return };
        let width =
            self.question.interval.filter(|interval| *interval != 0).map(|seconds| seconds.saturating_mul(1000));
        let time = width.map(|width| sample.at.div_euclid(width).saturating_mul(width));
        let group = self.groups.entry((time, properties)).or_default();
        match (sample.distinct, sample.value) {
            (Some(text), _) => {
                group.distinct.insert(text.to_owned());
                group.count = group.distinct.len() as u64;
            }
            (None, Some(value)) => {
                group.count += 1;
                group.sum += value;
                group.least = Some(group.least.map_or(value, |least| least.min(value)));
                group.greatest = Some(group.greatest.map_or(value, |greatest| greatest.max(value)));
                if self.keeps_values {
                    group.values.push(value);
                }
            }
            (None, None) => {}
        }
    }

    /// The points in order, as the protocol shows them.
    pub(crate) fn points(self) -> Vec<Value> {
        let Self { question, groups, .. } = self;
        let points = groups.into_iter().take(question.most).filter_map(|((time, properties), mut group)| {
            group.values.sort_by(f64::total_cmp);
            let values: Map<String, Value> = question
                .aggregations
                .iter()
                .filter_map(|aggregation| Some((aggregation.label(), group.value(*aggregation)?.into())))
                .collect();
            let mut dimensions: Map<String, Value> =
                question.dimensions.iter().cloned().zip(properties.into_iter().map(Value::from)).collect();
            if let Some(time) = time {
                dimensions.insert("time_bucket".to_owned(), moment(time).into());
            }
            let mut point = json!({"metric_name": question.metric});
            if !dimensions.is_empty() {
                point["dimensions"] = dimensions.into();
            }
            (!values.is_empty()).then(|| {
                point["values"] = values.into();
                point
            })
        });
        points.collect()
    }
}

impl Group {
    fn value(&self, aggregation: Aggregation) -> Option<f64> {
        match aggregation {
            Aggregation::Count => Some(self.count as f64),
            _ if self.count == 0 => None,
            Aggregation::Sum => Some(self.sum),
            Aggregation::Average => Some(self.sum / self.count as f64),
            Aggregation::Min => self.least,
            Aggregation::Max => self.greatest,
            Aggregation::Percentile(percentile) => between(&self.values, percentile),
        }
    }
}

/// A percentile of sorted values, between two of them where it falls between.
fn between(sorted: &[f64], percentile: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = percentile / 100.0 * last as f64;
    let (low, share) = (place.floor() as usize, place.fract());
    let (low, high) = (sorted.get(low)?, sorted.get((low + 1).min(last))?);
    Some(low + (high - low) * share)
}

/// A time as Python writes it in ISO 8601.
fn moment(ms: i64) -> String {
    let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(view: View, metric: &str, aggregations: Vec<Aggregation>) -> Question {
        Question {
            experiments: vec![],
            view,
            metric: metric.to_owned(),
            aggregations,
            dimensions: vec![],
            filters: vec![],
            interval: None,
            from: None,
            until: None,
            most: 1000,
        }
    }

    #[test]
    fn samples_become_points() {
        let kinds = vec![Aggregation::Average, Aggregation::Percentile(50.0), Aggregation::Max];
        let mut asked = question(View::Traces, "latency", kinds);
        asked.dimensions = vec!["trace_name".to_owned()];
        asked.interval = Some(3600);
        let mut groups = Groups::new(&asked);
        for (at, value, name) in [
            (3_600_000, Some(1.0), Some("b")),
            (3_600_001, Some(2.0), Some("b")),
            (3_600_002, None, Some("b")),
            (3_600_003, Some(9.0), None),
            (5, Some(4.0), Some("b")),
        ] {
            let sample = Sample { at, value, distinct: None };
            groups.add(&sample, |_| name.map(str::to_owned));
        }
        let first = json!({
            "metric_name": "latency",
            "dimensions": {"trace_name": "b", "time_bucket": "1970-01-01T00:00:00+00:00"},
            "values": {"AVG": 4.0, "P50.0": 4.0, "MAX": 4.0},
        });
        let points = groups.points();
        assert_eq!(points[0], first);
        assert_eq!(points[1]["values"], json!({"AVG": 1.5, "P50.0": 1.5, "MAX": 2.0}));
        assert_eq!(points.len(), 2);
    }

    #[test]
    fn nothing_counts_as_none() {
        let counted = question(View::Traces, "trace_count", vec![Aggregation::Count]);
        assert_eq!(Groups::new(&counted).points()[0]["values"], json!({"COUNT": 0.0}));
        let measured = question(View::Traces, "latency", vec![Aggregation::Max]);
        assert_eq!(Groups::new(&measured).points(), Vec::<Value>::new());
    }

    #[test]
    fn questions_are_checked() {
        let said = |asked: &Question| asked.check().unwrap_err().to_string();
        assert!(said(&question(View::Spans, "x", vec![])).starts_with("metric_name must be one of ['span_count', "));
        assert_eq!(
            said(&question(View::Traces, "trace_count", vec![Aggregation::Average])),
            "Found invalid aggregation_type(s): ['AVG']. Supported aggregation types: ['COUNT']"
        );
        let mut asked = question(View::Traces, "trace_count", vec![Aggregation::Count]);
        asked.dimensions = vec!["x".to_owned()];
        assert_eq!(
            said(&asked),
            "Found invalid dimension(s): ['x']. Supported dimensions: ['trace_name', 'trace_status']"
        );
        asked.dimensions.clear();
        asked.interval = Some(60);
        assert!(said(&asked).starts_with("start_time_ms and end_time_ms are required"));
        for (kind, percentile) in [("PERCENTILE", None), ("PERCENTILE", Some(101.0)), ("SUM", Some(1.0))] {
            assert!(Aggregation::read(Some(&json!(kind)), percentile).is_err(), "{kind} {percentile:?}");
        }
    }
}
