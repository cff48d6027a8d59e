//! Workspaces as MLflow's clients manage them: each is a Namespace, made, changed and deleted by the object engine with
//! the caller's own rights.

pub(crate) mod mlflow;
mod service;
mod types;

pub use types::Workspace;
