//! Models and versions as kinds of the object API: views of the registry, where they are made and changed.

use std::sync::Arc;

use mcplane_apimachinery::schema::Schema;
use mcplane_db::Db;
use mcplane_objects::http::AGE;
use mcplane_objects::schemas::{OwnSchema, of_kind, text};
use mcplane_objects::{Column, Kind, RegisteredKind, Registry, Resource};
use serde::Deserialize;
use serde_json::{Value, json};

use super::object_storage::ObjectStorage;
use crate::scope::OBJECT_GROUP;

const VERSION: &str = "v1alpha1";
/// What clients of the object API may do: the registry's own interfaces make and change what they see.
const VERBS: &[&str] = &["delete", "get", "list", "watch"];

/// A registered model, as an object.
#[derive(Debug, Deserialize)]
pub struct Model {}

/// A version of a model, as an object.
#[derive(Debug, Deserialize)]
pub struct ModelVersionObject {}

/// Adds the kinds.
pub fn register(registry: &mut Registry, db: &Db) {
    registry.add(RegisteredKind::new::<Model>(Arc::new(ObjectStorage::models(db))));
    registry.add(RegisteredKind::new::<ModelVersionObject>(Arc::new(ObjectStorage::versions(db))));
}

static MODEL_SCHEMA: OwnSchema = OwnSchema::new(model_schema);
static VERSION_SCHEMA: OwnSchema = OwnSchema::new(version_schema);

impl Resource for Model {
    const KIND: Kind = Kind {
        verbs: VERBS,
        strategic_merge: false,
        columns: &[
            Column { name: "Model", format: "string", priority: 0, cell: |model| model["spec"]["name"].clone() },
            Column {
                name: "Last",
                format: "integer",
                priority: 0,
                cell: |model| model["status"]["lastVersion"].clone(),
            },
            AGE,
        ],
        ..Kind::namespaced(OBJECT_GROUP, &[VERSION], "Model", "models", "model")
    };

    fn schema(_: &str) -> Option<&'static Schema> {
        MODEL_SCHEMA.compiled()
    }

    fn openapi(version: &str) -> Option<Value> {
        Some(MODEL_SCHEMA.component(&Self::KIND, version))
    }
}

impl Resource for ModelVersionObject {
    const KIND: Kind = Kind {
        verbs: VERBS,
        strategic_merge: false,
        short_names: &["mv"],
        selectable: &["spec.model"],
        columns: &[
            Column { name: "Model", format: "string", priority: 0, cell: |version| version["spec"]["model"].clone() },
            Column {
                name: "Version",
                format: "string",
                priority: 0,
                cell: |version| version["spec"]["version"].clone(),
            },
            Column {
                name: "Number",
                format: "integer",
                priority: 0,
                cell: |version| version["spec"]["number"].clone(),
            },
            Column { name: "Stage", format: "string", priority: 0, cell: |version| version["status"]["stage"].clone() },
            Column { name: "State", format: "string", priority: 0, cell: |version| version["status"]["state"].clone() },
            AGE,
            Column {
                name: "Digest",
                format: "string",
                priority: 1,
                cell: |version| version["status"]["digest"].clone(),
            },
        ],
        ..Kind::namespaced(OBJECT_GROUP, &[VERSION], "ModelVersion", "modelversions", "modelversion")
    };

    fn schema(_: &str) -> Option<&'static Schema> {
        VERSION_SCHEMA.compiled()
    }

    fn openapi(version: &str) -> Option<Value> {
        Some(VERSION_SCHEMA.component(&Self::KIND, version))
    }
}

fn map_of(kind: &str, about: &str) -> Value {
    json!({"type": "object", "additionalProperties": {"type": kind}, "description": about})
}

fn model_schema() -> Value {
    of_kind(
        "A registered model. It is made and changed through the registry.",
        json!({
            "name": text("The model's own name, which need not be one of DNS."),
            "description": text("What it is."),
            "tags": map_of("string", "Its tags."),
        }),
        json!({
            "lastVersion": {"type": "integer", "format": "int64", "description": "The last number that a version got."},
            "aliases": map_of("integer", "Numbers of versions by other names."),
            "updatedAt": text("When it last changed."),
        }),
    )
}

fn version_schema() -> Value {
    of_kind(
        "A version of a registered model. It is made and changed through the registry.",
        json!({
            "model": text("The model's own name."),
            "version": text("Semantic version, unique in the model."),
            "number": {"type": "integer", "format": "int64", "description": "The number that MLflow knows it by."},
            "source": text("Where it was registered from."),
            "runId": text("The run that made it."),
            "modelId": text("The logged model that it is."),
            "createdBy": text("Who registered it."),
            "description": text("What it is."),
            "tags": map_of("string", "Its tags."),
        }),
        json!({
            "stage": text("None, Staging, Production or Archived."),
            "state": text("Verified once the content was read and kept, else Unverified."),
            "digest": text("SHA-256 of the content."),
            "size": {"type": "integer", "format": "int64", "description": "Bytes of the content."},
            "metrics": map_of("number", "How good it is."),
            "environment": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "description": "What it was trained with."},
            "aliases": {"type": "array", "items": {"type": "string"}, "description": "Its other names."},
            "updatedAt": text("When it last changed."),
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemas_compile() {
        assert!(Model::schema(VERSION).is_some() && ModelVersionObject::schema(VERSION).is_some());
    }
}
