//! `Gate`: a policy as an object.

use std::sync::Arc;

use mcplane_apimachinery::schema::Schema;
use mcplane_core::FieldError;
use mcplane_objects::http::AGE;
use mcplane_objects::schemas::{OwnSchema, count, number, text};
use mcplane_objects::storage::Storage;
use mcplane_objects::{Column, Kind, RegisteredKind, Registry, Resource};
use serde::Deserialize;
use serde_json::{Value, json};

use super::spec::Policy;
use crate::scope::{OBJECT_GROUP, VERSION};

/// A gate as an object.
#[derive(Debug, Deserialize)]
pub struct Gate {
    /// What it demands.
    pub spec: Policy,
}

/// Adds the kind, which is kept in `storage`.
pub fn register(registry: &mut Registry, storage: Arc<dyn Storage>) {
    registry.add(RegisteredKind::new::<Gate>(storage));
}

static SCHEMA: OwnSchema = OwnSchema::new(schema);

impl Resource for Gate {
    const KIND: Kind = Kind {
        generation: true,
        strategic_merge: false,
        columns: &[
            Column {
                name: "Thresholds",
                format: "integer",
                priority: 0,
                cell: |gate| gate["spec"]["thresholds"].as_array().map_or(0, Vec::len).into(),
            },
            Column {
                name: "Compares",
                format: "string",
                priority: 0,
                cell: |gate| gate["spec"]["comparison"]["metric"].clone(),
            },
            AGE,
        ],
        ..Kind::namespaced(OBJECT_GROUP, &[VERSION], "Gate", "gates", "gate")
    };

    fn schema(_: &str) -> Option<&'static Schema> {
        SCHEMA.compiled()
    }

    fn openapi(version: &str) -> Option<Value> {
        Some(SCHEMA.component(&Self::KIND, version))
    }

    fn validate(new: &Self, _: Option<&Self>) -> Vec<FieldError> {
        new.spec.faults()
    }
}

fn schema() -> Value {
    let metrics: Vec<&str> = super::spec::Metric::ALL.iter().map(|metric| metric.name()).collect();
    let metric = json!({"type": "string", "enum": metrics, "description": "The metric."});
    json!({
        "type": "object",
        "description": "What a model must show on rows that it has not seen. `mcplane gate evaluate` measures and asks it.",
        "required": ["spec"],
        "properties": {"spec": {
            "type": "object",
            "required": ["columns"],
            "properties": {
                "columns": {
                    "type": "object",
                    "description": "Where things are in the file of held-out rows.",
                    "required": ["label"],
                    "properties": {
                        "label": text("What is true."),
                        "prediction": text("What the model says: a class, or a number."),
                        "score": text("How probable it finds the positive class."),
                        "championPrediction": text("What the serving model says of the same rows."),
                        "championScore": text("How probable the serving model finds the positive class."),
                    },
                },
                "positive": {
                    "description": "The label that f1, auc and logLoss are about; 1 if left out.",
                    "x-kubernetes-preserve-unknown-fields": true,
                },
                "minRows": count("Fewer rows prove nothing; 100 if left out."),
                "thresholds": {
                    "type": "array",
                    "description": "What the model must reach by itself.",
                    "items": {
                        "type": "object",
                        "required": ["metric"],
                        "properties": {"metric": metric, "min": number("No less."), "max": number("No more.")},
                    },
                },
                "comparison": {
                    "type": "object",
                    "description": "How it must compare with the model that serves.",
                    "required": ["metric"],
                    "properties": {
                        "metric": metric,
                        "margin": number("How much worse it may be: the difference's whole interval lies above this, negated."),
                        "confidence": number("Of the two-sided interval; 0.95 if left out."),
                        "method": {
                            "type": "string", "enum": ["bootstrap", "mcnemar"],
                            "description": "How the interval is found; bootstrap if left out, mcnemar for accuracy only.",
                        },
                        "resamples": count("Draws of the bootstrap; 1000 if left out."),
                        "seed": count("What the draws begin from."),
                        "optional": {
                            "type": "boolean",
                            "description": "A file without the serving model's columns is judged by the thresholds alone.",
                        },
                    },
                },
            },
        }},
    })
}
