//! What a grant gives access to: which namespace, and as which noun roles speak of it.

use mcplane_core::authz::Target;
use mcplane_core::{Attributes, Error, Grant, Result};

/// A resource as roles name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noun {
    /// API group.
    pub group: &'static str,
    /// Plural name.
    pub resource: &'static str,
}

/// The group of what is tracked.
pub(crate) const GROUP: &str = "tracking.mcplane.io";

/// The group of what the object API shows too.
pub(crate) const OBJECT_GROUP: &str = "mcplane.io";

/// Experiments.
pub const EXPERIMENTS: Noun = Noun { group: GROUP, resource: "experiments" };
/// Runs, with what is logged to them.
pub const RUNS: Noun = Noun { group: GROUP, resource: "runs" };
/// Models that runs made.
pub const LOGGED_MODELS: Noun = Noun { group: GROUP, resource: "loggedmodels" };
/// Files that runs and models leave.
pub const ARTIFACTS: Noun = Noun { group: GROUP, resource: "artifacts" };
/// Evaluation datasets, with their records.
pub const EVALUATION_DATASETS: Noun = Noun { group: GROUP, resource: "evaluationdatasets" };
/// Traces, with their spans and what is said of them.
pub const TRACES: Noun = Noun { group: GROUP, resource: "traces" };
/// What judges traces.
pub const SCORERS: Noun = Noun { group: GROUP, resource: "scorers" };
/// Registered models.
pub const MODELS: Noun = Noun { group: OBJECT_GROUP, resource: "models" };
/// Versions of registered models.
pub const MODEL_VERSIONS: Noun = Noun { group: OBJECT_GROUP, resource: "modelversions" };
/// What was made from what.
pub const LINEAGE: Noun = Noun { group: GROUP, resource: "lineage" };
/// Webhooks. They send what happens here elsewhere, and their addresses may be secrets.
pub const WEBHOOKS: Noun = Noun { group: GROUP, resource: "webhooks" };

/// What those who may see or change a namespace see and change of this crate.
const EVERYDAY: [Noun; 7] = [EXPERIMENTS, RUNS, LOGGED_MODELS, ARTIFACTS, EVALUATION_DATASETS, TRACES, LINEAGE];

impl Noun {
    /// What a role must allow for `verb` in `namespace`.
    pub fn attributes(self, verb: &'static str, namespace: &str) -> Attributes {
        Attributes::resource(verb, self.group, self.resource, namespace, "")
    }
}

/// The namespace that a grant is for. Every statement of this crate is bound to it.
///
/// # Errors
/// [`Error::Internal`] for a grant across namespaces, which no door of this crate asks for.
pub(crate) fn namespace(grant: &Grant) -> Result<&str> {
    match &grant.attributes().target {
        Target::Resource { namespace, .. } if !namespace.is_empty() => Ok(namespace),
        _ => Err(Error::internal("a grant without a namespace")),
    }
}

/// The ClusterRoles that give the sums `view`, `edit` and `admin` their rights in this crate's nouns.
pub fn roles() -> Vec<serde_json::Value> {
    let role = |target: &str, rules: serde_json::Value| {
        serde_json::json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {
                "name": format!("mcplane:tracking:{target}"),
                "labels": {
                    "kubernetes.io/bootstrapping": "rbac-defaults",
                    format!("rbac.authorization.k8s.io/aggregate-to-{target}"): "true",
                },
                "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
            },
            "rules": rules,
        })
    };
    let everyday = |verbs: &[&str]| {
        serde_json::json!([
            {"apiGroups": [GROUP], "resources": EVERYDAY.map(|noun| noun.resource), "verbs": verbs},
            {"apiGroups": [OBJECT_GROUP], "resources": [MODELS.resource, MODEL_VERSIONS.resource], "verbs": verbs},
        ])
    };
    let webhooks = serde_json::json!([{"apiGroups": [GROUP], "resources": [WEBHOOKS.resource], "verbs": ["*"]}]);
    vec![
        role("view", everyday(&["get", "list", "watch"])),
        role("edit", everyday(&["create", "update", "patch", "delete", "deletecollection"])),
        role("admin", webhooks),
    ]
}
