//! What a task gets: its inputs from the DAG around it, from its siblings and from constants.
//!
//! - A value that the DAG has no value for (an optional input of the pipeline that nobody gave, explicitly null) is
//!   left out where the task's input is optional, and an error where it is not. Components with a DAG see an explicit
//!   null instead, so that their own tasks can tell.
//! - An input that nobody gave has its default value, for the command, for `IfPresent` and for `{{$}}` alike.
//! - The output of a sibling that did not succeed is no value either: a task that ignores failures before it falls back
//!   to its default.
//! - STRING takes everything as text; every other mismatch of types is an error. Graphs pass values on untouched, since
//!   the SDK guesses the types of a loop's items; their conditions see what is declared STRING as text nonetheless.
//! - A loop gives lists, one level for each loop: the outputs of a loop in a loop are lists of lists. An artifact list
//!   can't nest, so artifacts come in one flat list in the order of the iterations. Iterations without the output (their
//!   condition was false) are left out of the list.

mod outputs;
mod platforms;

pub(crate) use outputs::{collect, of_dag};
pub(crate) use platforms::platforms;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::ir::types::{ArtifactInput, Body, Component, Iterator, ParameterInput, ParameterSource, Task, TaskIndex};
use crate::ir::{Inputs, Plan};
use crate::placeholders::{Constants, Scope};
use crate::run::State;
use crate::values::{Bindings, ParameterType, Parameters, convert, normalized, text, within};

/// What is known of a task in the same DAG.
#[derive(Clone, Copy)]
pub(crate) struct Sibling<'a> {
    pub(crate) key: &'a str,
    pub(crate) state: State,
    pub(crate) outputs: &'a Bindings,
    pub(crate) error: Option<&'a str>,
}

/// What a task is resolved against.
pub(crate) struct Around<'a, S> {
    pub(crate) dag: &'a Bindings,
    pub(crate) siblings: S,
    pub(crate) constants: &'a Constants<'a>,
}

/// The inputs of a task whose upstream tasks have ended. The error is a sentence for the task's status.
pub(crate) fn inputs<'a, S>(plan: &Plan, task: &Task, around: &Around<'a, S>) -> Result<Bindings, String>
where
    S: Fn(TaskIndex) -> Sibling<'a>,
{
    let component = &plan.components[task.component];
    let mut resolved = Bindings::default();
    let mut constants = Vec::new();
    for (name, input) in &task.parameters {
        if let ParameterSource::Constant(value) = &input.source {
            constants.push((name, input, value));
            continue;
        }
        let value = parameter(name, input, component, around)?;
        bind(name, value, component, &mut resolved)?;
    }
    // Constants speak of the task's other inputs, not of each other.
    let mut made = Vec::with_capacity(constants.len());
    for (name, input, value) in constants {
        let scope = Scope {
            constants: around.constants,
            inputs: &resolved,
            declared: &component.inputs,
            outputs: None,
            executor_input: None,
            executor_input_text: OnceCell::new(),
        };
        let value = if holds_placeholder(value) { Arc::new(normalized(scope.constant(value))) } else { value.clone() };
        made.push((name, select(name, input, Some(value).filter(|value| !value.is_null()))?));
    }
    for (name, value) in made {
        bind(name, value, component, &mut resolved)?;
    }
    for name in &component.inherited {
        if let Some(value) = around.dag.parameters.get(name) {
            resolved.parameters.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    artifacts(task, component, around, &mut resolved)?;
    fill(component, task, &mut resolved)?;
    Ok(resolved)
}

fn holds_placeholder(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("{{$"),
        Value::Array(items) => items.iter().any(holds_placeholder),
        Value::Object(entries) => entries.iter().any(|(key, value)| key.contains("{{$") || holds_placeholder(value)),
        _ => false,
    }
}

fn parameter<'a, S>(
    name: &str,
    input: &ParameterInput,
    component: &Component,
    around: &Around<'a, S>,
) -> Result<Option<Arc<Value>>, String>
where
    S: Fn(TaskIndex) -> Sibling<'a>,
{
    let value = match &input.source {
        ParameterSource::Input(of_dag) => of_around(of_dag, &around.dag.parameters),
        ParameterSource::Output(source) => {
            let sibling = (around.siblings)(source.task);
            let value = sibling.outputs.parameters.get(&source.key).cloned();
            let optional = component.inputs.parameters.get(name).is_some_and(|spec| spec.optional);
            if value.is_none() && !optional {
                return Err(no_output(name, &source.key, &sibling));
            }
            value
        }
        ParameterSource::FinalStatus(task) => Some(Arc::new(final_status(&(around.siblings)(*task), around.constants))),
        ParameterSource::Constant(value) => Some(value.clone()),
    };
    select(name, input, value.filter(|value| !value.is_null()))
}

/// A value of the DAG. The SDK loses members of a loop's item where they are used in a text within an inner loop:
/// `X-subvar-k` without a value is then the member `k` of `X`.
fn of_around(name: &str, parameters: &Parameters) -> Option<Arc<Value>> {
    match parameters.get(name) {
        Some(value) if !value.is_null() => Some(value.clone()),
        found => {
            let member = name.rsplit_once("-subvar-").and_then(|(item, key)| parameters.get(item)?.get(key));
            member.map(|value| Arc::new(value.clone())).or_else(|| found.cloned())
        }
    }
}

fn no_output(name: &str, key: &str, sibling: &Sibling<'_>) -> String {
    let why = match sibling.state {
        State::Succeeded => "which did not make it",
        State::Skipped => "which was skipped",
        _ => "which failed",
    };
    format!("input {name:?} is the output {key:?} of task {:?}, {why}", sibling.key)
}

fn select(name: &str, input: &ParameterInput, value: Option<Arc<Value>>) -> Result<Option<Arc<Value>>, String> {
    match (&input.selector, value) {
        (Some(selector), Some(value)) => {
            let selected = selector.apply(&value).map_err(|reason| format!("input {name:?}: {reason}"))?;
            Ok(Some(Arc::new(normalized(selected))).filter(|value| !value.is_null()))
        }
        (_, value) => Ok(value),
    }
}

/// Binds a value in the type that the component declares; what it does not declare serves constants only.
fn bind(name: &str, value: Option<Arc<Value>>, component: &Component, resolved: &mut Bindings) -> Result<(), String> {
    let spec = component.inputs.parameters.get(name);
    let value = match value {
        Some(value) => value,
        // Nothing, but known: a text that speaks of it has nothing there.
        None if spec.is_none() => Arc::new(Value::Null),
        None => return Ok(()),
    };
    let value = match spec {
        // The SDK guesses the types of a loop's items, wrongly at times; who takes them knows.
        Some(_) if matches!(component.body, Body::Dag(_)) => value,
        Some(spec) => {
            let value = convert(value, spec.parameter_type).map_err(|reason| format!("input {name:?}: {reason}"))?;
            within(&value, &spec.literals).map_err(|reason| format!("input {name:?}: {reason}"))?;
            value
        }
        None => value,
    };
    resolved.parameters.insert(name.to_owned(), value);
    Ok(())
}

fn artifacts<'a, S>(
    task: &Task,
    component: &Component,
    around: &Around<'a, S>,
    resolved: &mut Bindings,
) -> Result<(), String>
where
    S: Fn(TaskIndex) -> Sibling<'a>,
{
    for (name, input) in &task.artifacts {
        let spec = component.inputs.artifacts.get(name);
        let list = match input {
            ArtifactInput::Input(of_dag) => around.dag.artifacts.get(of_dag).cloned(),
            ArtifactInput::Output(source) => {
                let sibling = (around.siblings)(source.task);
                let list = sibling.outputs.artifacts.get(&source.key).cloned();
                if list.is_none() && !spec.is_some_and(|spec| spec.optional) {
                    return Err(no_output(name, &source.key, &sibling));
                }
                list
            }
        };
        if let Some(list) = list {
            resolved.artifacts.insert(name.clone(), list);
        }
    }
    Ok(())
}

/// Gives declared inputs that have no value their default, or says what is missing.
fn fill(component: &Component, task: &Task, resolved: &mut Bindings) -> Result<(), String> {
    // The item is bound in each iteration.
    let item = match &task.iterator {
        Some(Iterator::Parameters { item, .. } | Iterator::Artifacts { item, .. }) => Some(item.as_str()),
        None => None,
    };
    let missing = if matches!(component.body, Body::Dag(_)) { Missing::Null } else { Missing::Absent };
    default_parameters(&component.inputs, missing, item, &mut resolved.parameters)?;
    for (name, spec) in &component.inputs.artifacts {
        if !spec.optional && item != Some(name) && !resolved.artifacts.contains_key(name) {
            return Err(format!("input artifact {name:?} is required and has no value"));
        }
    }
    Ok(())
}

/// The parameters as the task's condition sees them: what is declared as STRING is text.
pub(crate) fn for_condition<'a>(component: &Component, parameters: &'a Parameters) -> Cow<'a, Parameters> {
    let mut seen = Cow::Borrowed(parameters);
    for (name, spec) in &component.inputs.parameters {
        match parameters.get(name).map(Arc::as_ref) {
            None | Some(Value::Null | Value::String(_)) => {}
            Some(value) if spec.parameter_type == ParameterType::String => {
                seen.to_mut().insert(name.clone(), Arc::new(Value::String(text(value).into_owned())));
            }
            Some(_) => {}
        }
    }
    seen
}

/// What becomes of a declared parameter with neither a value nor a default.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// It is null, required or not, and an error only for the task that needs it: the SDK declares more inputs of
    /// loops than it gives.
    Null,
    /// It is null where it is optional, and an error otherwise.
    NullIfOptional,
    /// It is left out where it is optional, and an error otherwise.
    Absent,
}

fn default_parameters(
    inputs: &Inputs,
    missing: Missing,
    item: Option<&str>,
    parameters: &mut Parameters,
) -> Result<(), String> {
    for (name, spec) in &inputs.parameters {
        if item == Some(name) || parameters.contains_key(name) {
            continue;
        }
        match &spec.default {
            Some(value) => {
                parameters.insert(name.clone(), value.clone());
            }
            None if missing == Missing::Null || spec.optional && missing == Missing::NullIfOptional => {
                parameters.insert(name.clone(), Arc::new(Value::Null));
            }
            None if spec.optional => {}
            None => return Err(format!("input {name:?} is required and has no value")),
        }
    }
    Ok(())
}

/// The inputs of a run: arguments in the pipeline's types, defaults for the rest.
///
/// # Errors
/// A sentence that names the argument: unknown, of another type, not among the literals, or missing.
pub(crate) fn arguments(plan: &Plan, arguments: Map<String, Value>) -> Result<Bindings, String> {
    let inputs = plan.inputs();
    let mut bindings = Bindings::default();
    for (name, value) in arguments {
        let Some(spec) = inputs.parameters.get(&name) else {
            let known: Vec<&str> = inputs.parameters.keys().map(String::as_str).take(20).collect();
            let known =
                if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
            return Err(format!("the pipeline has no parameter {name:?}: {known}"));
        };
        if value.is_null() {
            continue;
        }
        let value = convert(Arc::new(normalized(value)), spec.parameter_type);
        let value = value.map_err(|reason| format!("parameter {name:?}: {reason}"))?;
        within(&value, &spec.literals).map_err(|reason| format!("parameter {name:?}: {reason}"))?;
        bindings.parameters.insert(name, value);
    }
    if let Some((name, _)) = inputs.artifacts.iter().find(|(_, spec)| !spec.optional) {
        return Err(format!(
            "the pipeline takes the artifact {name:?}, which a run can't give: import it in the pipeline"
        ));
    }
    let of_pipeline = |reason: String| format!("the pipeline's {reason}");
    default_parameters(inputs, Missing::NullIfOptional, None, &mut bindings.parameters).map_err(of_pipeline)?;
    Ok(bindings)
}

/// `PipelineTaskFinalStatus`. Its `state` is `COMPLETE` or `FAILED`, as KFP's own backend says, where the SDK's
/// documentation speaks of `SUCCEEDED`.
fn final_status(of: &Sibling<'_>, constants: &Constants<'_>) -> Value {
    let error = match of.error {
        // google.rpc.Code FAILED_PRECONDITION: what an upstream failure is on Vertex.
        Some(message) if of.state != State::Succeeded => json!({"code": 9, "message": message}),
        _ => json!({}),
    };
    let state = match of.state {
        State::Succeeded => "COMPLETE",
        State::Skipped => "SKIPPED",
        State::Canceled => "CANCELED",
        _ => "FAILED",
    };
    json!({
        "state": state,
        "pipelineJobName": constants.context.display_name,
        "pipelineJobUuid": constants.context.run_id,
        "pipelineJobResourceName": constants.resource_name,
        "pipelineTaskName": of.key,
        "error": error,
    })
}

#[cfg(test)]
mod tests;
