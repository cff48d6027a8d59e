//! Logged models: what a run made and may serve, before and beside its registration.
//!
//! A model belongs to an experiment, not to the run that made it. It has parameters and tags of its own, and points of
//! metrics that runs measured of it, each perhaps on a dataset.

mod legacy;
mod metrics;
pub(crate) mod mlflow;
mod search;
mod service;
pub(crate) mod store;
mod types;

pub use legacy::LegacyModel;
#[allow(unused_imports, reason = "for what logs metrics")]
pub(crate) use metrics::{ModelMetric, record_metrics};
pub use types::{DatasetFilter, LoggedModel, ModelPoint, ModelSearch, ModelStatus, NewModel};
