//! Scorers: what judges traces, registered by name in an experiment. They are kept as their client serialised them, and never
//! run here; those that hold code are refused, because whoever loads one runs it.

pub(crate) mod mlflow;
mod service;
mod store;

use crate::experiments::ExperimentId;

/// One version of a scorer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScorerVersion {
    pub(crate) experiment: ExperimentId,
    /// Of the scorer, whatever the version.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: i64,
    /// The JSON that the client gave.
    pub(crate) content: String,
    pub(crate) created_at: i64,
}
