//! What runs read and write: datasets, and logged models by their ids.
//!
//! A dataset is described once in an experiment, by name and digest. That a run read it is an input of the run, with tags
//! of its own; the tag `mlflow.data.context` says what for.

pub(crate) mod mlflow;
mod service;
pub(crate) mod store;
mod types;

pub use types::{Dataset, DatasetInput, DatasetSummary, Lineage, ModelOutput};
