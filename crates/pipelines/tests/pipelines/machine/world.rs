//! A driver that keeps everything in memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use mcplane_pipelines::ir::Plan;
use mcplane_pipelines::run::{Context, Effect, Event, Import, NodeId, Record, Run, State, Step};
use serde_json::{Map, Value};

use super::components::{Files, execute};

pub(super) struct World {
    pub(super) plan: Arc<Plan>,
    pub(super) arguments: Map<String, Value>,
    pub(super) run: Run,
    /// What a store would hold: the newest record of each node.
    pub(super) records: BTreeMap<NodeId, Record>,
    /// What was asked for and has not ended.
    pub(super) work: VecDeque<Work>,
    /// Every step and import that was done, in order.
    pub(super) done: Vec<NodeId>,
    pub(super) files: Files,
    pub(super) finished: Option<(State, Option<String>)>,
    /// The most steps that were under way at a time.
    pub(super) widest: usize,
}

#[derive(Debug, Clone)]
pub(super) enum Work {
    Step(Box<Step>),
    Import(Box<Import>),
}

impl Work {
    pub(super) fn node(&self) -> &NodeId {
        match self {
            Self::Step(step) => &step.node,
            Self::Import(import) => &import.node,
        }
    }
}

pub(super) fn corpus() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pipelines/corpus")
}

pub(super) fn plan(name: &str) -> Arc<Plan> {
    let text = std::fs::read_to_string(corpus().join(format!("{name}.yaml"))).unwrap();
    Arc::new(Plan::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}")))
}

pub(super) fn context() -> Context {
    Context {
        run_id: "run-1".into(),
        run_name: "nightly-x7".into(),
        display_name: "Nightly".into(),
        pipeline_root: "/artifacts".into(),
        created_at: "2026-01-02T03:04:05Z".into(),
        scheduled_at: None,
        workspace: Some("/workspace".into()),
    }
}

impl World {
    pub(super) fn start(plan: Arc<Plan>, arguments: Map<String, Value>) -> Self {
        let (run, effects) = Run::start(plan.clone(), context(), arguments.clone()).unwrap();
        let mut world = Self {
            plan,
            arguments,
            run,
            records: BTreeMap::new(),
            work: VecDeque::new(),
            done: Vec::new(),
            files: Files::new(),
            finished: None,
            widest: 0,
        };
        world.carry_out(effects);
        world
    }

    pub(super) fn of(name: &str, arguments: Value) -> Self {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        Self::start(plan(name), arguments)
    }

    pub(super) fn carry_out(&mut self, effects: Vec<Effect>) {
        let mut records_over = false;
        for effect in effects {
            match effect {
                Effect::Record(record) => {
                    assert!(!records_over, "records come first");
                    let sequence = record.sequence;
                    let before = self.records.insert(record.node.clone(), record);
                    assert!(before.is_none_or(|before| before.sequence < sequence));
                    continue;
                }
                Effect::Execute(step) => self.work.push_back(Work::Step(step)),
                Effect::Import(import) => self.work.push_back(Work::Import(import)),
                Effect::Cancel { node } => {
                    self.work.retain(|work| *work.node() != node);
                    let outcome = mcplane_pipelines::run::Outcome::Canceled;
                    let more = self.run.handle(Event::Ended { node, outcome });
                    self.carry_out(more);
                }
                Effect::Finish { state, error } => {
                    assert!(self.finished.is_none(), "a run finishes once");
                    self.finished = Some((state, error));
                }
            }
            records_over = true;
        }
        self.widest = self.widest.max(self.work.len());
    }

    /// Does one piece of work.
    pub(super) fn perform(&mut self, at: usize) {
        let work = self.work.remove(at).unwrap();
        self.done.push(work.node().clone());
        let (node, outcome) = match work {
            Work::Step(step) => (step.node.clone(), execute(&step, &mut self.files)),
            Work::Import(import) => (import.node.clone(), import.outcome(import.artifact.clone())),
        };
        let effects = self.run.handle(Event::Ended { node: node.clone(), outcome: outcome.clone() });
        self.carry_out(effects);
        // The same news again is no news.
        assert_eq!(self.run.handle(Event::Ended { node, outcome }), []);
    }

    /// Does what is asked for, in that order, to the end.
    pub(super) fn complete(mut self) -> Self {
        while !self.work.is_empty() {
            self.perform(0);
        }
        assert!(self.finished.is_some(), "nothing is left to do, so the run has finished");
        self
    }

    /// Forgets everything but the records (and the files).
    pub(super) fn crash(&mut self) {
        self.work.clear();
        self.finished = None;
        let records = self.records.values().cloned();
        let (run, effects) = Run::restore(self.plan.clone(), context(), self.arguments.clone(), records).unwrap();
        self.run = run;
        self.carry_out(effects);
    }

    pub(super) fn state(&self, node: &str) -> State {
        self.records[&NodeId::from(node)].state
    }

    pub(super) fn output(&self, node: &str) -> Value {
        let record = &self.records[&NodeId::from(node)];
        record.outputs.parameters.get("Output").map(|value| Value::clone(value)).unwrap_or_default()
    }

    pub(super) fn error(&self, node: &str) -> String {
        self.records[&NodeId::from(node)].error.clone().unwrap_or_default()
    }

    /// Every node, in the order of names.
    pub(super) fn trace(&self) -> String {
        let mut lines = Vec::new();
        for record in self.records.values() {
            let json = |bindings| serde_json::to_string(bindings).unwrap();
            let mut line = format!("{} {:?} {:?}", record.node, record.kind, record.state);
            if !record.inputs.is_empty() {
                line += &format!("\n  inputs  {}", json(&record.inputs));
            }
            if !record.outputs.is_empty() {
                line += &format!("\n  outputs {}", json(&record.outputs));
            }
            if let Some(error) = &record.error {
                line += &format!("\n  because {error}");
            }
            lines.push(line);
        }
        lines.join("\n") + "\n"
    }
}
