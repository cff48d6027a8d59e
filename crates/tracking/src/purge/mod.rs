//! Permanent deletion, of single runs, experiments and logged models, and of all that a namespace tracked.
//!
//! First what goes is put out of reach, in one transaction: it moves to a namespace that no request can name. Its rows then
//! say what is still to be cleared away, so whoever comes next goes on where a purge was broken off; and their numbers are
//! not given again before everything that carries them is gone.

mod clear;
mod cli;
mod namespaces;
mod service;
mod store;
mod tables;
mod types;

pub(crate) use cli::routes;
pub(crate) use service::remove_traces;
pub use types::{Choice, Kind, Purged};
