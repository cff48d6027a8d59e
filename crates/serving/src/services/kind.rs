//! `InferenceService`: its facts, schema and columns. The schema is the part of KServe's that is served in process; the
//! rest is for containers, and refused rather than ignored.

use mcplane_apimachinery::schema::Schema;
use mcplane_core::FieldError;
use mcplane_objects::http::AGE;
use mcplane_objects::schemas::{OwnSchema, text};
use mcplane_objects::{Column, Kind, Resource};
use serde::Deserialize;
use serde_json::{Value, json};

use super::scope::{GROUP, RESOURCE, VERSION};
use super::spec::{Spec, prepare};

/// A service that answers with a model.
#[derive(Debug, Clone, Deserialize)]
pub struct InferenceService {
    /// What is wanted.
    pub spec: Spec,
}

fn ready(service: &Value) -> Value {
    let conditions = service["status"]["conditions"].as_array();
    let found = conditions.and_then(|all| all.iter().find(|condition| condition["type"] == "Ready"));
    found.map_or(Value::Null, |condition| condition["status"].clone())
}

fn share(service: &Value, wanted: impl Fn(&Value) -> bool, field: &str) -> Value {
    let traffic = service["status"]["components"]["predictor"]["traffic"].as_array();
    let found = traffic.and_then(|all| all.iter().find(|share| wanted(share)));
    found.map_or(Value::Null, |share| share[field].clone())
}

fn is_previous(share: &Value) -> bool {
    share["tag"] == "prev"
}

fn is_latest(share: &Value) -> bool {
    share["latestRevision"] == true
}

static SCHEMA: OwnSchema = OwnSchema::new(schema);

impl Resource for InferenceService {
    const KIND: Kind = Kind {
        short_names: &["isvc"],
        status: true,
        generation: true,
        strategic_merge: false,
        columns: &[
            Column { name: "URL", format: "string", priority: 0, cell: |service| service["status"]["url"].clone() },
            Column { name: "Ready", format: "string", priority: 0, cell: ready },
            Column {
                name: "Prev",
                format: "integer",
                priority: 0,
                cell: |service| share(service, is_previous, "percent"),
            },
            Column {
                name: "Latest",
                format: "integer",
                priority: 0,
                cell: |service| share(service, is_latest, "percent"),
            },
            Column {
                name: "PrevRolledoutRevision",
                format: "string",
                priority: 0,
                cell: |service| share(service, is_previous, "revisionName"),
            },
            Column {
                name: "LatestReadyRevision",
                format: "string",
                priority: 0,
                cell: |service| share(service, is_latest, "revisionName"),
            },
            AGE,
        ],
        ..Kind::namespaced(GROUP, &[VERSION], "InferenceService", RESOURCE, "inferenceservice")
    };

    fn schema(_: &str) -> Option<&'static Schema> {
        SCHEMA.compiled()
    }

    fn openapi(version: &str) -> Option<Value> {
        Some(SCHEMA.component(&Self::KIND, version))
    }

    fn prepare(new: &mut Value, _: Option<&Value>) {
        prepare(new);
    }

    fn validate(new: &Self, _: Option<&Self>) -> Vec<FieldError> {
        new.spec.faults()
    }
}

fn count(about: &str) -> Value {
    json!({"type": "integer", "format": "int32", "description": about})
}

fn texts(about: &str) -> Value {
    json!({"type": "object", "description": about, "additionalProperties": {"type": "string"}})
}

fn free(about: &str) -> Value {
    json!({"type": "object", "description": about, "x-kubernetes-preserve-unknown-fields": true})
}

fn schema() -> Value {
    let model = json!({
        "type": "object",
        "description": "The model that predicts.",
        "required": ["modelFormat"],
        "properties": {
            "modelFormat": {
                "type": "object",
                "description": "What the model's file is.",
                "required": ["name"],
                "properties": {"name": text("onnx."), "version": text("Version of the format.")},
            },
            "storageUri": text("A version of the registry: models:/NAME/VERSION or models:/NAME@ALIAS."),
            "runtime": text("What runs it: mcplane-onnx."),
            "protocolVersion": text("What clients speak: v2, the Open Inference Protocol."),
            "resources": free("What a container would be given; models in process share the server's."),
        },
    });
    let mut predictor = json!({
        "annotations": texts("Kept."),
        "labels": texts("Kept."),
        "minReplicas": count("Without effect in process."),
        "maxReplicas": count("Without effect in process."),
        "scaleTarget": count("Without effect in process."),
        "scaleMetric": text("Without effect in process."),
        "containerConcurrency": {"type": "integer", "format": "int64", "description": "Without effect in process."},
        "timeout": {"type": "integer", "format": "int64", "description": "Without effect in process."},
        "serviceAccountName": text("Without effect in process."),
    });
    predictor["model"] = model;
    // Known so that they are refused with a reason, and not as misspelt.
    for other in [
        "sklearn",
        "xgboost",
        "tensorflow",
        "pytorch",
        "triton",
        "onnx",
        "pmml",
        "lightgbm",
        "paddle",
        "huggingface",
        "workerSpec",
    ] {
        predictor[other] = free("Not served in process.");
    }
    predictor["containers"] = json!({
        "type": "array", "description": "Not served in process.",
        "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    });
    predictor["canaryTrafficPercent"] = json!({
        "type": "integer", "format": "int64", "description": "Not supported: a Rollout sends a new revision out by stages.",
    });
    json!({
        "type": "object",
        "description": "A service that answers with a model of the registry, by the Open Inference Protocol.",
        "required": ["spec"],
        "properties": {
            "spec": {
                "type": "object",
                "description": "What is wanted.",
                "required": ["predictor"],
                "properties": {"predictor": {
                    "type": "object", "description": "What predicts.", "properties": predictor,
                }},
            },
            "status": free("What is true."),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_compiles_and_columns_are_kserves() {
        assert!(InferenceService::schema(VERSION).is_some());
        let service = json!({"status": {
            "url": "http://iris.default.localhost:5081",
            "conditions": [{"type": "PredictorReady", "status": "False"}, {"type": "Ready", "status": "True"}],
            "components": {"predictor": {"traffic": [
                {"percent": 10, "revisionName": "iris-predictor-00002", "latestRevision": true},
                {"percent": 90, "revisionName": "iris-predictor-00001", "tag": "prev"},
            ]}},
        }});
        let cells: Vec<Value> = InferenceService::KIND.columns.iter().take(6).map(|c| (c.cell)(&service)).collect();
        let expected = json!([
            "http://iris.default.localhost:5081",
            "True",
            90,
            10,
            "iris-predictor-00001",
            "iris-predictor-00002",
        ]);
        assert_eq!(Value::from(cells), expected);
    }
}
