//! `DagSpec` and its tasks.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use mcplane_core::Result;
use serde_json::Value;

use super::check;
use super::component::{ByName, Names, file_name};
use super::fields::Node;
use super::types::{
    ArtifactInput, Caching, Dag, Inputs, Items, Iterator, ParameterInput, ParameterSource, Source, Task, TaskIndex,
    Trigger,
};
use crate::expression::{Condition, Selector};
use crate::run::RetryPolicy;
use crate::values::normalized;

/// What a task of a DAG may refer to.
struct Scope<'a> {
    names: &'a Names<'a>,
    inputs: &'a Inputs,
    tasks: &'a HashMap<String, TaskIndex>,
}

pub(super) fn dag(node: &Node<'_>, inputs: &Inputs, names: &Names<'_>) -> Result<Dag> {
    let map = node.field("tasks")?;
    let entries: Vec<(&String, Node<'_>)> = map.entries()?.collect();
    if entries.is_empty() {
        return Err(map.error("a DAG must have a task"));
    }
    let index: HashMap<String, TaskIndex> =
        entries.iter().enumerate().map(|(index, (key, _))| ((*key).clone(), index)).collect();
    let scope = Scope { names, inputs, tasks: &index };
    let mut tasks = Vec::with_capacity(entries.len());
    for (key, node) in &entries {
        file_name(key, node)?;
        tasks.push(task(key, node, &scope)?);
    }
    for at in 0..tasks.len() {
        for up in tasks[at].upstream.clone() {
            tasks[up].downstream.push(at);
        }
    }
    check::acyclic(&map, &tasks)?;

    let outputs = node.field("outputs")?;
    let mut dag = Dag { tasks, ..Dag::default() };
    for (name, node) in outputs.field("parameters")?.entries()? {
        let (one, many) = (node.field("valueFromParameter")?, node.field("valueFromOneof")?);
        let sources = if one.is_null() {
            let selectors = many.field("parameterSelectors")?;
            selectors.items()?.map(|node| selector(&node, "outputParameterKey", &index)).collect::<Result<_>>()?
        } else {
            vec![selector(&one, "outputParameterKey", &index)?]
        };
        dag.parameters.insert(name.clone(), sources);
    }
    for (name, node) in outputs.field("artifacts")?.entries()? {
        let selectors = node.field("artifactSelectors")?;
        let sources =
            selectors.items()?.map(|node| selector(&node, "outputArtifactKey", &index)).collect::<Result<_>>()?;
        dag.artifacts.insert(name.clone(), sources);
    }
    dag.index = index;
    Ok(dag)
}

fn selector(node: &Node<'_>, key: &str, tasks: &HashMap<String, TaskIndex>) -> Result<Source> {
    let task = task_named(&node.field("producerSubtask")?, tasks)?;
    Ok(Source { task, key: node.field(key)?.required()?.to_owned() })
}

fn task_named(node: &Node<'_>, tasks: &HashMap<String, TaskIndex>) -> Result<TaskIndex> {
    let name = node.required()?;
    tasks.get(name).copied().ok_or_else(|| node.error(format!("there is no task {name:?} in this DAG")))
}

fn task(key: &str, node: &Node<'_>, scope: &Scope<'_>) -> Result<Task> {
    let reference = node.field("componentRef")?;
    let reference = reference.field("name")?;
    let name = reference.required()?;
    let component = scope.names.components.get(name).copied();
    let component = component.ok_or_else(|| reference.error(format!("there is no component {name:?}")))?;

    let inputs = node.field("inputs")?;
    let mut upstream = BTreeSet::new();
    let mut parameters = ByName::new();
    for (name, node) in inputs.field("parameters")?.entries()? {
        let input = parameter(&node, scope)?;
        match &input.source {
            ParameterSource::Output(Source { task, .. }) | ParameterSource::FinalStatus(task) => {
                upstream.insert(*task);
            }
            ParameterSource::Input(_) | ParameterSource::Constant(_) => {}
        }
        parameters.insert(name.clone(), input);
    }
    let mut artifacts = ByName::new();
    for (name, node) in inputs.field("artifacts")?.entries()? {
        let input = artifact(&node, scope)?;
        if let ArtifactInput::Output(Source { task, .. }) = &input {
            upstream.insert(*task);
        }
        artifacts.insert(name.clone(), input);
    }
    for node in node.field("dependentTasks")?.items()? {
        upstream.insert(task_named(&node, scope.tasks)?);
    }

    let policy = node.field("triggerPolicy")?;
    let condition = policy.field("condition")?;
    let parsed = match condition.text()? {
        Some(text) => Some(Condition::parse(text).map_err(|reason| condition.error(reason))?),
        None => None,
    };
    let info = node.field("taskInfo")?;
    Ok(Task {
        key: key.to_owned(),
        display_name: info.field("name")?.text()?.unwrap_or(key).to_owned(),
        component,
        iterator: iterator(node, &parameters, &artifacts)?,
        parameters,
        artifacts,
        upstream: upstream.into_iter().collect(),
        downstream: Vec::new(),
        trigger: trigger(&policy.field("strategy")?)?,
        condition: parsed,
        parallelism: node.field("iteratorPolicy")?.field("parallelismLimit")?.count()?.unwrap_or(0) as usize,
        retry: retry(&node.field("retryPolicy")?)?,
        caching: caching(&node.field("cachingOptions")?)?,
    })
}

fn parameter(node: &Node<'_>, scope: &Scope<'_>) -> Result<ParameterInput> {
    let (output, input) = (node.field("taskOutputParameter")?, node.field("componentInputParameter")?);
    let (value, status) = (node.field("runtimeValue")?, node.field("taskFinalStatus")?);
    let source = if let Some(name) = input.text()? {
        // The SDK refers to the items of loops where it declares none; see `Component::inherited`.
        if !scope.inputs.parameters.contains_key(name) && !name.contains("loop-item") {
            return Err(input.error(format!("the component has no input parameter {name:?}")));
        }
        ParameterSource::Input(name.to_owned())
    } else if !output.is_null() {
        let task = task_named(&output.field("producerTask")?, scope.tasks)?;
        ParameterSource::Output(Source { task, key: output.field("outputParameterKey")?.required()?.to_owned() })
    } else if !status.is_null() {
        ParameterSource::FinalStatus(task_named(&status.field("producerTask")?, scope.tasks)?)
    } else if !value.is_null() {
        ParameterSource::Constant(Arc::new(constant(&value)?))
    } else {
        return Err(node
            .error("must have one of taskOutputParameter, componentInputParameter, runtimeValue and taskFinalStatus"));
    };
    let selector = node.field("parameterExpressionSelector")?;
    let selector = match selector.text()? {
        Some(text) => Some(Selector::parse(text).map_err(|reason| selector.error(reason))?),
        None => None,
    };
    Ok(ParameterInput { source, selector })
}

/// `ValueOrRuntimeParameter`, with the older `constantValue`.
pub(super) fn constant(node: &Node<'_>) -> Result<Value> {
    if !node.field("runtimeParameter")?.is_null() {
        return Err(node.error("a runtimeParameter is allowed for the URI of an importer only"));
    }
    let old = node.field("constantValue")?;
    let value = if let Some(wrapped) = old.object()? {
        wrapped.values().next().cloned().unwrap_or_default()
    } else {
        node.field("constant")?.value.clone()
    };
    Ok(normalized(value))
}

fn artifact(node: &Node<'_>, scope: &Scope<'_>) -> Result<ArtifactInput> {
    let (output, input) = (node.field("taskOutputArtifact")?, node.field("componentInputArtifact")?);
    if let Some(name) = input.text()? {
        if !scope.inputs.artifacts.contains_key(name) {
            return Err(input.error(format!("the component has no input artifact {name:?}")));
        }
        return Ok(ArtifactInput::Input(name.to_owned()));
    }
    if output.is_null() {
        return Err(node.error("must have one of taskOutputArtifact and componentInputArtifact"));
    }
    let task = task_named(&output.field("producerTask")?, scope.tasks)?;
    Ok(ArtifactInput::Output(Source { task, key: output.field("outputArtifactKey")?.required()?.to_owned() }))
}

fn iterator(
    node: &Node<'_>,
    parameters: &ByName<ParameterInput>,
    artifacts: &ByName<ArtifactInput>,
) -> Result<Option<Iterator>> {
    let over = node.field("parameterIterator")?;
    if !over.is_null() {
        let items = over.field("items")?;
        let (raw, input) = (items.field("raw")?, items.field("inputParameter")?);
        let items = match (raw.text()?, input.text()?) {
            (Some(text), None) => match serde_json::from_str(text) {
                Ok(Value::Array(items)) => {
                    Items::Constant(items.into_iter().map(|item| Arc::new(normalized(item))).collect())
                }
                _ => return Err(raw.error("expected a JSON list in a string")),
            },
            (None, Some(name)) if parameters.contains_key(name) => Items::Input(name.to_owned()),
            (None, Some(name)) => return Err(input.error(format!("the task has no input parameter {name:?}"))),
            _ => return Err(items.error("must have one of raw and inputParameter")),
        };
        return Ok(Some(Iterator::Parameters { items, item: over.field("itemInput")?.required()?.to_owned() }));
    }
    let over = node.field("artifactIterator")?;
    if over.is_null() {
        return Ok(None);
    }
    let items = over.field("items")?;
    let items = items.field("inputArtifact")?;
    let name = items.required()?;
    if !artifacts.contains_key(name) {
        return Err(items.error(format!("the task has no input artifact {name:?}")));
    }
    Ok(Some(Iterator::Artifacts { items: name.to_owned(), item: over.field("itemInput")?.required()?.to_owned() }))
}

fn trigger(node: &Node<'_>) -> Result<Trigger> {
    let strategy = match node.value {
        Value::Number(number) => match number.as_u64() {
            Some(0 | 1) => "ALL_UPSTREAM_TASKS_SUCCEEDED",
            Some(2) => "ALL_UPSTREAM_TASKS_COMPLETED",
            _ => "",
        },
        _ => node.text()?.unwrap_or("TRIGGER_STRATEGY_UNSPECIFIED"),
    };
    match strategy {
        "ALL_UPSTREAM_TASKS_COMPLETED" => Ok(Trigger::Completed),
        "ALL_UPSTREAM_TASKS_SUCCEEDED" | "TRIGGER_STRATEGY_UNSPECIFIED" => Ok(Trigger::Succeeded),
        _ => Err(node.error("expected ALL_UPSTREAM_TASKS_SUCCEEDED or ALL_UPSTREAM_TASKS_COMPLETED")),
    }
}

fn retry(node: &Node<'_>) -> Result<RetryPolicy> {
    let standard = RetryPolicy::default();
    let factor = node.field("backoffFactor")?;
    Ok(RetryPolicy {
        max_retries: node.field("maxRetryCount")?.count()?.unwrap_or(0),
        backoff: duration(&node.field("backoffDuration")?)?.unwrap_or(standard.backoff),
        factor: match factor.number()? {
            Some(number) if number < 0.0 => return Err(factor.error("must not be negative")),
            Some(number) if number > 0.0 => number,
            _ => standard.factor,
        },
        max_backoff: duration(&node.field("backoffMaxDuration")?)?.unwrap_or(standard.max_backoff),
    })
}

/// A duration as protojson writes it: `3600s`, `0.5s`.
fn duration(node: &Node<'_>) -> Result<Option<Duration>> {
    let Some(text) = node.text()? else { return Ok(None) };
    let seconds = text.strip_suffix('s').and_then(|seconds| seconds.parse::<f64>().ok());
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.map(Some).ok_or_else(|| node.error("expected seconds, such as 3600s"))
}

fn caching(node: &Node<'_>) -> Result<Caching> {
    Ok(Caching { enabled: node.field("enableCache")?.flag()?, key: node.field("cacheKey")?.text()?.map(str::to_owned) })
}
