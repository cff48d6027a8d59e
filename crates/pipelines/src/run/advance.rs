//! How nodes start and end; loops have rules of their own.

use std::sync::Arc;

use super::node::{DagProgress, Inner, Node, NodeIndex};
use super::types::{Effect, NodeId, State};
use super::{MAX_ERROR, MAX_NODES, Run, launch};
use crate::ir::types::{Dag, Task, TaskIndex, Trigger};
use crate::placeholders::Constants;
use crate::resolve::{self, Around, Sibling};
use crate::values::Bindings;

pub(super) const CANCELED: &str = "the run was canceled";

impl Run {
    /// Starts what waits for nothing.
    fn start_dag(&mut self, dag: NodeIndex) {
        let plan = self.plan.clone();
        let Some(graph) = plan.components[self.nodes[dag].component].dag() else { return };
        for (index, task) in graph.tasks.iter().enumerate() {
            if task.upstream.is_empty() {
                self.decide(dag, graph, index);
            }
        }
    }

    /// Tells parents of their children's ends until nothing more follows.
    pub(super) fn settle(&mut self) {
        while let Some(index) = self.ended.pop_front() {
            match self.nodes[index].parent {
                None => self.finish(),
                Some(parent) if matches!(self.nodes[parent].inner, Inner::Loop(_)) => {
                    self.iteration_ended(parent, index)
                }
                Some(parent) => self.task_ended(parent, index),
            }
        }
    }

    pub(super) fn finish(&mut self) {
        if !self.replaying {
            let root = &self.nodes[0];
            self.actions.push(Effect::Finish { state: root.state, error: root.error.clone() });
        }
    }

    fn task_ended(&mut self, dag: NodeIndex, ended: NodeIndex) {
        let plan = self.plan.clone();
        let Some((component, task)) = self.nodes[ended].task else { return };
        let Some(graph) = plan.components[component].dag() else { return };
        let why = self.failure_of(ended);
        let canceled = self.nodes[ended].state == State::Canceled;
        let mut free = Vec::new();
        if let Inner::Dag(progress) = &mut self.nodes[dag].inner {
            progress.open -= 1;
            progress.failed = progress.failed.take().or(why);
            progress.canceled |= canceled;
            for next in &graph.tasks[task].downstream {
                progress.waiting[*next] -= 1;
                if progress.waiting[*next] == 0 {
                    free.push(*next);
                }
            }
        }
        for next in free {
            self.decide(dag, graph, next);
        }
        self.end_dag(dag, graph);
    }

    fn end_dag(&mut self, dag: NodeIndex, graph: &Dag) {
        let Inner::Dag(progress) = &mut self.nodes[dag].inner else { return };
        if progress.open > 0 {
            return;
        }
        match progress.failed.take() {
            // A step that ends badly when its run is canceled doesn't make it a failed one.
            Some(reason) if dag != 0 || !self.canceling => self.fail(dag, reason),
            None if !progress.canceled => {
                let outputs = resolve::of_dag(graph, |task| self.sibling(dag, graph, task));
                self.succeed(dag, outputs);
            }
            _ => self.end(dag, State::Canceled, Some(CANCELED.to_owned())),
        }
    }

    /// Decides on a task whose upstream tasks have all ended.
    fn decide(&mut self, dag: NodeIndex, graph: &Dag, index: TaskIndex) {
        let task = &graph.tasks[index];
        let states = || task.upstream.iter().map(|up| self.sibling(dag, graph, *up).state);
        let Inner::Dag(progress) = &self.nodes[dag].inner else { return };
        let skip = match task.trigger {
            _ if self.canceling => Some(CANCELED),
            Trigger::Succeeded if progress.failed.is_some() => Some("another task of the same graph failed before"),
            Trigger::Succeeded if !states().all(|state| state == State::Succeeded) => {
                Some("a task that it depends on was skipped")
            }
            Trigger::Completed if !task.upstream.is_empty() && states().all(|state| state == State::Skipped) => {
                Some("every task that it depends on was skipped")
            }
            Trigger::Succeeded | Trigger::Completed => None,
        };
        let id = self.nodes[dag].id.task(&task.key);
        let node = self.create(dag, index, id, None, task.component);
        if let Inner::Dag(progress) = &mut self.nodes[dag].inner {
            progress.nodes[index] = Some(node);
            progress.canceled |= skip == Some(CANCELED);
        }
        match skip {
            Some(reason) => self.end(node, State::Skipped, Some(reason.to_owned())),
            None => self.start_task(dag, graph, task, node),
        }
    }

    fn start_task(&mut self, dag: NodeIndex, graph: &Dag, task: &Task, node: NodeIndex) {
        match self.resolve(dag, graph, task, node) {
            Err(reason) => self.fail(node, reason),
            Ok(resolved) => {
                let component = &self.plan.components[task.component];
                let seen = || resolve::for_condition(component, &resolved.parameters);
                let runs = task.condition.as_ref().map(|condition| condition.evaluate(&seen()));
                self.nodes[node].inputs = Arc::new(resolved);
                match runs {
                    Some(Err(reason)) => self.fail(node, format!("its condition can't be evaluated: {reason}")),
                    Some(Ok(false)) => self.end(node, State::Skipped, Some("its condition is false".to_owned())),
                    Some(Ok(true)) | None => match &task.iterator {
                        Some(iterator) => self.start_loop(task, iterator, node),
                        None => self.start_body(node),
                    },
                }
            }
        }
    }

    fn resolve(&self, dag: NodeIndex, graph: &Dag, task: &Task, node: NodeIndex) -> Result<Bindings, String> {
        let id = launch::stable_id(&self.context, &self.nodes[node].id);
        let constants = Constants {
            context: &self.context,
            resource_name: &self.resource_name,
            task_name: &task.key,
            task_id: &id,
        };
        let siblings = |task| self.sibling(dag, graph, task);
        resolve::inputs(&self.plan, task, &Around { dag: &self.nodes[dag].inputs, siblings, constants: &constants })
    }

    /// Starts a node with its inputs.
    pub(super) fn start_body(&mut self, node: NodeIndex) {
        let plan = self.plan.clone();
        let Some(dag) = plan.components[self.nodes[node].component].dag() else {
            self.nodes[node].state = State::Running;
            self.launches.push(node);
            return;
        };
        if let Err(reason) = self.reserve(dag.tasks.len()) {
            self.fail(node, reason);
            return;
        }
        self.nodes[node].inner = Inner::Dag(DagProgress::new(&dag.tasks));
        self.nodes[node].state = State::Running;
        self.record(node);
        self.start_dag(node);
    }

    /// Takes room for nodes to come, before anything is made for them.
    pub(super) fn reserve(&mut self, nodes: usize) -> Result<(), String> {
        if nodes > MAX_NODES - self.reserved {
            return Err(format!("the run has more than the {MAX_NODES} tasks and iterations allowed"));
        }
        self.reserved += nodes;
        Ok(())
    }

    pub(super) fn succeed(&mut self, node: NodeIndex, outputs: Bindings) {
        self.nodes[node].outputs = Arc::new(outputs);
        self.end(node, State::Succeeded, None);
    }

    pub(super) fn fail(&mut self, node: NodeIndex, reason: String) {
        self.end(node, State::Failed, Some(reason));
    }

    pub(super) fn end(&mut self, node: NodeIndex, state: State, error: Option<String>) {
        self.nodes[node].state = state;
        self.nodes[node].error = error.map(shortened);
        self.record(node);
        self.ended.push_back(node);
    }

    /// Why a node that failed makes what is around it fail.
    pub(super) fn failure_of(&self, node: NodeIndex) -> Option<String> {
        let node = &self.nodes[node];
        if node.state != State::Failed {
            return None;
        }
        let name = node.id.as_str().rsplit('/').next().unwrap_or_default();
        Some(format!("{name} failed: {}", node.error.as_deref().unwrap_or("no reason is known")))
    }

    pub(super) fn sibling<'a>(&'a self, dag: NodeIndex, graph: &'a Dag, task: TaskIndex) -> Sibling<'a> {
        let node = match &self.nodes[dag].inner {
            Inner::Dag(progress) => progress.nodes[task].map(|node| &self.nodes[node]),
            Inner::Leaf | Inner::Loop(_) => None,
        };
        Sibling {
            key: &graph.tasks[task].key,
            state: node.map_or(State::Pending, |node| node.state),
            outputs: node.map_or(&self.nothing, |node| &node.outputs),
            error: node.and_then(|node| node.error.as_deref()),
        }
    }

    pub(super) fn create(
        &mut self,
        parent: NodeIndex,
        task: TaskIndex,
        id: NodeId,
        iteration: Option<usize>,
        component: usize,
    ) -> NodeIndex {
        let owner = match iteration {
            Some(_) => self.nodes[parent].task,
            None => Some((self.nodes[parent].component, task)),
        };
        self.add(Node {
            id,
            parent: Some(parent),
            component,
            task: owner,
            iteration,
            state: State::Pending,
            cached: false,
            inputs: self.nothing.clone(),
            outputs: self.nothing.clone(),
            error: None,
            inner: Inner::Leaf,
        })
    }
}

fn shortened(mut reason: String) -> String {
    if reason.len() > MAX_ERROR {
        let end = (0..=MAX_ERROR).rev().find(|at| reason.is_char_boundary(*at)).unwrap_or(0);
        reason.truncate(end);
        reason.push('…');
    }
    reason
}
