//! How versions do in service: what is measured, when somebody must know, and who is told.
//!
//! - Every InferenceService has a `Monitor`, which is made with it unless somebody wrote one; `enabled: false` ends the watching.
//! - Readings of the windows ([`mcplane_monitoring::live`]) go through bands with hysteresis ([`evaluate()`] is pure); an alert is
//!   raised once and resolved once, because levels, open alerts and what is to be told are written in one transaction.
//! - Drift is measured against the training data of the version, as a profile beside the model says it; without one against the
//!   first window of the version itself, which the status says.
//! - Of several servers each watches what passes it; the label `server` tells alerts apart.
//! - Labels are durable before they are acknowledged.

pub mod controller;
mod evaluate;
pub mod http;
mod kind;
mod metrics;
mod notify;
mod service;
mod spec;
mod store;

pub use evaluate::{Seen, Shown, Watches, evaluate};
pub use kind::Monitor;
pub use service::{Models, Monitors, Served, sizes};
pub use spec::{Bands, Format, MonitorSpec, Receiver, Windows};
