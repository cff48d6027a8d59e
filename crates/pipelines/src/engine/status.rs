//! The status of a run's object: a view of the rows, bounded, and not written with each transition.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use mcplane_core::clock::rfc3339;
use mcplane_core::{Result, Timestamp};
use serde_json::{Value, json};

use super::supervisor::service;
use super::{Shared, runs_resource};
use crate::run::{NodeId, NodeKind, Record, State};
use crate::runs::store::{Transition, word};
use crate::runs::{RunRow, StepRow};

/// Steps that a status tells of.
const MOST_STEPS: usize = 500;
/// States of the run that a status tells of.
const MOST_STATES: usize = 20;
/// The least time between two statuses of a run. Each is a revision with all of the object.
const PAUSE: Duration = Duration::from_millis(150);
/// More of it for each MiB of the pipeline.
const PAUSE_PER_MIB: Duration = Duration::from_millis(500);

/// What is shown of a node.
#[derive(Debug)]
struct Node {
    record: Record,
    task: String,
    /// Why it has not begun.
    waits: String,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
}

/// What is shown of a run.
#[derive(Debug)]
pub(super) struct View {
    nodes: BTreeMap<u64, Node>,
    /// Where each node is in the order: by its first transition.
    places: HashMap<NodeId, u64>,
    history: Vec<(String, Timestamp)>,
    changed: bool,
    pause: Duration,
}

impl View {
    pub(super) fn new(run: &RunRow, steps: &[StepRow], transitions: Vec<Transition>) -> Self {
        let mut view = Self {
            nodes: BTreeMap::new(),
            places: HashMap::new(),
            history: transitions.into_iter().map(|transition| (transition.state, transition.at)).collect(),
            changed: true,
            pause: PAUSE + PAUSE_PER_MIB.mul_f64(run.spec.len() as f64 / f64::from(1 << 20)),
        };
        for step in steps {
            view.add(Node {
                record: step.record.clone(),
                task: step.task.clone(),
                waits: String::new(),
                started_at: step.started_at,
                finished_at: step.finished_at,
            });
        }
        view
    }

    fn add(&mut self, node: Node) {
        let place = self.places.len() as u64;
        self.places.insert(node.record.node.clone(), place);
        self.nodes.insert(place, node);
    }

    /// Takes in transitions.
    pub(super) fn take(&mut self, records: &[Record], now: Timestamp) {
        for record in records {
            self.changed = true;
            if record.parent.is_none() {
                self.history.push((word(record.state), now));
            }
            if !self.places.contains_key(&record.node) {
                let (task, waits) = (String::new(), String::new());
                self.add(Node { record: record.clone(), task, waits, started_at: None, finished_at: None });
            }
            let Some(node) = self.node(&record.node) else { continue };
            if record.state != State::Pending && record.state != State::Skipped {
                node.started_at.get_or_insert(now);
            }
            node.finished_at = record.state.is_final().then_some(now);
            node.record = record.clone();
        }
    }

    fn node(&mut self, id: &NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(self.places.get(id)?)
    }

    /// A node waits for something.
    pub(super) fn wait(&mut self, id: &NodeId, why: String) {
        if let Some(node) = self.node(id) {
            node.waits = why;
            self.changed = true;
        }
    }

    /// A node has its task.
    pub(super) fn launched(&mut self, id: &NodeId, task: &str) {
        if let Some(node) = self.node(id) {
            task.clone_into(&mut node.task);
            node.waits.clear();
            self.changed = true;
        }
    }

    pub(super) fn is_changed(&self) -> bool {
        self.changed
    }

    pub(super) fn pause(&self) -> Duration {
        self.pause
    }

    fn status(&self, run: &RunRow) -> Value {
        let state = run.state.unwrap_or(State::Pending);
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        let mut shown = Vec::new();
        for node in self.nodes.values() {
            let record = &node.record;
            if record.parent.is_none() {
                continue;
            }
            if matches!(record.kind, NodeKind::Container | NodeKind::Importer) {
                *counts.entry("total").or_default() += 1;
                *counts.entry(count(record)).or_default() += 1;
                *counts.entry("done").or_default() += i64::from(record.state.is_final());
            }
            shown.push(shown_step(node));
        }
        for name in ["total", "done", "pending", "running", "succeeded", "cached", "skipped", "failed", "canceled"] {
            counts.entry(name).or_default();
        }
        let omitted = shown.len().saturating_sub(MOST_STEPS);
        // The oldest are those that people have seen.
        shown.drain(..omitted);
        let skip = self.history.len().saturating_sub(MOST_STATES);
        let history: Vec<Value> =
            self.history[skip..].iter().map(|(state, at)| json!({"state": state, "at": rfc3339(*at)})).collect();
        let mut status = json!({
            "pipeline": run.pipeline,
            "state": word(state),
            "message": run.error,
            "startedAt": rfc3339(run.created_at),
            "steps": counts,
            "stepStates": shown,
            "omittedSteps": omitted,
            "stateHistory": history,
            "experimentId": run.experiment,
            "runId": run.tracked,
            "conditions": [condition(state, &run.error, self.history.last().map_or(run.created_at, |(_, at)| *at))],
        });
        if let Some(at) = run.finished_at {
            status["finishedAt"] = rfc3339(at).into();
        }
        status
    }
}

fn count(record: &Record) -> &'static str {
    match record.state {
        State::Pending => "pending",
        State::Running | State::Canceling => "running",
        State::Succeeded if record.cached => "cached",
        State::Succeeded => "succeeded",
        State::Skipped => "skipped",
        State::Failed => "failed",
        State::Canceled => "canceled",
    }
}

fn shown_step(node: &Node) -> Value {
    let record = &node.record;
    let mut step = json!({
        "node": record.node.as_str(),
        "name": record.display_name,
        "kind": record.kind,
        "state": record.state,
    });
    let mut put = |field: &str, text: Option<String>| {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            step[field] = text.into();
        }
    };
    let message = record.error.clone().or_else(|| (!record.state.is_final()).then(|| node.waits.clone()));
    put("message", message);
    put("task", Some(node.task.clone()));
    put("startedAt", node.started_at.map(rfc3339));
    put("finishedAt", node.finished_at.map(rfc3339));
    if record.cached {
        step["cached"] = true.into();
    }
    step
}

/// What `kubectl wait` waits for.
fn condition(state: State, message: &str, at: Timestamp) -> Value {
    let status = match state {
        State::Succeeded | State::Skipped => "True",
        state if state.is_final() => "False",
        _ => "Unknown",
    };
    let reason = word(state);
    let reason = format!("{}{}", &reason[..1], reason[1..].to_lowercase());
    json!({
        "type": "Succeeded", "status": status, "reason": reason, "message": message, "lastTransitionTime": rfc3339(at),
    })
}

fn runs(shared: &Shared, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(shared.client.clone(), namespace, &runs_resource())
}

/// Writes a status; nobody needs that of a run that is gone.
async fn write(shared: &Shared, namespace: &str, name: &str, uid: &str, status: &Value) -> Result<()> {
    // Another object may have the name by now.
    let patch = json!({"metadata": {"uid": uid}, "status": status});
    match runs(shared, namespace).patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409 | 422) => Ok(()),
        outcome => outcome.map(drop).map_err(service),
    }
}

/// Tells the object of a run where it is.
pub(super) async fn publish(shared: &Shared, run: &RunRow, view: &mut View) -> Result<()> {
    view.changed = false;
    let written = write(shared, &run.namespace, &run.name, &run.uid, &view.status(run)).await;
    view.changed |= written.is_err();
    written
}

/// Tells the object of a run why it can't run.
pub(super) async fn refuse(shared: &Shared, object: &DynamicObject, why: &str) -> Result<()> {
    let now = shared.clock().now();
    let status = json!({
        "state": word(State::Failed),
        "message": why,
        "finishedAt": rfc3339(now),
        "conditions": [condition(State::Failed, why, now)],
    });
    let (namespace, uid) = (object.namespace().unwrap_or_default(), object.uid().unwrap_or_default());
    write(shared, &namespace, &object.name_any(), &uid, &status).await
}
