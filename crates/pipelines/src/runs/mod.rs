//! Runs of pipelines: what is durable of them.
//!
//! The rows are the truth; the object `PipelineRun` says what is wanted, and its status is a view of the rows. A node's row
//! holds its newest transition, from which a run is taken up again after a restart; every transition is kept beside it.

mod reading;
pub(crate) mod service;
pub(crate) mod store;
mod types;

pub use reading::Steps;
pub use types::{Asked, RunRow, StepRow};
