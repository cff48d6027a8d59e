//! The vocabulary between the machine and whoever drives it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::values::{Artifact, Bindings, DeclaredOutputs};

/// What the machine must be told of a run; constant for its whole life, restarts included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Unique identifier: `{{$.pipeline_job_uuid}}`, and a folder of every task root.
    pub run_id: String,
    /// Name of the resource: `{{$.pipeline_job_resource_name}}`. Where it does not hold the pipeline's name, as KFP's
    /// does, tasks are told `PIPELINE/NAME`.
    pub run_name: String,
    /// What people call the run: `{{$.pipeline_job_name}}`.
    pub display_name: String,
    /// Directory (a plain absolute path) or URI under which tasks put artifacts: `{{$.pipeline_root}}`.
    pub pipeline_root: String,
    /// RFC 3339, UTC: `{{$.pipeline_job_create_time_utc}}`.
    pub created_at: String,
    /// RFC 3339, UTC: `{{$.pipeline_job_schedule_time_utc}}`; the creation time where the run was not scheduled.
    pub scheduled_at: Option<String>,
    /// Directory shared by the tasks of a run: `{{$.workspace_path}}`; `/kfp-workspace` when missing.
    pub workspace: Option<String>,
}

/// Where a node is in the run: `root/condition-1/for-loop-2[3]/train`. Unique within the run and the same after a
/// restart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// The root of every run.
    pub fn root() -> Self {
        Self("root".into())
    }

    /// The task of a DAG.
    pub(crate) fn task(&self, key: &str) -> Self {
        Self(format!("{}/{key}", self.0).into())
    }

    /// An iteration of a loop.
    pub(crate) fn iteration(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0).into())
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for NodeId {
    fn from(path: &str) -> Self {
        Self(path.into())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// State of a node, in the words of KFP's `RuntimeState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Waits for tasks before it.
    Pending,
    /// Runs, or something in it may.
    Running,
    /// Ended well; [`Record::cached`] tells whether an earlier task did the work.
    Succeeded,
    /// Does not run: its condition is false, or what it needs did not run.
    Skipped,
    /// Ended badly, or something in it did.
    Failed,
    /// The run is to end; what runs has been told. Of the root only.
    Canceling,
    /// Ended because the run was to end.
    Canceled,
}

impl State {
    /// Whether a node stays in this state.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Skipped | Self::Failed | Self::Canceled)
    }
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NodeKind {
    /// A graph of tasks: the root, a nested pipeline, a condition, an exit handler, an iteration.
    Dag,
    /// Iterates over a list.
    Loop,
    /// Runs a command.
    Container,
    /// Brings in an artifact from outside.
    Importer,
}

/// What must be durable of a node's transition, before the effects that follow it are carried out.
///
/// Store the newest record of each node. [`sequence`](Self::sequence) grows with every transition of the run; a store
/// that keeps it gives [`Run::restore`](super::Run::restore) the order in which the nodes ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Which transition of the run this is, from 1.
    pub sequence: u64,
    /// The node.
    pub node: NodeId,
    /// The node that it is part of; none for the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<NodeId>,
    /// Key of the task in its DAG; the pipeline's name for the root.
    pub task: String,
    /// What people call the task.
    pub display_name: String,
    /// What the node is.
    pub kind: NodeKind,
    /// Which iteration of its loop this is, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iteration: Option<usize>,
    /// The state that the node is in from now on.
    pub state: State,
    /// Which transition of the run it was that somebody wanted it to end. Of the root only, and kept in its later
    /// records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canceled_at: Option<u64>,
    /// Whether an earlier task's outputs were taken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
    /// The resolved inputs, once the node runs.
    #[serde(default)]
    pub inputs: Arc<Bindings>,
    /// The outputs of a node that succeeded.
    #[serde(default)]
    pub outputs: Arc<Bindings>,
    /// Why the node failed or was skipped; a sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What the driver is to do. Carry effects out in order. They are idempotent: after a restart the machine repeats those
/// whose end it has not heard of, with the same nodes, paths and inputs.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Make this durable. All records of one call come before its other effects.
    Record(Record),
    /// Run a command, with retries, and report [`Event::Ended`] once; or report [`Event::CacheHit`] instead.
    Execute(Box<Step>),
    /// Bring in an artifact and report [`Event::Ended`] with it.
    Import(Box<Import>),
    /// End a step or an import that was asked for before; report [`Event::Ended`] with [`Outcome::Canceled`] (or what came first).
    Cancel {
        /// The node.
        node: NodeId,
    },
    /// The run has ended; nothing follows.
    Finish {
        /// The state of the root.
        state: State,
        /// Why it failed.
        error: Option<String>,
    },
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A step or an import ended. Of a node that has ended already it says nothing new and is ignored.
    Ended {
        /// The node.
        node: NodeId,
        /// How.
        outcome: Outcome,
    },
    /// An earlier task with the same [`Step::fingerprint`] did the work; these are its outputs.
    CacheHit {
        /// The node.
        node: NodeId,
        /// The earlier task's outputs.
        outputs: Bindings,
    },
    /// Somebody wants the run to end: nothing new starts (exit tasks neither), what runs is canceled.
    Cancel,
}

/// How a step or an import ended, after its last retry.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Well, with these outputs: see [`read_outputs`](crate::values::read_outputs). The content of artifacts with a
    /// `custom_path` has been brought to their URI: tasks to come are told of the URI only.
    Succeeded(Bindings),
    /// Badly.
    Failed {
        /// A sentence for people.
        message: String,
        /// Of the command, where it ended by itself.
        exit_code: Option<i32>,
    },
    /// By [`Effect::Cancel`].
    Canceled,
}

/// A command to run, with everything resolved: placeholders are substituted, once.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The node.
    pub node: NodeId,
    /// Key of the task in its DAG.
    pub task: String,
    /// What people call the task.
    pub display_name: String,
    /// Name of the component in the document.
    pub component: String,
    /// Container image.
    pub image: String,
    /// Entry point; empty means the image's own.
    pub command: Vec<String>,
    /// Arguments.
    pub args: Vec<String>,
    /// Environment of the command, in the order of the document.
    pub env: Vec<(String, String)>,
    /// What the task asks for.
    pub resources: Resources,
    /// How often a failed attempt is repeated.
    pub retry: RetryPolicy,
    /// The `ExecutorInput`; the same text is where `{{$}}` stands in the command.
    pub executor_input: Value,
    /// Resolved inputs, for lineage.
    pub inputs: Arc<Bindings>,
    /// What the task is to produce, and where. Make the parent directory of each path before the start.
    pub outputs: DeclaredOutputs,
    /// Directory or URI of the task's own: `ROOT/PIPELINE/RUN/TASK/ID`, the same for every attempt.
    pub task_root: String,
    /// Identifies the work, if it may be taken from an earlier task or by a later one.
    pub fingerprint: Option<Fingerprint>,
    /// Settings of the executor by platform (`kubernetes: {secretAsEnv: […]}`), as in the document, with input
    /// parameters replaced by their values.
    pub platforms: Map<String, Value>,
}

/// What a task asks for, as Kubernetes quantities; empty means nothing asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// Such as `500m`.
    pub cpu_request: String,
    /// Such as `2`.
    pub cpu_limit: String,
    /// Such as `512Mi`.
    pub memory_request: String,
    /// Such as `2G`.
    pub memory_limit: String,
    /// Resource of the accelerator, such as `nvidia.com/gpu`.
    pub accelerator_type: String,
    /// How many accelerators; empty means none.
    pub accelerator_count: String,
}

/// How failed attempts are repeated. Attempt `n + 1` (from 1) starts `backoff · factorⁿ⁻¹` after attempt `n`, but not more than
/// `max_backoff` after it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub max_retries: u32,
    /// Before the first retry.
    pub backoff: Duration,
    /// By how much each wait is longer than the one before.
    pub factor: f64,
    /// The longest wait.
    pub max_backoff: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_retries: 0, backoff: Duration::ZERO, factor: 2.0, max_backoff: Duration::from_secs(3600) }
    }
}

impl RetryPolicy {
    /// How long to wait after attempt `failed` (from 1); none if that was the last.
    pub fn wait_after(&self, failed: u32) -> Option<Duration> {
        if failed == 0 || failed > self.max_retries {
            return None;
        }
        let exponent = i32::try_from(failed - 1).unwrap_or(i32::MAX);
        let seconds = self.backoff.as_secs_f64() * self.factor.powi(exponent);
        Some(Duration::try_from_secs_f64(seconds).map_or(self.max_backoff, |wait| wait.min(self.max_backoff)))
    }
}

/// Identifies work that need not be done twice. Compare within a namespace and a pipeline; the newest match counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Name of the pipeline.
    pub pipeline: String,
    /// SHA-256, hexadecimal.
    pub digest: String,
}

/// An artifact to bring in.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// The node.
    pub node: NodeId,
    /// Key of the task in its DAG.
    pub task: String,
    /// What people call the task.
    pub display_name: String,
    /// Name of the output that the artifact becomes.
    pub output: String,
    /// The artifact, with its metadata resolved.
    pub artifact: Artifact,
    /// Whether a new record of the artifact is wanted even where one with the same type, URI and metadata exists.
    pub reimport: bool,
    /// Whether the content is to be copied to the workspace.
    pub download_to_workspace: bool,
    /// Resolved inputs, for lineage.
    pub inputs: Arc<Bindings>,
}

impl Import {
    /// The outcome of an import that needed no work.
    pub fn outcome(&self, artifact: Artifact) -> Outcome {
        let artifacts = [(self.output.clone(), Arc::new(vec![artifact]))].into();
        Outcome::Succeeded(Bindings { artifacts, ..Bindings::default() })
    }
}
