#![doc = include_str!("../README.md")]

pub mod columns;
pub mod contracts;
mod data;
pub mod gates;
pub mod http;
pub mod reports;
pub mod scope;

use std::sync::Arc;

use mcplane_objects::Registry;
use mcplane_objects::storage::Storage;

pub use data::Data;

/// Adds the kinds of this crate, which are kept in `table`.
pub fn register(registry: &mut Registry, table: &Arc<dyn Storage>) {
    contracts::register(registry, Arc::clone(table));
    gates::register(registry, Arc::clone(table));
}
