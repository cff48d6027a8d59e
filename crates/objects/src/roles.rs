//! The ClusterRoles by which a capability adds its nouns to the sums `view`, `edit` and `admin`.

use serde_json::{Value, json};

/// Verbs of those who look.
pub const SEE: &[&str] = &["get", "list", "watch"];
/// Verbs of those who change.
pub const CHANGE: &[&str] = &["create", "update", "patch", "delete", "deletecollection"];

/// What a capability adds to the sum `target`.
pub fn part(capability: &str, target: &str, rules: &[Value]) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {
            "name": format!("mcplane:{capability}:{target}"),
            "labels": {
                "kubernetes.io/bootstrapping": "rbac-defaults",
                format!("rbac.authorization.k8s.io/aggregate-to-{target}"): "true",
            },
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        },
        "rules": rules,
    })
}

/// A rule about resources of one group.
pub fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}
