//! Runs: one execution of some code each, with its parameters, tags and metrics.
//!
//! A run is found by its id in its namespace, never by its id alone. A parameter is written once; a tag may change. The
//! name of a run and its tag `mlflow.runName` are the same thing, because clients write either.

mod assemble;
mod condition;
pub(crate) mod mlflow;
mod names;
mod order;
mod promptlab;
mod search;
mod seek;
pub(crate) mod service;
mod size;
pub(crate) mod store;
mod types;

pub(crate) use assemble::assemble;
pub(crate) use names::random as random_name;
pub use search::RunSearch;
pub(crate) use service::below;
pub use types::{NewRun, Run, RunInfo, RunStatus, RunUpdate};
