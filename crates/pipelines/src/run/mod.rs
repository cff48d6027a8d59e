//! A run of a pipeline as a state machine: pure, deterministic, without clock or I/O.
//!
//! [`Run::start`] and [`Run::handle`] say what to do next as [`Effect`]s; the driver carries them out and reports what
//! happened as [`Event`]s. Everything that must outlive a crash is in the [`Record`]s among the effects.
//!
//! Invariants:
//! - The same plan, context, arguments and events in the same order give the same nodes, inputs and paths. So
//!   [`Run::restore`] needs no state but the records: it starts the run again, feeds it the ends of steps in their
//!   recorded order, and asks for what has not ended.
//! - A node ends once. An end reported again changes nothing.
//! - A step is asked for once in the life of a [`Run`], and after a restore once more unless it has ended.
//!
//! Semantics (KFP's backend, where it is consistent):
//! - A task starts when every task before it ended: `dependentTasks` and those whose outputs it takes. It is skipped,
//!   and that is no failure, unless all of them succeeded; a task that ignores failures (exit tasks too) is skipped only
//!   if all of them were skipped.
//! - After a failure nothing new starts in the same DAG, or in the same loop, except exit tasks and tasks that ignore
//!   failures; what runs goes on, nested DAGs included. The DAG then fails, whatever exit tasks do.
//! - A task whose inputs or condition can't be resolved fails without running and without retries.

mod advance;
mod fingerprint;
mod launch;
mod loops;
mod node;
mod replay;
mod types;

pub use types::{
    Context, Effect, Event, Fingerprint, Import, NodeId, NodeKind, Outcome, Record, Resources, RetryPolicy, State, Step,
};

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use mcplane_core::{Error, Result};
use serde_json::{Map, Value};

use crate::ir::Plan;
use crate::resolve;
use crate::values::Bindings;
use node::{Inner, Node, NodeIndex};

/// Nodes of a run; a task beyond them fails.
pub const MAX_NODES: usize = 200_000;
/// Bytes of an error that is recorded.
const MAX_ERROR: usize = 4096;

/// A run: see the [module](self).
#[derive(Debug)]
pub struct Run {
    plan: Arc<Plan>,
    context: Context,
    resource_name: String,
    nodes: Vec<Node>,
    index: HashMap<NodeId, NodeIndex>,
    sequence: u64,
    /// Nodes that there are or may come to be.
    reserved: usize,
    canceling: bool,
    canceled_at: Option<u64>,
    /// Nodes that have ended and whose parents do not know yet.
    ended: VecDeque<NodeIndex>,
    /// Leaves that are to be launched.
    launches: Vec<NodeIndex>,
    /// Whether records and launches wait for the end of a replay.
    replaying: bool,
    records: Vec<Record>,
    actions: Vec<Effect>,
    nothing: Arc<Bindings>,
}

impl Run {
    /// Starts a run with arguments for the pipeline's parameters.
    ///
    /// # Errors
    /// `BadRequest`: an argument is unknown, of another type, not allowed, or missing.
    pub fn start(plan: Arc<Plan>, context: Context, arguments: Map<String, Value>) -> Result<(Self, Vec<Effect>)> {
        let mut run = Self::new(plan, context);
        run.begin(arguments)?;
        let effects = run.drain();
        Ok((run, effects))
    }

    /// Takes note of what happened, and says what to do next. What is unknown or no news has no effects.
    pub fn handle(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Cancel => self.cancel(),
            Event::CacheHit { node, outputs } => {
                if let Some(index) = self.running_leaf(&node) {
                    self.nodes[index].cached = true;
                    self.succeed(index, outputs);
                }
            }
            Event::Ended { node, outcome } => {
                if let Some(index) = self.running_leaf(&node) {
                    self.leaf_ended(index, outcome);
                }
            }
        }
        self.drain()
    }

    /// The state of the whole run.
    pub fn state(&self) -> State {
        match self.nodes.first() {
            Some(root) if self.canceling && !root.state.is_final() => State::Canceling,
            Some(root) => root.state,
            None => State::Pending,
        }
    }

    /// The outputs of the pipeline, once it succeeded.
    pub fn outputs(&self) -> &Bindings {
        self.nodes.first().map_or(&self.nothing, |root| &root.outputs)
    }

    /// The plan that is run.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// What the machine was told of the run.
    pub fn context(&self) -> &Context {
        &self.context
    }

    fn new(plan: Arc<Plan>, context: Context) -> Self {
        let named = context.run_name.contains(plan.name());
        let resource_name =
            if named { context.run_name.clone() } else { format!("{}/{}", plan.name(), context.run_name) };
        Self {
            plan,
            context,
            resource_name,
            nodes: Vec::new(),
            index: HashMap::new(),
            sequence: 0,
            reserved: 0,
            canceling: false,
            canceled_at: None,
            ended: VecDeque::new(),
            launches: Vec::new(),
            replaying: false,
            records: Vec::new(),
            actions: Vec::new(),
            nothing: Arc::default(),
        }
    }

    fn begin(&mut self, arguments: Map<String, Value>) -> Result<()> {
        let inputs = resolve::arguments(&self.plan, arguments).map_err(Error::bad_request)?;
        self.add(Node {
            id: NodeId::root(),
            parent: None,
            component: self.plan.root,
            task: None,
            iteration: None,
            state: State::Pending,
            cached: false,
            inputs: Arc::new(inputs),
            outputs: self.nothing.clone(),
            error: None,
            inner: Inner::Leaf,
        });
        self.start_body(0);
        self.settle();
        Ok(())
    }

    fn running_leaf(&self, id: &NodeId) -> Option<NodeIndex> {
        let index = *self.index.get(id)?;
        let node = &self.nodes[index];
        (node.state == State::Running && matches!(node.inner, Inner::Leaf)).then_some(index)
    }

    fn leaf_ended(&mut self, index: NodeIndex, outcome: Outcome) {
        match outcome {
            Outcome::Succeeded(mut outputs) => {
                // Content that lay elsewhere is at its URI by now.
                for list in outputs.artifacts.values_mut() {
                    if list.iter().any(|artifact| artifact.custom_path.is_some()) {
                        Arc::make_mut(list).iter_mut().for_each(|artifact| artifact.custom_path = None);
                    }
                }
                self.succeed(index, outputs);
            }
            Outcome::Failed { message, exit_code } => {
                let message = match exit_code {
                    Some(code) => format!("{message} (exit code {code})"),
                    None => message,
                };
                self.fail(index, message);
            }
            Outcome::Canceled if self.canceling => {
                self.end(index, State::Canceled, Some("the run was canceled".to_owned()));
            }
            Outcome::Canceled => self.fail(index, "the task was canceled".to_owned()),
        }
    }

    fn cancel(&mut self) {
        let over = self.nodes.first().is_none_or(|root| root.state.is_final());
        if over || self.canceling {
            return;
        }
        self.canceling = true;
        self.record(0);
        self.cancel_leaves();
    }

    fn cancel_leaves(&mut self) {
        if self.replaying {
            return;
        }
        for node in &self.nodes {
            if node.state == State::Running && matches!(node.inner, Inner::Leaf) {
                self.actions.push(Effect::Cancel { node: node.id.clone() });
            }
        }
    }

    /// Everything that is to be done now: records first, so that a driver may make them durable at once.
    fn drain(&mut self) -> Vec<Effect> {
        self.settle();
        self.launch_all();
        let mut effects: Vec<Effect> = std::mem::take(&mut self.records).into_iter().map(Effect::Record).collect();
        effects.append(&mut self.actions);
        effects
    }

    /// Notes the state that a node is in now.
    fn record(&mut self, index: NodeIndex) {
        if self.replaying {
            return;
        }
        self.sequence += 1;
        let node = &self.nodes[index];
        let task = node.task(&self.plan);
        let canceling = index == 0 && self.canceling && !node.state.is_final();
        if canceling {
            self.canceled_at = self.canceled_at.or(Some(self.sequence));
        }
        self.records.push(Record {
            sequence: self.sequence,
            node: node.id.clone(),
            parent: node.parent.map(|parent| self.nodes[parent].id.clone()),
            task: task.map_or(self.plan.name(), |task| &task.key).to_owned(),
            display_name: task.map_or(self.plan.display_name(), |task| &task.display_name).to_owned(),
            kind: node.kind(&self.plan),
            iteration: node.iteration,
            state: if canceling { State::Canceling } else { node.state },
            canceled_at: self.canceled_at.filter(|_| index == 0),
            cached: node.cached,
            inputs: node.inputs.clone(),
            outputs: node.outputs.clone(),
            error: node.error.clone(),
        });
    }

    fn add(&mut self, node: Node) -> NodeIndex {
        let index = self.nodes.len();
        self.index.insert(node.id.clone(), index);
        self.nodes.push(node);
        index
    }
}

#[cfg(test)]
mod tests;
