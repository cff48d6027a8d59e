//! What DAGs and loops give.

use std::sync::Arc;

use serde_json::Value;

use super::Sibling;
use crate::ir::types::{Component, Dag, TaskIndex};
use crate::values::{Artifact, Artifacts, Bindings, Parameters};

/// The outputs of a DAG that succeeded. Outputs of tasks that were skipped are left out: that is an error only for who
/// needs them.
pub(crate) fn of_dag<'a>(dag: &Dag, tasks: impl Fn(TaskIndex) -> Sibling<'a>) -> Bindings {
    let mut bindings = Bindings::default();
    for (name, sources) in &dag.parameters {
        let mut values = sources.iter().filter_map(|source| tasks(source.task).outputs.parameters.get(&source.key));
        if let Some(value) = values.next() {
            bindings.parameters.insert(name.clone(), value.clone());
        }
    }
    for (name, sources) in &dag.artifacts {
        let mut lists = sources.iter().filter_map(|source| tasks(source.task).outputs.artifacts.get(&source.key));
        if let Some(list) = lists.next() {
            bindings.artifacts.insert(name.clone(), list.clone());
        }
    }
    bindings
}

/// The outputs of a loop, from those of its iterations in order.
pub(crate) fn collect<'a>(component: &Component, iterations: impl Iterator<Item = &'a Bindings> + Clone) -> Bindings {
    let parameters: Parameters = component
        .outputs
        .parameters
        .keys()
        .map(|name| {
            let values = iterations.clone().filter_map(|outputs| outputs.parameters.get(name));
            (name.clone(), Arc::new(values.map(|value| Value::clone(value)).collect::<Value>()))
        })
        .collect();
    let artifacts: Artifacts = component
        .outputs
        .artifacts
        .keys()
        .map(|name| {
            let lists = iterations.clone().filter_map(|outputs| outputs.artifacts.get(name));
            (name.clone(), Arc::new(lists.flat_map(|list| list.iter().cloned()).collect::<Vec<Artifact>>()))
        })
        .collect();
    Bindings { parameters, artifacts }
}
