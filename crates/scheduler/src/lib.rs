#![doc = include_str!("../README.md")]

pub mod code;
pub mod cronjobs;
pub mod dispatch;
pub mod fairness;
pub mod http;
pub mod jobs;
pub mod logs;
pub mod metrics;
pub mod nodes;
pub mod pods;
pub mod processes;
pub mod queues;
pub mod retry;
pub mod scheduler;
pub mod scope;
pub mod tasks;
pub mod timers;
pub mod transport;

use std::sync::Arc;

use mcplane_db::Db;
use mcplane_objects::storage::Storage;
use mcplane_objects::{RegisteredKind, Registry};

pub use metrics::Metrics;
pub use scheduler::{Config, Parts, Scheduler};

/// Adds the kinds of this crate; `table` is the storage of ordinary kinds. Gives the storage of pods.
pub fn register(registry: &mut Registry, db: &Db, table: &Arc<dyn Storage>) -> pods::PodStorage {
    let storage = pods::register(registry, db);
    registry.add(RegisteredKind::new::<nodes::Node>(Arc::new(nodes::NodeStorage::new(db))));
    jobs::register(registry, Arc::clone(table));
    cronjobs::register(registry, Arc::clone(table));
    storage
}
