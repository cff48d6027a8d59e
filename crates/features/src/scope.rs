//! What roles speak of in this crate.

use mcplane_objects::roles::{CHANGE, SEE, part, rule};
use serde_json::Value;

use crate::views::{GROUP, VIEWS};

/// The ClusterRoles that give the sums `view` and `edit` their rights in feature views.
pub fn roles() -> Vec<Value> {
    let [status, history, told] = ["status", "history", "materializations"].map(|sub| format!("{VIEWS}/{sub}"));
    vec![
        part("features", "view", &[rule(GROUP, &[VIEWS, &status, &history], SEE)]),
        part("features", "edit", &[rule(GROUP, &[VIEWS], CHANGE), rule(GROUP, &[&told], &["create"])]),
    ]
}
