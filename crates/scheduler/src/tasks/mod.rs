//! Tasks: pieces of work, each of which reaches exactly one final state however often it is attempted.
//!
//! A task's row is the truth about it. An attempt is numbered; whatever is told of an attempt counts only while it is the
//! newest of a task that runs (the number is the fencing token), so that an attempt that was given up can't do harm.

pub(crate) mod http;
pub(crate) mod notes;
pub mod quota;
mod request;
mod service;
pub(crate) mod store;
mod types;

pub use service::MOST_AT_ONCE;
pub use store::{AttemptOf, Filter};
pub use types::{AGEING_STEP_MS, Concurrency, Demand, Fresh, NewTask, Outcome, Retries, Spec, State, Task, Work, rank};
