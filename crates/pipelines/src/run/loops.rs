//! How loops iterate.

use std::sync::Arc;

use serde_json::Value;

use super::Run;
use super::advance::CANCELED;
use super::node::{Inner, Item, LoopProgress, NodeIndex};
use super::types::State;
use crate::ir::types::{ArtifactInput, Component, Items, Iterator, ParameterSource, Task};
use crate::resolve;
use crate::values::{Bindings, convert, excerpt, normalized};

impl Run {
    pub(super) fn start_loop(&mut self, task: &Task, iterator: &Iterator, node: NodeIndex) {
        let plan = self.plan.clone();
        let component = &plan.components[task.component];
        let items = items(iterator, &self.nodes[node].inputs);
        match items.and_then(|items| self.reserve(items.len()).map(|()| items)) {
            Err(reason) => self.fail(node, reason),
            Ok(items) => {
                let limit = if task.parallelism == 0 { usize::MAX } else { task.parallelism };
                let shared = shared(iterator, component, &self.nodes[node].inputs);
                let (nodes, running) = (Vec::new(), 0);
                let progress = LoopProgress { items, nodes, running, limit, failed: None, canceled: false, shared };
                self.nodes[node].inner = Inner::Loop(progress);
                self.nodes[node].state = State::Running;
                self.record(node);
                self.start_iterations(node, iterator);
                self.end_loop(node);
            }
        }
    }

    /// Starts as many iterations as may run.
    fn start_iterations(&mut self, node: NodeIndex, iterator: &Iterator) {
        while !self.canceling
            && let Inner::Loop(progress) = &mut self.nodes[node].inner
            && progress.failed.is_none()
            && progress.running < progress.limit
            && let Some(item) = progress.items.get(progress.nodes.len()).cloned()
        {
            let index = progress.nodes.len();
            progress.running += 1;
            let mut inputs = progress.shared.clone();
            let (component, id) = (self.nodes[node].component, self.nodes[node].id.iteration(index));
            let task = self.nodes[node].task.map_or(0, |(_, task)| task);
            let iteration = self.create(node, task, id, Some(index), component);
            if let Inner::Loop(progress) = &mut self.nodes[node].inner {
                progress.nodes.push(iteration);
            }
            let bound = bind_item(iterator, &self.plan.components[component], item, &mut inputs);
            self.nodes[iteration].inputs = Arc::new(inputs);
            match bound {
                Ok(()) => self.start_body(iteration),
                Err(reason) => self.fail(iteration, reason),
            }
        }
    }

    pub(super) fn iteration_ended(&mut self, node: NodeIndex, ended: NodeIndex) {
        let why = self.failure_of(ended);
        let canceled = self.nodes[ended].state == State::Canceled;
        if let Inner::Loop(progress) = &mut self.nodes[node].inner {
            progress.running -= 1;
            progress.failed = progress.failed.take().or(why);
            progress.canceled |= canceled;
        }
        let plan = self.plan.clone();
        if let Some(iterator) = self.nodes[node].task(&plan).and_then(|task| task.iterator.as_ref()) {
            self.start_iterations(node, iterator);
        }
        self.end_loop(node);
    }

    fn end_loop(&mut self, node: NodeIndex) {
        let running = self.nodes[node].state == State::Running;
        let Inner::Loop(progress) = &mut self.nodes[node].inner else { return };
        let stopped = progress.failed.is_some() || self.canceling;
        if progress.running > 0 || !running {
            return;
        }
        let whole = progress.nodes.len() == progress.items.len();
        if !whole && !stopped {
            return;
        }
        if let Some(reason) = progress.failed.take() {
            self.fail(node, reason);
        } else if progress.canceled || !whole {
            self.end(node, State::Canceled, Some(CANCELED.to_owned()));
        } else {
            let component = &self.plan.components[self.nodes[node].component];
            let Inner::Loop(progress) = &self.nodes[node].inner else { return };
            let iterations = progress.nodes.iter().map(|iteration| self.nodes[*iteration].outputs.as_ref());
            let outputs = resolve::collect(component, iterations);
            self.succeed(node, outputs);
        }
    }
}

/// What a loop iterates over: a list, or the JSON text of one.
fn items(iterator: &Iterator, inputs: &Bindings) -> Result<Vec<Item>, String> {
    match iterator {
        Iterator::Artifacts { items, .. } => {
            let list = inputs.artifacts.get(items).map_or(&[][..], |list| list.as_slice());
            Ok(list.iter().cloned().map(Item::Artifact).collect())
        }
        Iterator::Parameters { items: Items::Constant(items), .. } => {
            Ok(items.iter().cloned().map(Item::Parameter).collect())
        }
        Iterator::Parameters { items: Items::Input(name), .. } => {
            let value =
                inputs.parameters.get(name).ok_or_else(|| format!("the list {name:?} to iterate over has no value"))?;
            let list = match value.as_ref() {
                Value::Array(list) => list.clone(),
                Value::String(text) => match serde_json::from_str(text).map(normalized) {
                    Ok(Value::Array(list)) => list,
                    _ => return Err(format!("{name:?} is to be iterated over and is no list: {}", excerpt(text))),
                },
                other => {
                    return Err(format!(
                        "{name:?} is to be iterated over and is no list: {}",
                        excerpt(&other.to_string())
                    ));
                }
            };
            Ok(list.into_iter().map(|item| Item::Parameter(Arc::new(item))).collect())
        }
    }
}

/// What each iteration gets of the loop's inputs. The list itself only if something in the loop takes it: a list of
/// `n` items in each of `n` records would be quadratic.
fn shared(iterator: &Iterator, component: &Component, inputs: &Bindings) -> Bindings {
    let mut shared = inputs.clone();
    if let Iterator::Artifacts { items, .. } = iterator {
        let taken = |task: &Task| {
            task.artifacts.values().any(|input| matches!(input, ArtifactInput::Input(input) if input == items))
        };
        if !component.dag().is_some_and(|dag| dag.tasks.iter().any(taken)) {
            shared.artifacts.remove(items);
        }
    }
    if let Iterator::Parameters { items: Items::Input(name), .. } = iterator {
        let taken = |task: &Task| {
            task.parameters
                .values()
                .any(|input| matches!(&input.source, ParameterSource::Input(input) if input == name))
        };
        if !component.dag().is_some_and(|dag| dag.tasks.iter().any(taken)) {
            shared.parameters.remove(name);
        }
    }
    shared
}

fn bind_item(iterator: &Iterator, component: &Component, item: Item, inputs: &mut Bindings) -> Result<(), String> {
    match (iterator, item) {
        (Iterator::Parameters { item: name, .. }, Item::Parameter(value)) => {
            let declared =
                component.inputs.parameters.get(name).filter(|_| component.dag().is_none() && !value.is_null());
            let value = match declared {
                Some(spec) => {
                    convert(value, spec.parameter_type).map_err(|reason| format!("item {name:?}: {reason}"))?
                }
                None => value,
            };
            inputs.parameters.insert(name.clone(), value);
        }
        (Iterator::Artifacts { item: name, .. }, Item::Artifact(artifact)) => {
            inputs.artifacts.insert(name.clone(), Arc::new(vec![artifact]));
        }
        _ => return Err("the item does not fit the iteration".to_owned()),
    }
    Ok(())
}
