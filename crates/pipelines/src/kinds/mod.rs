//! The kinds of this crate, and what roles say of them.

mod pipeline;
mod run;

use std::sync::Arc;

use mcplane_db::Db;
use mcplane_objects::roles::{CHANGE, SEE, part, rule};
use mcplane_objects::storage::Storage;
use mcplane_objects::{Reading, RegisteredKind, Registry};
use serde_json::Value;

pub use pipeline::{Pipeline, PipelineVersion, VersionSpec};
pub use run::{PipelineRun, RunSpec};
pub(crate) use run::{arguments, parse_spec, spec_text};

/// The group of runs.
pub(crate) const GROUP: &str = "mcplane.io";
/// The version of runs.
pub(crate) const VERSION: &str = "v1alpha1";
/// Runs.
pub(crate) const RUNS: &str = "pipelineruns";
/// The group of pipelines and their versions.
pub(crate) const KUBEFLOW: &str = "pipelines.kubeflow.org";
/// Their version.
pub(crate) const KUBEFLOW_VERSION: &str = "v2beta1";

/// Adds the kinds, which are kept in `storage`; what runs did is read from `db`.
pub fn register(registry: &mut Registry, storage: &Arc<dyn Storage>, db: &Db) {
    registry.add(RegisteredKind::new::<Pipeline>(Arc::clone(storage)));
    registry.add(RegisteredKind::new::<PipelineVersion>(Arc::clone(storage)));
    let steps = Reading {
        name: "steps",
        content_type: "application/json",
        read: Arc::new(crate::runs::Steps::new(db, Arc::clone(storage))),
    };
    registry.add(RegisteredKind::new::<PipelineRun>(Arc::clone(storage)).reading(steps));
}

/// The ClusterRoles that give the sums `view` and `edit` their rights in pipelines.
pub fn roles() -> Vec<Value> {
    let own = |target: &str, runs: &[&str], verbs: &[&str]| {
        let rules = [rule(GROUP, runs, verbs), rule(KUBEFLOW, &["pipelines", "pipelineversions"], verbs)];
        part("pipelines", target, &rules)
    };
    vec![
        own("view", &["pipelineruns", "pipelineruns/status", "pipelineruns/steps"], SEE),
        own("edit", &["pipelineruns"], CHANGE),
    ]
}
