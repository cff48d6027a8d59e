//! Dispatch: from what is to be done to what runs.
//!
//! One engine a database, held by a lease, keeps what is unfinished in memory and goes round: attempts that ended are
//! written down; tasks whose time has come become ready; the board chooses what may run; the transport carries it; what is
//! taken from the transport begins, in the rows first and in a process afterwards. Each step takes all that waits for it in
//! one transaction, and what memory holds can be read from the rows at any time.

mod adopt;
mod engine;
mod follow;
pub mod lead;
mod runner;
mod steps;

pub use runner::{Ended, Function, Reports, Runner, Started};

pub(crate) use engine::{Engine, Event};
pub(crate) use lead::Lead;
