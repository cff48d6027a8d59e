//! What a deployment did lately: traffic, values and outcomes, in bounded memory. Pure: the time comes with each call.
//!
//! **By time**: [`Traffic`] is a ring of slots, each with counts and a histogram of latency. A slot that is too old is
//! emptied when its place is needed, so a window of an hour takes the same memory whatever the load.
//! **By count and by time**: [`Values`] (a feature, or what was predicted) and [`Outcomes`] (predictions with their labels)
//! keep the newest so many, and none older than so long.
//! **Time that goes back** (a clock that was set) counts as the newest time seen.

mod latency;
mod outcomes;
mod traffic;
mod values;

pub use latency::Latency;
pub use outcomes::{Labelled, Outcomes, OutcomesConfig, Predicted};
pub use traffic::{Traffic, TrafficConfig, TrafficSummary};
pub use values::{Observed, Values};
