//! What is durable of a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use mcplane_core::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::run::{Record, State};

/// What whoever made the run asked for, beside the pipeline.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Asked {
    /// Arguments by the names of the pipeline's parameters.
    pub parameters: Map<String, Value>,
    /// Whether work may be taken from earlier runs, if the run says something about it.
    pub enable_cache: Option<bool>,
    /// Service account of the steps.
    pub service_account: String,
    /// Queue that the steps line up in; the usual one if empty.
    pub queue: String,
    /// What people call the run.
    pub display_name: String,
    /// The trace that its tasks belong to.
    pub trace: String,
}

/// A run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// The uid of its object.
    pub uid: String,
    /// Namespace.
    pub namespace: String,
    /// Name of its object.
    pub name: String,
    /// Name of the pipeline.
    pub pipeline: String,
    /// The compiled pipeline, as text; shared, because each step under way holds the row.
    pub spec: Arc<str>,
    /// What was asked for.
    pub asked: Asked,
    /// Where it is; none before it began.
    pub state: Option<State>,
    /// Why it failed.
    pub error: String,
    /// Whether somebody wants it to end.
    pub canceling: bool,
    /// MLflow's experiment; empty without one.
    pub experiment: String,
    /// MLflow's run; empty without one.
    pub tracked: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// A node of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRow {
    /// Its newest transition.
    pub record: Record,
    /// The task that does its work; empty without one.
    pub task: String,
    /// MLflow's run; empty without one.
    pub tracked: String,
    /// SHA-256 of its output artifacts, by URI.
    pub digests: BTreeMap<String, String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}
