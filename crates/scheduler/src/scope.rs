//! What roles speak of in this crate, and the namespace that a grant is for.

use mcplane_core::authz::Target;
use mcplane_core::{Attributes, Error, Grant, Result};

/// The API group of tasks, in the terms of roles.
pub const GROUP: &str = "tasks.mcplane.io";
/// Tasks.
pub const TASKS: &str = "tasks";
/// Queues.
pub const QUEUES: &str = "queues";
/// Archives of code.
pub const CODE: &str = "code";

/// What a role must allow for `verb`.
pub fn attributes(verb: &'static str, resource: &'static str, namespace: &str, name: &str) -> Attributes {
    Attributes::resource(verb, GROUP, resource, namespace, name)
}

/// The namespace that a grant is for. Every statement about tasks is bound to it.
///
/// # Errors
/// [`Error::Internal`] for a grant across namespaces, which only lists may have.
pub(crate) fn namespace(grant: &Grant) -> Result<&str> {
    namespaces(grant)?.ok_or_else(|| Error::internal("a grant without a namespace"))
}

/// The same; `None` for a grant across namespaces.
///
/// # Errors
/// [`Error::Internal`] for a grant for what is in no namespace.
pub(crate) fn namespaces(grant: &Grant) -> Result<Option<&str>> {
    match &grant.attributes().target {
        Target::Resource { namespace, .. } => Ok(Some(namespace.as_str()).filter(|namespace| !namespace.is_empty())),
        _ => Err(Error::internal("a grant for no resource")),
    }
}

/// The ClusterRoles that give the sums `view`, `edit` and `admin` their rights in tasks.
pub fn roles() -> Vec<serde_json::Value> {
    let role = |target: &str, rules: serde_json::Value| {
        serde_json::json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {
                "name": format!("mcplane:tasks:{target}"),
                "labels": {
                    "kubernetes.io/bootstrapping": "rbac-defaults",
                    format!("rbac.authorization.k8s.io/aggregate-to-{target}"): "true",
                },
                "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
            },
            "rules": rules,
        })
    };
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| serde_json::json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    let (see, change) = (["get", "list", "watch"], ["create", "update", "patch", "delete", "deletecollection"]);
    vec![
        role(
            "view",
            serde_json::json!([
                rule(GROUP, &["*"], &see),
                rule("batch", &["jobs", "cronjobs", "jobs/status", "cronjobs/status"], &see),
                rule("", &["pods", "pods/log", "pods/status"], &see),
            ]),
        ),
        role(
            "edit",
            serde_json::json!([
                rule(GROUP, &["*"], &change),
                rule("batch", &["jobs", "cronjobs"], &change),
                rule("", &["pods"], &change),
            ]),
        ),
    ]
}
