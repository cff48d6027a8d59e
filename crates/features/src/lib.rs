#![doc = include_str!("../README.md")]

pub mod join;
#[cfg(feature = "sql")]
pub mod materialize;
pub mod records;
pub mod scope;
pub mod tables;
pub mod views;

use std::sync::Arc;

use mcplane_db::Db;
use mcplane_objects::storage::Storage;
use mcplane_objects::{Action, Reading, RegisteredKind, Registry};

pub use records::Features;

/// Adds the kind of feature views, which are kept in `table`; gives what empties namespaces of their records.
pub fn register(registry: &mut Registry, db: &Db, table: &Arc<dyn Storage>) -> Arc<Features> {
    let features = Arc::new(Features::new(db, Arc::clone(table)));
    let told = Action {
        path_group: views::GROUP,
        path_version: views::VERSION,
        name: "materializations",
        singular: "",
        api_version: "mcplane.io/v1alpha1",
        kind: "Materialization",
        namespaced: true,
        perform: features.clone(),
    };
    let history = Reading { name: "history", content_type: "application/json", read: features.clone() };
    let kind = RegisteredKind::new::<views::FeatureView>(Arc::clone(table));
    registry.add(kind.action(told).reading(history));
    features
}
