//! The Kubeflow Pipelines intermediate representation: what `kfp.compiler.Compiler` writes, read into a [`Plan`].
//!
//! A document is YAML or JSON: a `PipelineSpec` (schema version 2.1), and perhaps a second document with a
//! `PlatformSpec`; or an object `{pipeline_spec, platform_spec}` as the SDK submits it. Field names are camelCase or
//! snake_case.
//!
//! A plan is checked once and for all: every name in it leads somewhere, no graph has a cycle, expressions and lists are
//! readable, sizes are within [`MAX_BYTES`], [`MAX_TASKS`] and [`MAX_DEPTH`]. Errors name the place in the document:
//! `components['comp-a'].dag.tasks['b'].dependentTasks[0]: there is no task 'c' in this DAG`.

mod check;
mod component;
mod document;
mod executor;
mod fields;
mod task;
pub(crate) mod types;

pub use types::{ArtifactSpec, Inputs, ParameterSpec};

use mcplane_core::{Error, Result};
use serde_json::{Map, Value};

use types::{Component, ComponentIndex};

/// Bytes of a document. Embedded notebooks and artifacts make documents of megabytes.
pub const MAX_BYTES: usize = 32 << 20;
/// Tasks in all components of a document.
pub const MAX_TASKS: usize = 10_000;
/// How deep DAGs nest: a pipeline in a loop in a condition has three levels below the root.
pub const MAX_DEPTH: usize = 32;

/// A checked pipeline.
#[derive(Debug)]
pub struct Plan {
    name: String,
    display_name: String,
    description: String,
    default_root: Option<String>,
    pub(crate) components: Vec<Component>,
    pub(crate) root: ComponentIndex,
    platforms: Map<String, Value>,
    spec: Value,
}

impl Plan {
    /// Reads a document: see the [module](self).
    ///
    /// # Errors
    /// `BadRequest` with the place and the reason, `TooLarge` above [`MAX_BYTES`].
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > MAX_BYTES {
            return Err(Error::TooLarge(format!(
                "the pipeline has {} bytes, which is more than the {MAX_BYTES} allowed",
                text.len()
            )));
        }
        let (spec, platforms) = document::read(text)?;
        Self::from_values(spec, &platforms)
    }

    /// From the parsed `PipelineSpec` and `PlatformSpec` (null for none).
    ///
    /// # Errors
    /// `BadRequest` with the place and the reason.
    pub fn from_values(spec: Value, platforms: &Value) -> Result<Self> {
        component::plan(spec, platforms)
    }

    /// Name of the pipeline (`pipelineInfo.name`).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What people call the pipeline; its name where nothing else is said.
    pub fn display_name(&self) -> &str {
        &self.display_name
    }

    /// What people are told of the pipeline.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// What a run takes.
    pub fn inputs(&self) -> &Inputs {
        &self.components[self.root].inputs
    }

    /// Where artifacts go unless a run says otherwise.
    pub fn default_pipeline_root(&self) -> Option<&str> {
        self.default_root.as_deref()
    }

    /// `pipelineConfig` of each platform: workspaces, times to live.
    pub fn pipeline_config(&self, platform: &str) -> Option<&Map<String, Value>> {
        let platform = self.platforms.get(platform)?;
        platform.get("pipelineConfig").or_else(|| platform.get("pipeline_config"))?.as_object()
    }

    /// What the document says to platforms, by platform.
    pub fn platforms(&self) -> &Map<String, Value> {
        &self.platforms
    }

    /// The `PipelineSpec` as it was read.
    pub fn spec(&self) -> &Value {
        &self.spec
    }
}

#[cfg(test)]
mod tests;
