//! Metrics: numbers that a run measures, over time and steps.
//!
//! A point is itself its identity: the same point again changes nothing, in one request and across retries. The latest point
//! of a metric is kept apart, because that is what searches compare and pages show; all points lie in compressed chunks.

mod batch;
mod chunk;
mod merge;
pub(crate) mod mlflow;
mod sample;
mod service;
pub(crate) mod store;
mod types;
mod wire;

pub use service::RunPoint;
pub use types::{LogBatch, Logged, Measured, Metric, Point};
