//! The model registry: names for models, and the versions that got them.
//!
//! A version has a number, as clients of MLflow know it, and a semantic version. Both are given once: what is deleted keeps
//! its row. Models and versions are shown by the object API too; each change of a row is a change of the feed.

mod logged;
pub(crate) mod mlflow;
mod mlflow_versions;
mod models;
mod names;
mod projection;
mod search;
mod semantic;
mod source;
mod store;
mod types;
mod uri;
mod version_store;
mod versions;

pub use semantic::SemanticVersion;
pub use search::Page;
pub use types::{Alias, ModelVersion, NewModel, NewVersion, Query, RegisteredModel, Stage};
