//! Evaluation gates: whether a version of a model may go on, decided on rows that it has not seen.
//!
//! - [`evaluate()`] measures, where the data is; [`decide()`] is a function of policy and numbers. The server has the policy (the kind
//!   `Gate`) and decides from the numbers it is sent, so that nobody sends a verdict.
//! - Decisions are rows that stay. An operator may let a version on that was refused; who and why is in the row and the audit log.
//! - [`crate::Data::may_deploy`] is what delivery asks.

mod compare;
mod decide;
pub(crate) mod http;
mod kind;
mod metrics;
mod sample;
mod service;
mod spec;
mod store;

pub use compare::Difference;
pub use decide::{Evaluation, Verdict, decide, evaluate};
pub use kind::{Gate, register};
pub use sample::Sample;
pub use service::{Decision, Deployable, NewDecision, Override};
pub use spec::{Columns, Comparison, Method, Metric, Policy, Threshold};
pub use store::Filter;
