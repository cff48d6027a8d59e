//! The kinds of this crate, and what roles say of them.

mod pipeline;
mod run;

use std::sync::{Arc, OnceLock};

use mcplane_apimachinery::schema::Schema;
use mcplane_db::Db;
use mcplane_objects::storage::Storage;
use mcplane_objects::{Reading, RegisteredKind, Registry};
use serde_json::{Value, json};

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

/// The ClusterRoles that give the sums `view`, `edit` and `admin` their rights in pipelines.
pub fn roles() -> Vec<Value> {
    let role = |target: &str, runs: &[&str], verbs: &[&str]| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {
                "name": format!("mcplane:pipelines:{target}"),
                "labels": {
                    "kubernetes.io/bootstrapping": "rbac-defaults",
                    format!("rbac.authorization.k8s.io/aggregate-to-{target}"): "true",
                },
                "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
            },
            "rules": [
                {"apiGroups": [GROUP], "resources": runs, "verbs": verbs},
                {"apiGroups": [KUBEFLOW], "resources": ["pipelines", "pipelineversions"], "verbs": verbs},
            ],
        })
    };
    let (see, change) = (["get", "list", "watch"], ["create", "update", "patch", "delete", "deletecollection"]);
    vec![
        role("view", &["pipelineruns", "pipelineruns/status", "pipelineruns/steps"], &see),
        role("edit", &["pipelineruns"], &change),
    ]
}

/// Compiles a schema once.
fn compiled(cell: &'static OnceLock<Option<Schema>>, schema: fn() -> Value) -> Option<&'static Schema> {
    let compile = || match Schema::from_crd(&schema()) {
        Ok(schema) => Some(schema),
        Err(error) => {
            tracing::error!(%error, "a schema of pipelines does not compile");
            None
        }
    };
    cell.get_or_init(compile).as_ref()
}

/// A kind's part of the OpenAPI document.
fn component(group: &str, version: &str, kind: &str, mut schema: Value) -> Value {
    schema["properties"]["apiVersion"] = json!({"type": "string"});
    schema["properties"]["kind"] = json!({"type": "string"});
    schema["properties"]["metadata"] = json!({"type": "object"});
    schema["x-kubernetes-group-version-kind"] = json!([{"group": group, "kind": kind, "version": version}]);
    let reversed = group.rsplit('.').collect::<Vec<_>>().join(".");
    json!({ format!("{reversed}.{version}.{kind}"): schema })
}

fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

/// Anything: an object, or its text.
fn anything(about: &str) -> Value {
    json!({"x-kubernetes-preserve-unknown-fields": true, "description": about})
}

/// The schema of a kind with these fields.
fn kind_of(about: &str, spec: Value, status: Value) -> Value {
    json!({
        "type": "object",
        "description": about,
        "properties": {
            "spec": {"type": "object", "properties": spec},
            "status": {"type": "object", "properties": status},
        },
    })
}
