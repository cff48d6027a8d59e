//! One run, from the rows or from its object to its end.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kube::api::DynamicObject;
use mcplane_core::clock::rfc3339;
use mcplane_core::{Error, Result};
use mcplane_scheduler::tasks::Task;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::finish::Finishing;
use super::launch::Launching;
use super::status::{self, View};
use super::{BY_THE_RUN, REST, Shared, source};
use crate::ir::Plan;
use crate::run::{Context, Effect, Event, Import, NodeId, Outcome, Run, State, Step};
use crate::runs::service::{Progress, Runs};
use crate::runs::{RunRow, store};
use crate::values::Bindings;

/// What a driver hears.
#[derive(Debug)]
pub(super) enum Message {
    /// A step or an import has ended, and what it made is kept.
    Ended { node: NodeId, outcome: Outcome, digests: BTreeMap<String, String> },
    /// What a step would do was done before.
    Hit { node: NodeId, outputs: Bindings, digests: BTreeMap<String, String> },
    /// A step has its task.
    Launched { node: NodeId, task: Box<Task> },
    /// A task of the run has ended.
    TaskEnded(Box<Task>),
    /// Why a step has not begun.
    Waits { node: NodeId, why: String },
    /// Somebody wants the run to end.
    Cancel,
}

/// Messages that are taken together: what follows from them is one transaction.
const BATCH: usize = 256;

/// A step that has been asked for and has not ended.
struct Active {
    step: Arc<Step>,
    task: Option<i64>,
    /// Cancelled when the step is to end.
    stop: CancellationToken,
    finishing: bool,
}

struct Driver {
    shared: Arc<Shared>,
    runs: Runs,
    row: RunRow,
    machine: Run,
    view: View,
    outbox: mpsc::UnboundedSender<Message>,
    active: HashMap<NodeId, Active>,
    /// Which node a task does the work of.
    nodes: HashMap<String, NodeId>,
    /// Tasks that were made for nodes before a restart.
    begun: HashMap<NodeId, String>,
    /// Tasks that ended before the driver knew whose they were.
    early: HashMap<String, Box<Task>>,
    /// SHA-256 of artifacts by URI.
    digests: HashMap<String, String>,
    work: JoinSet<()>,
}

/// Drives a run to its end. What fails is tried again, from the rows.
pub(super) async fn drive(
    shared: Arc<Shared>,
    runs: Runs,
    object: DynamicObject,
    mut inbox: mpsc::UnboundedReceiver<Message>,
    outbox: mpsc::UnboundedSender<Message>,
) {
    let mut wanted = true;
    loop {
        match once(&shared, &runs, &object, &mut inbox, &outbox, &mut wanted).await {
            Ok(()) => return,
            Err(error) => {
                let name = object.metadata.name.as_deref().unwrap_or_default();
                tracing::warn!(%error, run = name, "a run of a pipeline is taken up again");
            }
        }
        tokio::time::sleep(REST).await;
        // What was heard of work that this driver began is in the rows, or is told again; not so what people want.
        while let Ok(message) = inbox.try_recv() {
            wanted &= !matches!(message, Message::Cancel);
        }
    }
}

async fn once(
    shared: &Arc<Shared>,
    runs: &Runs,
    object: &DynamicObject,
    inbox: &mut mpsc::UnboundedReceiver<Message>,
    outbox: &mpsc::UnboundedSender<Message>,
    wanted: &mut bool,
) -> Result<()> {
    let uid = object.metadata.uid.clone().unwrap_or_default();
    let row = match store::get(&shared.db, &uid).await? {
        Some(row) => row,
        None => match source::read(shared, object).await? {
            Ok(row) => {
                runs.insert(row.clone()).await?;
                row
            }
            Err(why) => return status::refuse(shared, object, &why).await,
        },
    };
    let (mut driver, effects) = Driver::new(shared, runs, row, outbox).await?;
    let mut over = driver.carry_out(effects).await?;
    if driver.row.canceling || !*wanted {
        over |= driver.cancel().await?;
    }
    let mut told = Instant::now();
    let mut heard = Vec::new();
    while !over {
        let due = told + driver.view.pause();
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(due), if driver.view.is_changed() => {
                driver.publish().await;
                told = Instant::now();
            }
            count = inbox.recv_many(&mut heard, BATCH) => {
                if count == 0 {
                    return Ok(());
                }
                *wanted &= !heard.iter().any(|message| matches!(message, Message::Cancel));
                over = driver.hear(heard.drain(..)).await?;
            }
            Some(done) = driver.work.join_next() => {
                if let Err(error) = done && error.is_panic() {
                    return Err(Error::internal(format!("the work for a step panicked: {error}")));
                }
            }
        }
    }
    driver.end().await
}

impl Driver {
    /// Takes a run up where its rows left it.
    async fn new(
        shared: &Arc<Shared>,
        runs: &Runs,
        mut row: RunRow,
        outbox: &mpsc::UnboundedSender<Message>,
    ) -> Result<(Self, Vec<Effect>)> {
        if row.tracked.is_empty() && row.finished_at.is_none() {
            match shared.recorder.begin_run(&row).await {
                Ok((experiment, tracked)) => {
                    runs.set_tracked(&row.uid, experiment.clone(), tracked.clone()).await?;
                    (row.experiment, row.tracked) = (experiment, tracked);
                }
                Err(error) => tracing::warn!(%error, run = row.name, "a run of a pipeline is not tracked"),
            }
        }
        let plan = Arc::new(Plan::parse(&row.spec)?);
        let steps = store::steps(&shared.db, &row.uid).await?;
        let mut digests = HashMap::new();
        let (mut nodes, mut begun) = (HashMap::new(), HashMap::new());
        for step in &steps {
            digests.extend(step.digests.clone());
            if !step.task.is_empty() {
                nodes.insert(step.task.clone(), step.record.node.clone());
                begun.insert(step.record.node.clone(), step.task.clone());
            }
        }
        let transitions = store::transitions(&shared.db, &row.uid, Some(NodeId::root().as_str()), 100).await?;
        let view = View::new(&row, &steps, transitions);
        let (context, arguments) = (context(shared, &row), row.asked.parameters.clone());
        let (machine, effects) = if steps.is_empty() {
            Run::start(plan, context, arguments)?
        } else {
            let records = steps.into_iter().map(|step| step.record);
            Run::restore(plan, context, arguments, records)?
        };
        let driver = Self {
            shared: Arc::clone(shared),
            runs: runs.clone(),
            row,
            machine,
            view,
            outbox: outbox.clone(),
            active: HashMap::new(),
            nodes,
            begun,
            early: HashMap::new(),
            digests,
            work: JoinSet::new(),
        };
        Ok((driver, effects))
    }

    /// Makes durable what is to be durable, then does the rest; tells whether the run is over.
    async fn carry_out(&mut self, effects: Vec<Effect>) -> Result<bool> {
        let mut progress = Progress::default();
        let mut rest = Vec::with_capacity(effects.len());
        let mut over = false;
        for effect in effects {
            match effect {
                Effect::Record(record) => progress.records.push(record),
                Effect::Finish { state, error } => {
                    over = true;
                    progress.state = Some((state, error.unwrap_or_default()));
                }
                effect => rest.push(effect),
            }
        }
        let state = self.machine.state();
        if progress.state.is_none() && self.row.state != Some(state) && !state.is_final() {
            progress.state = Some((state, String::new()));
        }
        let now = self.shared.clock().now();
        self.view.take(&progress.records, now);
        if let Some((state, error)) = &progress.state {
            self.row.state = Some(*state);
            self.row.error.clone_from(error);
            self.row.finished_at = state.is_final().then_some(now);
        }
        self.runs.advance(&self.row.uid, progress).await?;
        for effect in rest {
            self.act(effect).await?;
        }
        Ok(over)
    }

    async fn act(&mut self, effect: Effect) -> Result<()> {
        match effect {
            Effect::Execute(step) => self.execute(*step),
            Effect::Import(import) => self.import(&import),
            Effect::Cancel { node } => {
                let Some(active) = self.active.get(&node) else { return Ok(()) };
                active.stop.cancel();
                if let Some(task) = active.task {
                    self.shared.tasks.cancel(vec![task], BY_THE_RUN).await?;
                }
            }
            // These were taken out before.
            Effect::Record(_) | Effect::Finish { .. } => {}
        }
        Ok(())
    }

    fn execute(&mut self, step: Step) {
        let (step, stop) = (Arc::new(step), CancellationToken::new());
        let node = step.node.clone();
        let begun = self.begun.remove(&node);
        let launching = Launching {
            shared: Arc::clone(&self.shared),
            runs: self.runs.clone(),
            run: Arc::new(self.row.clone()),
            step: Arc::clone(&step),
            stop: stop.clone(),
            may_hit: begun.is_none() && self.row.asked.enable_cache != Some(false),
            begun,
            outbox: self.outbox.clone(),
        };
        self.work.spawn(launching.go());
        self.active.insert(node, Active { step, task: None, stop, finishing: false });
    }

    /// An artifact is taken as it is, wherever it lies: who reads it sees whether it is there.
    fn import(&mut self, import: &Import) {
        let outcome = if import.download_to_workspace {
            let message =
                "downloading to a workspace is not supported here: read the artifact from its path".to_owned();
            Outcome::Failed { message, exit_code: None }
        } else {
            import.outcome(import.artifact.clone())
        };
        let ended = Message::Ended { node: import.node.clone(), outcome, digests: BTreeMap::new() };
        let _ = self.outbox.send(ended);
    }

    /// Takes in what happened; tells whether the run is over.
    async fn hear(&mut self, messages: impl Iterator<Item = Message>) -> Result<bool> {
        let mut effects = Vec::new();
        let mut canceled = false;
        for message in messages {
            match message {
                Message::Ended { node, outcome, digests } => {
                    self.active.remove(&node);
                    self.digests.extend(digests);
                    effects.extend(self.machine.handle(Event::Ended { node, outcome }));
                }
                Message::Hit { node, outputs, digests } => {
                    self.active.remove(&node);
                    if !digests.is_empty() {
                        self.runs.set_digests(&self.row.uid, node.clone(), digests.clone()).await?;
                    }
                    self.digests.extend(digests);
                    effects.extend(self.machine.handle(Event::CacheHit { node, outputs }));
                }
                Message::Launched { node, task } => self.launched(node, task).await?,
                Message::TaskEnded(task) => match self.nodes.get(&task.id).cloned() {
                    Some(node) => self.task_ended(&node, task),
                    None => drop(self.early.insert(task.id.clone(), task)),
                },
                Message::Waits { node, why } => self.view.wait(&node, why),
                Message::Cancel => canceled = true,
            }
        }
        let over = self.carry_out(effects).await?;
        if canceled && !over { self.cancel().await } else { Ok(over) }
    }

    async fn cancel(&mut self) -> Result<bool> {
        if !self.row.canceling {
            self.runs.cancel(&self.row.uid).await?;
            self.row.canceling = true;
        }
        let effects = self.machine.handle(Event::Cancel);
        self.carry_out(effects).await
    }

    async fn launched(&mut self, node: NodeId, task: Box<Task>) -> Result<()> {
        self.view.launched(&node, &task.id);
        self.nodes.insert(task.id.clone(), node.clone());
        let Some(active) = self.active.get_mut(&node) else { return Ok(()) };
        active.task = Some(task.no);
        let ended = self.early.remove(&task.id).or_else(|| task.state.is_final().then_some(task));
        match ended {
            Some(task) => self.task_ended(&node, task),
            None if active.stop.is_cancelled() => {
                let no = active.task.into_iter().collect();
                self.shared.tasks.cancel(no, BY_THE_RUN).await?;
            }
            None => {}
        }
        Ok(())
    }

    fn task_ended(&mut self, node: &NodeId, task: Box<Task>) {
        let Some(active) = self.active.get_mut(node) else { return };
        if std::mem::replace(&mut active.finishing, true) {
            return;
        }
        let inputs = active.step.inputs.artifacts.values().flat_map(|list| list.iter());
        let known = inputs.filter_map(|artifact| self.digests.get_key_value(&artifact.uri));
        let finishing = Finishing {
            known: known.map(|(uri, digest)| (uri.clone(), digest.clone())).collect(),
            shared: Arc::clone(&self.shared),
            runs: self.runs.clone(),
            run: Arc::new(self.row.clone()),
            step: Arc::clone(&active.step),
            task,
            unwanted: active.stop.is_cancelled(),
            outbox: self.outbox.clone(),
        };
        self.work.spawn(finishing.go());
    }

    /// Tells the object of the run; what fails is tried again with the next change.
    async fn publish(&mut self) {
        if let Err(error) = status::publish(&self.shared, &self.row, &mut self.view).await {
            tracing::debug!(%error, run = self.row.name, "the status of a run could not be told yet");
        }
    }

    /// Tells everybody how the run ended.
    async fn end(&mut self) -> Result<()> {
        let (state, now) = (self.row.state.unwrap_or(State::Failed), self.shared.clock().now());
        if !self.row.tracked.is_empty() {
            let at = self.row.finished_at.unwrap_or(now);
            if let Err(error) = self.shared.recorder.end_run(&self.row, state, at).await {
                tracing::warn!(%error, run = self.row.name, "tracking was not told how a run ended");
            }
        }
        while let Err(error) = status::publish(&self.shared, &self.row, &mut self.view).await {
            tracing::debug!(%error, run = self.row.name, "the end of a run could not be told yet");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.runs.set_published(&self.row.uid).await
    }
}

fn context(shared: &Shared, row: &RunRow) -> Context {
    let display_name = if row.asked.display_name.is_empty() { &row.name } else { &row.asked.display_name };
    let root = shared.root.join(&row.namespace);
    Context {
        run_id: row.uid.clone(),
        run_name: row.name.clone(),
        display_name: display_name.clone(),
        pipeline_root: root.display().to_string(),
        created_at: rfc3339(row.created_at),
        scheduled_at: None,
        workspace: Some(root.join(&row.pipeline).join(&row.uid).join("workspace").display().to_string()),
    }
}
