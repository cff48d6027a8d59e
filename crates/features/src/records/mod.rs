//! What the server knows of materialisations: who made which rows of which view, from which files, and when.
//!
//! Whoever materialises tells of it with `POST …/featureviews/NAME/materializations`; a second telling changes nothing. In one
//! transaction it becomes a row and a run in lineage, from the files that were read to the file that was written; then the
//! view's status shows the last one. The row is the truth: should the server stop in between, telling again makes it whole.

mod service;
mod store;
mod subresources;
mod types;

pub use service::Features;
pub use types::{Input, Materialization, Told};
