//! What roles speak of in this module.

use mcplane_core::Attributes;
use mcplane_objects::roles::{CHANGE, SEE, part, rule};
use serde_json::Value;

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

/// The ClusterRoles that give the sums `view` and `edit` their rights.
pub fn roles() -> Vec<Value> {
    let [status, infer] = ["status", INFER].map(|sub| format!("{RESOURCE}/{sub}"));
    vec![
        part("serving", "view", &[rule(GROUP, &[RESOURCE, &status], SEE)]),
        part("serving", "edit", &[rule(GROUP, &[RESOURCE, &infer], CHANGE)]),
    ]
}
