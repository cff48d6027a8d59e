//! When work is due. Pure: time comes in as milliseconds, nothing here reads a clock or sleeps.
//!
//! - [`Wheel`]: what is armed, and what is due next; a million timers cost some 20 bytes each.
//! - [`Cron`]: Kubernetes' schedules, and when they fire next.
//! - [`missed`]: what to do about the times that passed while nobody was awake.

pub mod cron;
mod fields;
pub mod missed;
mod slot;
pub mod wheel;
pub mod zone;

pub use cron::{Cron, CronError};
pub use missed::{Missed, Plan, fire_times, jitter};
pub use wheel::Wheel;
pub use zone::zone;
