//! Tasks: pieces of work, each of which reaches exactly one final state however often it is attempted.
//!
//! A task's row is the truth about it. An attempt is numbered; whatever is told of an attempt counts only while it is the
//! newest of a task that runs (the number is the fencing token), so that an attempt that was given up can't do harm.

mod types;

pub use types::{Concurrency, Demand, NewTask, Outcome, Retries, Spec, State, Task, Work};
