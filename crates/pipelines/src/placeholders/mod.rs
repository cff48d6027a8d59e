//! Placeholders in commands and constants: `{{$.inputs.parameters['x']}}`, `{{$}}` and the like.
//!
//! Each text is substituted in one pass: what a value holds is never looked at again, so a parameter may be the text
//! `{{$}}`. What is no placeholder stays as it is, `{{$.unknown}}` included. A declared input without a value is
//! nothing (the empty text).
//!
//! Elements of a command that are JSON text `{"IfPresent": …}` or `{"Concat": […]}` are taken apart first and
//! substituted in their leaves, so that a quote in a value can't break them. An input with a default value is present, as
//! in KFP since 2.17.1; before, it was not.

mod scan;
mod structure;

use std::borrow::Cow;
use std::cell::OnceCell;

use serde_json::Value;

use crate::ir::Inputs;
use crate::values::{Artifact, Bindings, DeclaredOutputs, text};
use scan::{Part, parts};

pub(crate) use structure::arguments;

/// Where the pipeline runs, for placeholders that no input holds.
#[derive(Debug)]
pub(crate) struct Constants<'a> {
    pub(crate) context: &'a crate::run::Context,
    pub(crate) resource_name: &'a str,
    pub(crate) task_name: &'a str,
    pub(crate) task_id: &'a str,
}

/// What a placeholder of a task may stand for.
pub(crate) struct Scope<'a> {
    pub(crate) constants: &'a Constants<'a>,
    pub(crate) inputs: &'a Bindings,
    pub(crate) declared: &'a Inputs,
    /// None while constants are resolved, which can't speak of outputs.
    pub(crate) outputs: Option<&'a DeclaredOutputs>,
    pub(crate) executor_input: Option<&'a Value>,
    pub(crate) executor_input_text: OnceCell<String>,
}

impl Scope<'_> {
    /// The text with every placeholder replaced.
    pub(crate) fn substitute<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if !text.contains("{{$") {
            return Cow::Borrowed(text);
        }
        let mut result = String::with_capacity(text.len());
        for part in parts(text) {
            match part {
                Part::Text(text) => result.push_str(text),
                Part::Placeholder { whole, path } => match self.value(&path) {
                    Some(value) => result.push_str(&value),
                    None => result.push_str(whole),
                },
            }
        }
        Cow::Owned(result)
    }

    /// A constant of the document with the texts in it substituted. A text that is one input parameter becomes that
    /// parameter's value with its type: `{"rate": "{{$.inputs.parameters['rate']}}"}` holds a number.
    pub(crate) fn constant(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => {
                self.typed(text).unwrap_or_else(|| Value::String(self.substitute(text).into_owned()))
            }
            Value::Array(items) => items.iter().map(|item| self.constant(item)).collect(),
            Value::Object(entries) => {
                let entries =
                    entries.iter().map(|(key, value)| (self.substitute(key).into_owned(), self.constant(value)));
                Value::Object(entries.collect())
            }
            scalar => scalar.clone(),
        }
    }

    fn typed(&self, text: &str) -> Option<Value> {
        let mut parts = parts(text);
        match (parts.next()?, parts.next()) {
            (Part::Placeholder { path, .. }, None) => match path.as_slice() {
                ["inputs", "parameters", name] => self.inputs.parameters.get(*name).map(|value| Value::clone(value)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether an input has a value, its default included.
    pub(crate) fn present(&self, name: &str) -> bool {
        let parameter = self.inputs.parameters.get(name).is_some_and(|value| !value.is_null());
        let artifact = self.inputs.artifacts.get(name).is_some_and(|list| !list.is_empty());
        parameter || artifact
    }

    /// None where the path leads nowhere, and the text stays.
    fn value(&self, path: &[&str]) -> Option<Cow<'_, str>> {
        let context = self.constants.context;
        match path {
            [] => self.executor_input_text(),
            ["inputs", "parameters", name] => match self.inputs.parameters.get(*name) {
                Some(value) => Some(text(value)),
                None => self.declared.parameters.contains_key(*name).then_some(Cow::Borrowed("")),
            },
            ["inputs", "artifacts", name, rest @ ..] => {
                match self.inputs.artifacts.get(*name).map(|list| list.as_slice()) {
                    Some(list @ [first, ..]) => of_artifact(list, first, rest),
                    _ => self.declared.artifacts.contains_key(*name).then_some(Cow::Borrowed("")),
                }
            }
            ["outputs", "parameters", name, "output_file" | "outputFile"] => {
                self.outputs?.parameters.get(*name).map(|output| Cow::Borrowed(output.path.as_str()))
            }
            ["outputs", "artifacts", name, rest @ ..] => {
                let artifact = self.outputs?.artifacts.get(*name)?;
                of_artifact(std::slice::from_ref(artifact), artifact, rest)
            }
            ["outputs", "output_file" | "outputFile"] | ["outputMetadataUri"] => {
                Some(Cow::Borrowed(self.outputs?.output_file.as_str()))
            }
            ["pipeline_job_name"] => Some(Cow::Borrowed(&context.display_name)),
            ["pipeline_job_resource_name"] => Some(Cow::Borrowed(self.constants.resource_name)),
            ["pipeline_job_uuid"] => Some(Cow::Borrowed(&context.run_id)),
            ["pipeline_task_name"] => Some(Cow::Borrowed(self.constants.task_name)),
            ["pipeline_task_uuid"] => Some(Cow::Borrowed(self.constants.task_id)),
            ["pipeline_root"] => Some(Cow::Borrowed(&context.pipeline_root)),
            ["pipeline_job_create_time_utc"] => Some(Cow::Borrowed(&context.created_at)),
            ["pipeline_job_schedule_time_utc"] => {
                Some(Cow::Borrowed(context.scheduled_at.as_ref().unwrap_or(&context.created_at)))
            }
            ["workspace_path"] => Some(Cow::Borrowed(context.workspace.as_deref().unwrap_or("/kfp-workspace"))),
            _ => None,
        }
    }

    /// Written once, however often it is asked for.
    fn executor_input_text(&self) -> Option<Cow<'_, str>> {
        let value = self.executor_input?;
        Some(Cow::Borrowed(self.executor_input_text.get_or_init(|| value.to_string())))
    }
}

fn of_artifact<'a>(list: &'a [Artifact], first: &'a Artifact, rest: &[&str]) -> Option<Cow<'a, str>> {
    match rest {
        [] => Some(Cow::Owned(Value::from_iter(list.iter().map(Artifact::to_json)).to_string())),
        ["uri"] => Some(Cow::Borrowed(&first.uri)),
        ["path"] => Some(first.path()),
        ["name"] => Some(Cow::Borrowed(&first.name)),
        ["metadata"] => Some(Cow::Owned(Value::Object(first.metadata.clone()).to_string())),
        ["metadata", key] => Some(first.metadata.get(*key).map_or(Cow::Borrowed(""), text)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
