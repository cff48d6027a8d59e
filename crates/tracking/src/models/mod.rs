//! The model registry: names for models, and the versions that got them.
//!
//! A version has a number, as clients of MLflow know it, and a semantic version. Both are given once: what is deleted keeps
//! its row. The dialect registers versions without looking at what they hold; the registry's own interface reads the content,
//! keeps it under its digest and gives a version that never changes. "The latest stable version" of a model is, of its
//! verified versions that no rollback left (these have the tag `mcplane.rolled-back`), the one with the alias `stable`,
//! or else, of those in the stage Production that are no pre-releases, the one with the highest semantic version.
//!
//! Models and versions are shown by the object API too; each change of a row is a change of the feed.

mod content;
mod kinds;
mod logged;
pub(crate) mod mlflow;
mod mlflow_versions;

mod names;
mod object_storage;
mod pattern;
mod projection;
mod record;
pub(crate) mod rest;
mod search;
mod semantic;
mod service;
mod source;
mod store;
mod told;
mod types;
mod uri;
mod verified;
mod version_store;
mod versions;

pub use kinds::{Model, ModelVersionObject, register};
pub use pattern::SourcePattern;
pub use record::{Comparison, NewRecord};
pub use search::Page;
pub use semantic::SemanticVersion;
pub(crate) use source::check_host;
pub use types::{Alias, ModelVersion, NewModel, NewVersion, Query, Record, RegisteredModel, Stage};
pub(crate) use uri::decoded;
pub use verified::{VerifiedContent, VerifiedFile};
