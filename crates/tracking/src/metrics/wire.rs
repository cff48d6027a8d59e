//! A batch in the form in which clients send it, read without a tree of values between: one of 1000 points is a megabyte of
//! tree, and 64 clients send one at once. What has any other form, or is wrong, is left to the lenient reading, which also
//! says what is wrong.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::types::{LogBatch, Logged, Measured};
use crate::tags::Tag;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    run_id: String,
    #[serde(default)]
    metrics: Vec<Metric>,
    #[serde(default)]
    params: Vec<Pair>,
    #[serde(default)]
    tags: Vec<Pair>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metric {
    key: String,
    value: f64,
    timestamp: i64,
    #[serde(default)]
    step: i64,
    #[serde(default)]
    model_id: String,
    #[serde(default)]
    dataset_name: String,
    #[serde(default)]
    dataset_digest: String,
    #[serde(default, rename = "run_id")]
    _run_id: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    key: String,
    value: String,
}

impl From<Metric> for Logged {
    fn from(metric: Metric) -> Self {
        let Metric { key, value, timestamp, step, model_id: model, dataset_name, dataset_digest, .. } = metric;
        let model = (!model.is_empty()).then_some(Measured { model, dataset_name, dataset_digest });
        Self { key, value, timestamp, step, model }
    }
}

/// The run and the batch of a request, if it has the usual form.
pub(super) fn read(body: &[u8]) -> Option<(String, LogBatch)> {
    let Batch { run_id, metrics, params, tags } = serde_json::from_slice(body).ok()?;
    let named = metrics.iter().all(|metric| !metric.key.is_empty());
    let pairs = params.iter().chain(&tags).all(|pair| !pair.key.is_empty());
    if run_id.is_empty() || !named || !pairs {
        return None;
    }
    let own = |pairs: Vec<Pair>| pairs.into_iter().map(|Pair { key, value }| Tag { key, value }).collect();
    Some((
        run_id,
        LogBatch { metrics: metrics.into_iter().map(Into::into).collect(), params: own(params), tags: own(tags) },
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::metrics::mlflow::lenient;
    use crate::mlflow::fields::Fields;

    fn shown(read: (String, LogBatch)) -> String {
        format!("{read:?}")
    }

    #[test]
    fn usual_batches_are_read_and_others_left() {
        let body = json!({"run_id": "r", "metrics": [{"key": "a", "value": 1, "timestamp": 2, "model_id": "m", "run_id": "r"}],
                          "params": [{"key": "p", "value": ""}]});
        let (run, batch) = read(body.to_string().as_bytes()).unwrap();
        assert_eq!((run.as_str(), batch.metrics[0].value, batch.metrics[0].step), ("r", 1.0, 0));
        assert_eq!(batch.metrics[0].model.as_ref().unwrap().model, "m");
        for other in [
            json!({"run_id": "r", "metrics": [{"key": "a", "value": "NaN", "timestamp": 2}]}),
            json!({"run_id": "r", "metrics": [{"key": "a", "value": 1, "timestamp": "2"}]}),
            json!({"run_id": "r", "metrics": [{"key": "", "value": 1, "timestamp": 2}]}),
            json!({"runId": "r"}),
            json!({"run_id": ""}),
            json!([]),
        ] {
            assert!(read(other.to_string().as_bytes()).is_none(), "{other}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            Just(json!("NaN")),
            Just(json!("")),
            "[a-z]{1,3}".prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            Just(json!([])),
        ]
    }

    proptest! {
        /// What this reads, the lenient reading reads as the same.
        #[test]
        fn both_readings_agree(
            fields in prop::collection::vec((0..8_usize, any_value()), 0..9), key in any_value(), value in any_value(),
            timestamp in 0..9_i64,
        ) {
            let names = ["key", "value", "timestamp", "step", "model_id", "dataset_name", "other", "run_id"];
            let mut metric = json!({"key": "k", "value": 0.5, "timestamp": timestamp});
            for (name, value) in fields.into_iter().map(|(at, value)| (names[at], value)) {
                metric[name] = value;
            }
            let body = json!({"run_id": "r", "metrics": [metric], "params": [{"key": key, "value": value}]}).to_string();
            if let Some(quick) = read(body.as_bytes()) {
                let slow = lenient(&Fields::from_json(body.as_bytes()));
                prop_assert_eq!(shown(quick), shown(slow.map_err(|error| TestCaseError::fail(error.to_string()))?));
            }
        }
    }
}
