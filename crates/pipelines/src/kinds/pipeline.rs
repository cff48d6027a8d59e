//! `Pipeline` and `PipelineVersion`, as Kubeflow Pipelines has them: a name, and what it stood for at some time.

use mcplane_apimachinery::schema::Schema;
use mcplane_core::FieldError;
use mcplane_objects::http::AGE;
use mcplane_objects::schemas::{OwnSchema, anything, of_kind, text};
use mcplane_objects::{Column, Kind, Resource};
use serde::Deserialize;
use serde_json::{Value, json};

use super::run::parse_spec;
use super::{KUBEFLOW, KUBEFLOW_VERSION};

/// A pipeline: what its versions have in common.
#[derive(Debug, Deserialize)]
pub struct Pipeline {}

/// A version of a pipeline.
#[derive(Debug, Default, Deserialize)]
pub struct PipelineVersion {
    /// What is wanted.
    #[serde(default)]
    pub spec: VersionSpec,
}

/// What a version of a pipeline is.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VersionSpec {
    /// The pipeline that it is a version of.
    pub pipeline_name: String,
    /// The compiled pipeline, as an object or as text.
    pub pipeline_spec: Value,
    /// What it says to platforms, where that is not in the text.
    pub platform_spec: Value,
    /// For people.
    pub display_name: String,
}

const DISPLAY_NAME: Column = Column {
    name: "Display Name",
    format: "string",
    priority: 1,
    cell: |object| object["spec"]["displayName"].as_str().unwrap_or_default().into(),
};

static PIPELINE_SCHEMA: OwnSchema = OwnSchema::new(pipeline_schema);
static VERSION_SCHEMA: OwnSchema = OwnSchema::new(version_schema);

impl Resource for Pipeline {
    const KIND: Kind = Kind {
        status: true,
        generation: true,
        strategic_merge: false,
        columns: &[AGE, DISPLAY_NAME],
        ..Kind::namespaced(KUBEFLOW, &[KUBEFLOW_VERSION], "Pipeline", "pipelines", "pipeline")
    };

    fn schema(_: &str) -> Option<&'static Schema> {
        PIPELINE_SCHEMA.compiled()
    }

    fn openapi(version: &str) -> Option<Value> {
        Some(PIPELINE_SCHEMA.component(&Self::KIND, version))
    }
}

impl Resource for PipelineVersion {
    const KIND: Kind = Kind {
        status: true,
        generation: true,
        strategic_merge: false,
        selectable: &["spec.pipelineName"],
        columns: &[
            Column {
                name: "Pipeline",
                format: "string",
                priority: 0,
                cell: |version| version["spec"]["pipelineName"].clone(),
            },
            AGE,
            DISPLAY_NAME,
        ],
        ..Kind::namespaced(KUBEFLOW, &[KUBEFLOW_VERSION], "PipelineVersion", "pipelineversions", "pipelineversion")
    };

    fn schema(_: &str) -> Option<&'static Schema> {
        VERSION_SCHEMA.compiled()
    }

    fn openapi(version: &str) -> Option<Value> {
        Some(VERSION_SCHEMA.component(&Self::KIND, version))
    }

    fn validate(new: &Self, old: Option<&Self>) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if new.spec.pipeline_name.is_empty() {
            errors.push(FieldError::required("spec.pipelineName", "name the pipeline that this is a version of"));
        }
        let same = |old: &Self| {
            old.spec.pipeline_spec == new.spec.pipeline_spec && old.spec.platform_spec == new.spec.platform_spec
        };
        match old {
            Some(old) if !same(old) => {
                let detail = "a version does not change: make another";
                errors.push(FieldError::forbidden("spec.pipelineSpec", detail));
            }
            Some(_) => {}
            None => errors.extend(parse_spec(&new.spec.pipeline_spec, &new.spec.platform_spec).err()),
        }
        errors
    }
}

fn pipeline_schema() -> Value {
    of_kind(
        "A pipeline; what it does is in its versions.",
        json!({"displayName": text("What people call it."), "description": text("What it is for.")}),
        json!({}),
    )
}

fn version_schema() -> Value {
    of_kind(
        "A version of a pipeline.",
        json!({
            "pipelineName": text("The pipeline."),
            "pipelineSpec": anything("The compiled pipeline, as an object or as the text of its file."),
            "platformSpec": anything("What it says to platforms, if that is not in the text."),
            "pipelineSpecURI": text("Where the compiled pipeline was taken from."),
            "codeSourceURL": text("Where its source is."),
            "displayName": text("What people call it."),
            "description": text("What is new in it."),
        }),
        json!({"conditions": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}),
    )
}
