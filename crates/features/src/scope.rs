//! What roles speak of in this crate.

use serde_json::{Value, json};

use crate::views::{GROUP, VIEWS};

/// The ClusterRoles that give the sums `view` and `edit` their rights in feature views.
pub fn roles() -> Vec<Value> {
    let role = |target: &str, rules: Value| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {
                "name": format!("mcplane:features:{target}"),
                "labels": {
                    "kubernetes.io/bootstrapping": "rbac-defaults",
                    format!("rbac.authorization.k8s.io/aggregate-to-{target}"): "true",
                },
                "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
            },
            "rules": rules,
        })
    };
    let [status, history, told] = ["status", "history", "materializations"].map(|sub| format!("{VIEWS}/{sub}"));
    vec![
        role(
            "view",
            json!([{"apiGroups": [GROUP], "resources": [VIEWS, status, history], "verbs": ["get", "list", "watch"]}]),
        ),
        role(
            "edit",
            json!([
                {"apiGroups": [GROUP], "resources": [VIEWS],
                 "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
                {"apiGroups": [GROUP], "resources": [told], "verbs": ["create"]},
            ]),
        ),
    ]
}
