//! `/api/2.0/mlflow/runs/log-…` and `/api/2.0/mlflow/metrics/…`.

use bytes::Bytes;
use mcplane_core::{Error, Result};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::service::RunPoint;
use super::types::{LogBatch, Logged, Measured, Metric, Point};
use super::wire;
use crate::filter::page::PageToken;
use crate::mlflow::fields::{Fields, SEE, invalid, missing, number, whole};
use crate::mlflow::{Answer, Call, Dialect, Unread, reply, reply_empty, reply_parts};
use crate::scope::RUNS;
use crate::tags::Tag;

/// Runs of one request for charts.
const MOST_RUNS: usize = 100;
/// Points of one run in an answer for charts.
const MOST_SAMPLES: usize = 2500;
/// Points altogether in an answer with the histories of several runs.
const MOST_POINTS: usize = 25_000;

pub(crate) fn routes(dialect: Dialect) -> Dialect {
    dialect
        .post("2.0/mlflow/runs/log-metric", RUNS.to("update"), log_metric)
        .post("2.0/mlflow/runs/log-batch", RUNS.to("update"), log_batch)
        .get("2.0/mlflow/metrics/get-history", RUNS.to("get"), history)
        .get("2.0/mlflow/metrics/get-history-bulk-interval", RUNS.to("get"), samples)
        .plain("/ajax-api/2.0/mlflow/metrics/get-history-bulk", RUNS.to("get"), histories)
}

/// A double in the protocol's form: JSON has no NaN.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Double(pub(crate) f64);

impl Serialize for Double {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            nan if nan.is_nan() => serializer.serialize_str("NaN"),
            f64::INFINITY => serializer.serialize_str("Infinity"),
            f64::NEG_INFINITY => serializer.serialize_str("-Infinity"),
            number => serializer.serialize_f64(number),
        }
    }
}

/// A point in the protocol's form.
#[derive(Debug, Serialize)]
pub(crate) struct MetricMessage<K> {
    key: K,
    value: Double,
    timestamp: i64,
    step: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<String>,
}

impl<K> MetricMessage<K> {
    fn new(key: K, point: Point, run_id: Option<String>) -> Self {
        Self { key, value: Double(point.value), timestamp: point.timestamp, step: point.step, run_id }
    }
}

impl From<Metric> for MetricMessage<String> {
    fn from(metric: Metric) -> Self {
        Self::new(metric.key, metric.point, None)
    }
}

/// Points of a history that are written at a time.
const PART: usize = 4_096;

/// The text of a history that has points, part by part: there may be millions.
fn parts(key: String, points: Vec<Point>, next: Option<String>) -> impl Iterator<Item = serde_json::Result<Bytes>> {
    let count = points.len().div_ceil(PART);
    (0..count).map(move |part| {
        let mut text = if part == 0 { br#"{"metrics":["#.to_vec() } else { Vec::new() };
        for (at, point) in points.iter().enumerate().skip(part * PART).take(PART) {
            if at > 0 {
                text.push(b',');
            }
            serde_json::to_writer(&mut text, &MetricMessage::new(&*key, *point, None))?;
        }
        if part + 1 == count {
            text.push(b']');
            if let Some(next) = &next {
                text.extend_from_slice(br#","next_page_token":"#);
                serde_json::to_writer(&mut text, next)?;
            }
            text.push(b'}');
        }
        Ok(text.into())
    })
}

/// Points of several runs, thinned out.
#[derive(Serialize)]
struct Samples<'k> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<MetricMessage<&'k str>>,
}

/// The answer that the pages read as plain JSON: the list is there when it is empty.
#[derive(Serialize)]
struct Histories<'k> {
    metrics: Vec<MetricMessage<&'k str>>,
}

fn of_runs(key: &str, points: Vec<RunPoint>) -> Vec<MetricMessage<&str>> {
    points.into_iter().map(|RunPoint { run, point }| MetricMessage::new(key, point, Some(run))).collect()
}

fn measured(fields: &Fields) -> Result<Option<Measured>> {
    let model = fields.text("model_id")?;
    if model.is_empty() {
        return Ok(None);
    }
    let text = |name: &str| fields.text(name).map(str::to_owned);
    let model = model.to_owned();
    Ok(Some(Measured { model, dataset_name: text("dataset_name")?, dataset_digest: text("dataset_digest")? }))
}

async fn log_metric(Call { door, grant, fields }: Call) -> Answer {
    let run = fields.run_id()?;
    let logged = Logged {
        key: fields.required_text("key")?.to_owned(),
        value: fields.required_number("value")?,
        timestamp: fields.required_int("timestamp")?,
        step: fields.optional_int("step")?.unwrap_or_default(),
        model: measured(&fields)?,
    };
    door.tracking.log_metric(&grant, run, logged).await?;
    reply_empty()
}

async fn log_batch(Unread { door, grant, body }: Unread) -> Answer {
    let (run, batch) = wire::read(&body).map_or_else(|| lenient(&Fields::from_json(&body)), Ok)?;
    // Many wait for one commit, and what they sent need not wait with them.
    drop(body);
    door.tracking.log_batch(&grant, &run, batch).await?;
    reply_empty()
}

/// The run and the batch of a request in any form that the reference takes.
pub(super) fn lenient(fields: &Fields) -> Result<(String, LogBatch)> {
    let run = fields.required_text("run_id")?.to_owned();
    Ok((run, LogBatch { metrics: points(fields)?, params: tags(fields, "params")?, tags: tags(fields, "tags")? }))
}

/// The points of a batch.
fn points(fields: &Fields) -> Result<Vec<Logged>> {
    let entries = fields.messages("metrics")?;
    let point = |(index, entry): (usize, &Fields)| {
        let path = |name: &str| format!("metrics[{index}].{name}");
        let required = |name: &str| match entry.raw(name) {
            None => Err(missing(&path(name))),
            Some(Value::String(text)) if text.is_empty() => Err(missing(&path(name))),
            Some(value) => Ok(value),
        };
        required("key")?;
        let (value, timestamp) = (required("value")?, required("timestamp")?);
        Ok(Logged {
            key: entry.text("key")?.to_owned(),
            value: number(value).ok_or_else(|| invalid(&path("value"), value))?,
            timestamp: whole(timestamp).ok_or_else(|| invalid(&path("timestamp"), timestamp))?,
            step: entry.optional_int("step")?.unwrap_or_default(),
            model: measured(entry)?,
        })
    };
    entries.iter().enumerate().map(point).collect()
}

/// Parameters or tags of a batch, which must have keys.
fn tags(fields: &Fields, name: &str) -> Result<Vec<Tag>> {
    let tags = Tag::read(fields, name)?;
    match tags.iter().position(|tag| tag.key.is_empty()) {
        Some(index) => Err(missing(&format!("{name}[{index}].key"))),
        None => Ok(tags),
    }
}

async fn history(Call { door, grant, fields }: Call) -> Answer {
    let (run, key) = (fields.run_id()?, fields.required_text("metric_key")?);
    let limit = match fields.optional_int("max_results")? {
        Some(limit) if limit <= 0 => {
            let message =
                format!("Invalid value {limit} for parameter 'max_results' supplied. It must be a positive integer.");
            return Err(Error::bad_request(message).into());
        }
        limit => limit.map(|limit| limit as usize),
    };
    let offset = PageToken::decode(fields.text("page_token")?)?.offset;
    let (points, more) = door.tracking.metric_history(&grant, run, key, offset as usize, limit).await?;
    if points.is_empty() {
        return reply_empty();
    }
    let next = PageToken { offset: offset.saturating_add(points.len() as u64) };
    Ok(reply_parts(parts(key.to_owned(), points, more.then(|| next.encode()))))
}

/// A range of steps, of which both ends are given or none.
fn range(fields: &Fields) -> Result<Option<(i64, i64)>> {
    match (fields.optional_int("start_step")?, fields.optional_int("end_step")?) {
        (None, None) => Ok(None),
        (Some(start), Some(end)) if start > end => Err(Error::bad_request(format!(
            "end_step must be greater than start_step. Found start_step={start} and end_step={end}."
        ))),
        (Some(start), Some(end)) => Ok(Some((start, end))),
        _ => Err(Error::bad_request("If either start step or end step are specified, both must be specified.")),
    }
}

async fn samples(Call { door, grant, fields }: Call) -> Answer {
    let runs = fields.texts("run_ids")?;
    if runs.is_empty() {
        return Err(missing("run_ids").into());
    }
    if runs.len() > MOST_RUNS {
        let count = runs.len();
        let what = "GetMetricHistoryBulkInterval request must specify at most";
        return Err(Error::bad_request(format!("{what} {MOST_RUNS} run_ids. Received {count} run_ids. {SEE}")).into());
    }
    let key = fields.required_text("metric_key")?;
    let most = fields.optional_int("max_results")?.unwrap_or(MOST_SAMPLES as i64);
    if !(1..=MOST_SAMPLES as i64).contains(&most) {
        return Err(Error::bad_request(format!("max_results must be between 1 and {MOST_SAMPLES}. {SEE}")).into());
    }
    let points = door.tracking.metric_samples(&grant, &runs, key, range(&fields)?, most as usize).await?;
    reply(&Samples { metrics: of_runs(key, points) })
}

async fn histories(Call { door, grant, fields }: Call) -> Answer {
    const WHAT: &str = "GetMetricHistoryBulk request";
    let runs = fields.texts("run_id")?;
    if runs.is_empty() {
        return Err(Error::bad_request(format!("{WHAT} must specify at least one run_id.")).into());
    }
    if runs.len() > MOST_RUNS {
        let count = runs.len();
        let message = format!("{WHAT} cannot specify more than {MOST_RUNS} run_ids. Received {count} run_ids.");
        return Err(Error::bad_request(message).into());
    }
    let Some(key) = fields.optional_text("metric_key")? else {
        return Err(Error::bad_request(format!("{WHAT} must specify a metric_key.")).into());
    };
    let most = fields.optional_int("max_results")?.unwrap_or(MOST_POINTS as i64).clamp(0, MOST_POINTS as i64);
    let points = door.tracking.metric_histories(&grant, &runs, key, most as usize).await?;
    reply(&Histories { metrics: of_runs(key, points) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_are_one_message() {
        for count in [1, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 7] {
            for next in [None, Some("a\"b".to_owned())] {
                let points = (0..count as i64).map(|n| Point { step: n, timestamp: 2 * n, value: f64::NAN }).collect();
                let written: Vec<Bytes> = parts("loss".to_owned(), points, next.clone()).map(Result::unwrap).collect();
                assert_eq!(written.len(), count.div_ceil(PART));
                let message: Value = serde_json::from_slice(&written.concat()).unwrap();
                let metrics = message["metrics"].as_array().unwrap();
                assert_eq!(metrics.len(), count);
                let last = count as i64 - 1;
                assert_eq!(
                    metrics[count - 1],
                    json!({"key": "loss", "value": "NaN", "timestamp": 2 * last, "step": last})
                );
                assert_eq!(message.get("next_page_token").and_then(Value::as_str), next.as_deref());
            }
        }
    }
}
