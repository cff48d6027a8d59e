//! Evaluation datasets: examples with which applications are tried, often taken from traces.
//!
//! A record is known by its inputs: what is told of the same inputs later is merged into it. Datasets belong to a namespace
//! and may be of several of its experiments.

pub(crate) mod mlflow;
mod records;
mod service;
mod store;

pub use service::EvaluationDataset;
