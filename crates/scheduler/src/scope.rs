//! What roles speak of in this crate.

use mcplane_core::Attributes;
use mcplane_objects::roles::{CHANGE, SEE, part, rule};
use serde_json::Value;

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

/// The ClusterRoles that give the sums `view` and `edit` their rights in tasks.
pub fn roles() -> Vec<Value> {
    let batch = ["jobs", "cronjobs", "jobs/status", "cronjobs/status"];
    let see =
        [rule(GROUP, &["*"], SEE), rule("batch", &batch, SEE), rule("", &["pods", "pods/log", "pods/status"], SEE)];
    let change =
        [rule(GROUP, &["*"], CHANGE), rule("batch", &["jobs", "cronjobs"], CHANGE), rule("", &["pods"], CHANGE)];
    vec![part("tasks", "view", &see), part("tasks", "edit", &change)]
}
