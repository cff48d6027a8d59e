//! Labels, and what is known of a prediction.

use axum::extract::Path;
use mcplane_core::clock::rfc3339;
use mcplane_core::{Error, Result};
use mcplane_monitoring::PredictionId;
use mcplane_monitoring::live::Labelling;
use mcplane_monitoring::windows::Predicted;
use mcplane_objects::http::namespaced::{Answer, Body, reply};
use serde::Deserialize;
use serde_json::{Value, json};

use super::service::Known;
use crate::http::{Admitted, Paths};
use crate::scope::{LABELS, PREDICTIONS};

/// Bytes of a request.
const LARGEST: usize = 4 << 20;
/// Labels of a request.
const MOST_LABELS: usize = 10_000;
/// Bytes of a class.
const LONGEST_CLASS: usize = 1_000;

/// All routes of monitors.
pub(crate) fn routes(paths: Paths) -> Paths {
    let paths = paths.post("labels", ("create", LABELS), label);
    paths.get("predictions/{id}", ("get", PREDICTIONS), prediction)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Labels {
    labels: Vec<Label>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Label {
    id: String,
    value: Value,
}

impl Labels {
    fn read(self) -> Result<Vec<Labelling>> {
        if self.labels.is_empty() || self.labels.len() > MOST_LABELS {
            return Err(Error::bad_request(format!("labels: must be 1 to {MOST_LABELS} items")));
        }
        let one = |(at, Label { id, value }): (usize, Label)| {
            let id: PredictionId =
                id.parse().map_err(|wrong| Error::bad_request(format!("labels[{at}].id: {wrong}")))?;
            let truth = match value {
                Value::String(class) if class.len() <= LONGEST_CLASS => Predicted::Class(class),
                Value::Bool(class) => Predicted::Class(class.to_string()),
                Value::Number(number) => Predicted::Number(number.as_f64().unwrap_or(f64::NAN)),
                _ => {
                    let detail =
                        format!("labels[{at}].value: must be a number, or a class of at most {LONGEST_CLASS} bytes");
                    return Err(Error::bad_request(detail));
                }
            };
            Ok(Labelling { id, truth })
        };
        self.labels.into_iter().enumerate().map(one).collect()
    }
}

async fn label(Admitted { service, grant }: Admitted, Body(labels): Body<Labels, LARGEST>) -> Answer {
    let labels = labels.read()?;
    let ids: Vec<PredictionId> = labels.iter().map(|labelling| labelling.id).collect();
    let outcomes = service.monitors.label(&grant, labels).await?;
    let shown = ids.iter().zip(outcomes).map(|(id, outcome)| json!({"id": id.to_string(), "outcome": outcome}));
    reply(&json!({"labels": shown.collect::<Vec<Value>>()}))
}

async fn prediction(Admitted { service, grant }: Admitted, Path((_, id)): Path<(String, String)>) -> Answer {
    let id: PredictionId = id.parse().map_err(|wrong| Error::bad_request(format!("id: {wrong}")))?;
    let Known { served, found } = service.monitors.prediction(&grant, id).await?;
    let text = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap_or_default();
    let labels = found.labels.iter().map(|label| json!({"value": text(&label.body), "at": rfc3339(label.at)}));
    let body = found.prediction.as_ref().map(|record| text(&record.body)).unwrap_or_default();
    reply(&json!({
        "id": id.to_string(), "at": rfc3339(id.at()), "service": served.service, "version": served.revision,
        "model": served.model, "modelVersion": served.version, "digest": served.digest,
        "recorded": found.prediction.is_some(), "features": body["features"], "predicted": body["predicted"],
        "labels": labels.collect::<Vec<Value>>(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(labels: Value) -> Result<Vec<Labelling>> {
        serde_json::from_value::<Labels>(json!({ "labels": labels })).unwrap().read()
    }

    #[test]
    fn labels_are_classes_or_numbers() {
        let id = PredictionId::new(1, 2, 3).to_string();
        let one = |value: Value| read(json!([{"id": id, "value": value}])).map(|mut all| all.remove(0).truth);
        assert_eq!(one(json!("yes")).unwrap(), Predicted::Class("yes".into()));
        assert_eq!(one(json!(true)).unwrap(), Predicted::Class("true".into()));
        assert_eq!(one(json!(2)).unwrap(), Predicted::Number(2.0));
        for wrong in [json!(null), json!([1]), json!("x".repeat(1_001))] {
            assert!(one(wrong).unwrap_err().to_string().starts_with("labels[0].value: "));
        }
        assert!(read(json!([{"id": "x", "value": 1}])).unwrap_err().to_string().starts_with("labels[0].id: "));
        assert!(read(json!([])).unwrap_err().to_string().contains("1 to 10000"));
    }
}
