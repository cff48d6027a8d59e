//! What tracking and lineage are told of runs: a run of MLflow for each run of a pipeline, with one in it for each step, and
//! what each step read and made.
//!
//! Everything told is told under an identity that follows from the run and the node, so that it may be told twice. What
//! can't be told is logged; no pipeline fails for it.

mod event;

use std::collections::BTreeMap;
use std::sync::Arc;

use mcplane_core::{Authorizer, Context, Error, Grant, Result, Timestamp, authz};
use mcplane_tracking::experiments::{ExperimentId, NewExperiment};
use mcplane_tracking::metrics::{LogBatch, Logged};
use mcplane_tracking::runs::{NewRun, RunStatus, RunUpdate};
use mcplane_tracking::{EXPERIMENTS, LINEAGE, Noun, RUNS, Tag, Tracking};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::run::{NodeId, State};
use crate::runs::RunRow;
use crate::values::{Artifact, Bindings, text};

/// Parameters that a run of MLflow takes at once.
const MOST_PARAMS: usize = 100;
/// Who tells.
const CALLER: &str = "pipelines";

/// Tells tracking and lineage.
#[derive(Debug, Clone)]
pub struct Recorder {
    tracking: Arc<Tracking>,
    authorizer: Arc<dyn Authorizer>,
}

/// What is told of a step that ended.
pub(crate) struct StepEnd<'e> {
    pub(crate) run: &'e RunRow,
    pub(crate) node: &'e NodeId,
    pub(crate) task: &'e str,
    pub(crate) succeeded: bool,
    pub(crate) at: Timestamp,
    pub(crate) inputs: &'e Bindings,
    pub(crate) outputs: &'e Bindings,
    /// SHA-256 of inputs and outputs, by URI.
    pub(crate) digests: &'e BTreeMap<String, String>,
}

/// The id of a node's run in MLflow; of the run itself for the root.
pub(crate) fn run_id(run: &str, node: &NodeId) -> String {
    let digest = Sha256::digest(format!("pipeline/{run}/{node}"));
    digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Recorder {
    /// Tells through these services.
    pub fn new(tracking: Arc<Tracking>, authorizer: Arc<dyn Authorizer>) -> Self {
        Self { tracking, authorizer }
    }

    fn grant(&self, noun: Noun, verb: &'static str, namespace: &str) -> Result<Grant> {
        authz::authorize(&*self.authorizer, &Arc::new(Context::system(CALLER)), noun.attributes(verb, namespace))
    }

    /// Begins to tell of a run; gives the experiment and MLflow's run.
    pub(crate) async fn begin_run(&self, run: &RunRow) -> Result<(String, String)> {
        let experiment = self.experiment(&run.namespace, &run.pipeline).await?.0.to_string();
        let name = if run.asked.display_name.is_empty() { &run.name } else { &run.asked.display_name };
        let tags = vec![
            Tag::new("mcplane.pipeline", run.pipeline.as_str()),
            Tag::new("mcplane.pipelineRun", run.name.as_str()),
            Tag::new("mlflow.source.name", run.pipeline.as_str()),
            Tag::new("mlflow.source.type", "JOB"),
        ];
        let id = run_id(&run.uid, &NodeId::root());
        let new = NewRun { id: id.clone(), name: name.clone(), ..self.new_run(&experiment, run.created_at, tags) };
        self.tracking.create_run(&self.grant(RUNS, "create", &run.namespace)?, new).await?;
        let params = run.asked.parameters.iter().map(|(name, value)| (name.as_str(), value));
        self.log(&run.namespace, &id, params.collect(), vec![]).await;
        Ok((experiment, id))
    }

    fn new_run(&self, experiment: &str, started_at: Timestamp, tags: Vec<Tag>) -> NewRun {
        let user_id = Context::system(CALLER).caller.name;
        NewRun { experiment: experiment.to_owned(), user_id, started_at, tags, ..NewRun::default() }
    }

    async fn experiment(&self, namespace: &str, name: &str) -> Result<ExperimentId> {
        let find = async || {
            let found = self.tracking.experiment_by_name(&self.grant(EXPERIMENTS, "get", namespace)?, name).await?;
            if found.deleted {
                return Err(Error::WrongState(format!("the experiment {name:?} was deleted")));
            }
            Ok(found.id)
        };
        match find().await {
            Err(Error::Missing(_)) => {}
            other => return other,
        }
        let new = NewExperiment { name: name.to_owned(), ..NewExperiment::default() };
        match self.tracking.create_experiment(&self.grant(EXPERIMENTS, "create", namespace)?, new).await {
            // Another run was as quick.
            Err(Error::Exists(_)) => find().await,
            other => other,
        }
    }

    /// Begins to tell of a step; gives MLflow's run.
    pub(crate) async fn begin_step(&self, run: &RunRow, node: &NodeId, name: &str, at: Timestamp) -> Result<String> {
        let tags = vec![
            Tag::new("mlflow.parentRunId", run.tracked.as_str()),
            Tag::new("mcplane.pipeline", run.pipeline.as_str()),
            Tag::new("mcplane.pipelineRun", run.name.as_str()),
            Tag::new("mcplane.pipelineNode", node.as_str()),
        ];
        let id = run_id(&run.uid, node);
        let new = NewRun { id: id.clone(), name: name.to_owned(), ..self.new_run(&run.experiment, at, tags) };
        self.tracking.create_run(&self.grant(RUNS, "create", &run.namespace)?, new).await?;
        Ok(id)
    }

    /// Logs parameters and metrics: what is refused is left out.
    async fn log(&self, namespace: &str, id: &str, params: Vec<(&str, &Value)>, metrics: Vec<Logged>) {
        if params.is_empty() && metrics.is_empty() {
            return;
        }
        let params = params.into_iter().map(|(name, value)| Tag::new(name, text(value))).take(MOST_PARAMS).collect();
        let batch = LogBatch { metrics, params, tags: vec![] };
        let logged = match self.grant(RUNS, "update", namespace) {
            Ok(grant) => self.tracking.log_batch(&grant, id, batch).await,
            Err(error) => Err(error),
        };
        if let Err(error) = logged {
            tracing::debug!(%error, run = id, "what a pipeline logs was refused");
        }
    }

    /// Tells how a step ended, and what it read and made.
    pub(crate) async fn end_step(&self, end: StepEnd<'_>) -> Result<()> {
        let namespace = &end.run.namespace;
        let id = run_id(&end.run.uid, end.node);
        // What the step itself logged is as it says: it may write a number otherwise.
        let logged = self.tracking.run(&self.grant(RUNS, "get", namespace)?, &id).await?.params;
        let params = end.inputs.parameters.iter().map(|(name, value)| (name.as_str(), &**value));
        let params = params.filter(|(name, _)| !logged.iter().any(|param| param.key == *name)).collect();
        self.log(namespace, &id, params, metrics(end.outputs, end.at)).await;
        let event = event::event(&end, &id).to_string();
        let grant = self.grant(LINEAGE, "create", namespace)?;
        let status = if end.succeeded { RunStatus::Finished } else { RunStatus::Failed };
        // Independent of each other, so they share a commit.
        let (read, finished) = tokio::join!(
            self.tracking.take_event(&grant, event.as_bytes()),
            self.finish(namespace, &id, status, end.at),
        );
        read?;
        finished
    }

    /// Tells that a step was ended.
    pub(crate) async fn cancel_step(&self, run: &RunRow, node: &NodeId, at: Timestamp) -> Result<()> {
        self.finish(&run.namespace, &run_id(&run.uid, node), RunStatus::Killed, at).await
    }

    /// Tells how a run ended.
    pub(crate) async fn end_run(&self, run: &RunRow, state: State, at: Timestamp) -> Result<()> {
        let status = match state {
            State::Succeeded | State::Skipped => RunStatus::Finished,
            State::Canceled => RunStatus::Killed,
            _ => RunStatus::Failed,
        };
        self.finish(&run.namespace, &run.tracked, status, at).await
    }

    async fn finish(&self, namespace: &str, id: &str, status: RunStatus, at: Timestamp) -> Result<()> {
        let update = RunUpdate { status: Some(status), ended_at: Some(at), name: None };
        self.tracking.update_run(&self.grant(RUNS, "update", namespace)?, id, update).await.map(drop)
    }
}

/// What artifacts say of themselves that is measured.
fn metrics(outputs: &Bindings, at: Timestamp) -> Vec<Logged> {
    let all = outputs.artifacts.values().flat_map(|list| list.iter());
    let measured = all.filter(|artifact: &&Artifact| artifact.artifact_type.schema_title == "system.Metrics");
    let numbers = measured.flat_map(|artifact| &artifact.metadata);
    numbers
        .filter_map(|(name, value)| {
            let key = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
            Some(Logged { key, value: value.as_f64()?, timestamp: at, step: 0, model: None })
        })
        .collect()
}

/// What names of metrics may hold.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ' | '/' | ':')
}
