//! When is a number worrying? A [`Band`] has two lines: within `normal` all is well, beyond `alert` somebody must know, and
//! between them is a warning. [`Watch`] follows one number through it with hysteresis, [`Alerts`] makes of that what is
//! sent: each alert once when it is raised and once when it is resolved. Pure: time and readings come in.
//!
//! - An alert is raised by [`Band::raise_after`] readings in a row beyond the alert line, and resolved by
//!   [`Band::resolve_after`] in a row within the normal line. In between it stays what it was.
//! - A reading of too few values ([`Band::least`]) is *too little data*: a verdict of its own that changes nothing.
//! - A share (accuracy, errors) is beyond the alert line only if chance does not explain that it is outside the normal band:
//!   if the true share is at the normal line or better, the probability of a reading that counts as an alert is at most
//!   [`Band::chance`], by Chernoff's bound, for any number of values.

mod alertmanager;
mod alerts;
mod band;
#[cfg(test)]
mod replays;
mod watch;

pub use alertmanager::{postable, webhook};
pub use alerts::{Alert, Alerts, Notice};
pub use band::{Band, Level, Reading, Verdict, Worse};
pub use watch::{Change, Watch};
