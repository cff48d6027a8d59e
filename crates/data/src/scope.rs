//! What roles speak of in this crate.

use mcplane_core::Attributes;
use mcplane_objects::roles::{CHANGE, SEE, part, rule};
use serde_json::Value;

/// The API group of the kinds.
pub const OBJECT_GROUP: &str = "mcplane.io";
/// Their version.
pub(crate) const VERSION: &str = "v1alpha1";
/// The API group, in the terms of roles, of what is reported and decided.
pub const GROUP: &str = "data.mcplane.io";
/// What checks of data came to.
pub const REPORTS: &str = "reports";
/// What gates decided.
pub const DECISIONS: &str = "decisions";

/// What a role must allow for `verb`.
pub fn attributes(verb: &'static str, resource: &'static str, namespace: &str, name: &str) -> Attributes {
    Attributes::resource(verb, GROUP, resource, namespace, name)
}

/// The ClusterRoles that give the sums `view`, `edit` and `admin` their rights.
pub fn roles() -> Vec<Value> {
    let own = |target: &str, rules: &[Value]| part("data", target, rules);
    let kinds = ["datacontracts", "datacontracts/status", "gates"];
    vec![
        own("view", &[rule(GROUP, &[REPORTS, DECISIONS], SEE), rule(OBJECT_GROUP, &kinds, SEE)]),
        own(
            "edit",
            &[rule(GROUP, &[REPORTS, DECISIONS], &["create"]), rule(OBJECT_GROUP, &["datacontracts", "gates"], CHANGE)],
        ),
        // Against a gate's word speaks only who answers for the namespace.
        own("admin", &[rule(GROUP, &[DECISIONS], &["override"])]),
    ]
}
