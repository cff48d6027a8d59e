//! Experiments: named groups of runs.
//!
//! Their ids are numbers of their namespace, from 0, which is the experiment of runs that name none and is made when it is
//! first asked for. A deleted experiment keeps its id and its name until it is purged, because it may be restored.

pub(crate) mod mlflow;
mod search;
pub(crate) mod service;
pub(crate) mod store;
mod types;

pub use search::ExperimentSearch;
pub use types::{Experiment, ExperimentId, NewExperiment};
