//! Cron jobs of Kubernetes: jobs that are made when their time comes.
//!
//! The controller looks at a cron job when it changes, when one of its jobs does, and at its next time. A run's job is named
//! after its minute, so that it is made once whoever asks, and `status.lastScheduleTime` says which times are decided about.

mod controller;
pub mod decide;
mod kind;
mod make;

use std::sync::Arc;

use mcplane_objects::storage::Storage;
use mcplane_objects::{RegisteredKind, Registry};

pub use controller::run;
pub use kind::CronJob;

/// Adds the kind, which is kept in `storage`.
pub fn register(registry: &mut Registry, storage: Arc<dyn Storage>) {
    registry.add(RegisteredKind::new::<CronJob>(storage));
}
