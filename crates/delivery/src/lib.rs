#![doc = include_str!("../README.md")]

mod follow;
pub mod gateway;
pub mod http;
pub mod monitors;
pub mod rollouts;
pub mod routes;
pub mod scope;

use std::sync::Arc;

use mcplane_objects::storage::Storage;
use mcplane_objects::{RegisteredKind, Registry};

/// Adds the kinds, which are kept in `storage`.
pub fn register(registry: &mut Registry, storage: &Arc<dyn Storage>) {
    registry.add(RegisteredKind::new::<rollouts::Rollout>(Arc::clone(storage)));
    registry.add(RegisteredKind::new::<monitors::Monitor>(Arc::clone(storage)));
}
