//! What roles speak of in this module.

use mcplane_core::Attributes;
use serde_json::{Value, json};

/// The API group of the kind.
pub const GROUP: &str = "serving.kserve.io";
/// Its version.
pub const VERSION: &str = "v1beta1";
/// Its plural.
pub const RESOURCE: &str = "inferenceservices";
/// What callers of a service need the right to create.
pub const INFER: &str = "infer";

/// What a role must allow whoever asks the service for predictions.
pub fn attributes(namespace: &str, service: &str) -> Attributes {
    Attributes::resource("create", GROUP, RESOURCE, namespace, service).with_subresource(INFER)
}

/// The ClusterRoles that give the sums `view`, `edit` and `admin` their rights.
pub fn roles() -> Vec<Value> {
    let role = |target: &str, resources: &[&str], verbs: &[&str]| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {
                "name": format!("mcplane:serving:{target}"),
                "labels": {
                    "kubernetes.io/bootstrapping": "rbac-defaults",
                    format!("rbac.authorization.k8s.io/aggregate-to-{target}"): "true",
                },
                "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
            },
            "rules": [{"apiGroups": [GROUP], "resources": resources, "verbs": verbs}],
        })
    };
    let (see, change) = (["get", "list", "watch"], ["create", "update", "patch", "delete", "deletecollection"]);
    vec![
        role("view", &["inferenceservices", "inferenceservices/status"], &see),
        role("edit", &["inferenceservices", "inferenceservices/infer"], &change),
    ]
}
