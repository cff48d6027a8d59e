//! Nodes: what of the plan has come to be.

use std::sync::Arc;

use serde_json::Value;

use super::types::{NodeId, NodeKind, State};
use crate::ir::Plan;
use crate::ir::types::{Body, ComponentIndex, Task, TaskIndex};
use crate::values::{Artifact, Bindings};

/// Index of a node in its run.
pub(super) type NodeIndex = usize;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) parent: Option<NodeIndex>,
    pub(super) component: ComponentIndex,
    /// The task that this node is, by its DAG's component; an iteration is its loop's task. None for the root.
    pub(super) task: Option<(ComponentIndex, TaskIndex)>,
    pub(super) iteration: Option<usize>,
    pub(super) state: State,
    pub(super) cached: bool,
    pub(super) inputs: Arc<Bindings>,
    pub(super) outputs: Arc<Bindings>,
    pub(super) error: Option<String>,
    pub(super) inner: Inner,
}

#[derive(Debug)]
pub(super) enum Inner {
    /// Nothing yet, or nothing ever: what runs a command or imports.
    Leaf,
    Dag(DagProgress),
    Loop(LoopProgress),
}

#[derive(Debug)]
pub(super) struct DagProgress {
    /// By task: its node, once it is decided.
    pub(super) nodes: Vec<Option<NodeIndex>>,
    /// By task: how many tasks before it have not ended.
    pub(super) waiting: Vec<usize>,
    /// Tasks that have not ended.
    pub(super) open: usize,
    /// Why the first task failed.
    pub(super) failed: Option<String>,
    /// Whether a task did not run because the run was to end.
    pub(super) canceled: bool,
}

#[derive(Debug)]
pub(super) struct LoopProgress {
    pub(super) items: Vec<Item>,
    /// The nodes of the iterations that were started, in order.
    pub(super) nodes: Vec<NodeIndex>,
    pub(super) running: usize,
    pub(super) limit: usize,
    pub(super) failed: Option<String>,
    pub(super) canceled: bool,
    /// What every iteration gets beside its item.
    pub(super) shared: Bindings,
}

#[derive(Debug, Clone)]
pub(super) enum Item {
    Parameter(Arc<Value>),
    Artifact(Artifact),
}

impl DagProgress {
    pub(super) fn new(tasks: &[Task]) -> Self {
        Self {
            nodes: vec![None; tasks.len()],
            waiting: tasks.iter().map(|task| task.upstream.len()).collect(),
            open: tasks.len(),
            failed: None,
            canceled: false,
        }
    }
}

impl Node {
    pub(super) fn kind(&self, plan: &Plan) -> NodeKind {
        match (&self.inner, &plan.components[self.component].body) {
            (Inner::Loop(_), _) => NodeKind::Loop,
            (_, Body::Dag(_)) => NodeKind::Dag,
            (_, Body::Container(_)) => NodeKind::Container,
            (_, Body::Importer(_)) => NodeKind::Importer,
        }
    }

    /// The task that this node is; none for the root.
    pub(super) fn task<'a>(&self, plan: &'a Plan) -> Option<&'a Task> {
        let (component, task) = self.task?;
        plan.components[component].dag().map(|dag| &dag.tasks[task])
    }
}
