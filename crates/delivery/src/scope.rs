//! What roles speak of in this crate, and what its kinds have in common.

use mcplane_core::Attributes;
use mcplane_objects::roles::{CHANGE, SEE, part, rule};
use mcplane_objects::schemas::{count, number, object};
use serde_json::{Value, json};

/// The API group of the kinds.
pub const OBJECT_GROUP: &str = "mcplane.io";
/// Their version.
pub(crate) const VERSION: &str = "v1alpha1";
/// Who tells of what happens to them, in events.
pub const COMPONENT: &str = "delivery";
/// The API group, in the terms of roles, of what is said to rollouts and of what monitors are told.
pub const GROUP: &str = "delivery.mcplane.io";
/// What is said to rollouts: the verb is the word.
pub const ROLLOUTS: &str = "rollouts";
/// What was true of predictions.
pub const LABELS: &str = "labels";
/// What was predicted.
pub const PREDICTIONS: &str = "predictions";

/// What a role must allow for `verb`.
pub fn attributes(verb: &'static str, resource: &'static str, namespace: &str, name: &str) -> Attributes {
    Attributes::resource(verb, GROUP, resource, namespace, name)
}

/// The ClusterRoles that give the sums `view`, `edit` and `admin` their rights.
pub fn roles() -> Vec<Value> {
    let own = |target: &str, rules: &[Value]| part("delivery", target, rules);
    let kinds = ["rollouts", "rollouts/status", "monitors", "monitors/status"];
    vec![
        own("view", &[rule(GROUP, &[ROLLOUTS, PREDICTIONS], &["get", "list"]), rule(OBJECT_GROUP, &kinds, SEE)]),
        own(
            "edit",
            &[
                rule(GROUP, &[ROLLOUTS], &["pause", "resume", "promote", "abort", "retry"]),
                rule(GROUP, &[LABELS], &["create"]),
                rule(OBJECT_GROUP, &["rollouts", "monitors"], CHANGE),
            ],
        ),
        // Past all stages goes only who answers for the namespace.
        own("admin", &[rule(GROUP, &[ROLLOUTS], &["override"])]),
    ]
}

/// Gives fields that are left out their defaults, at any depth.
pub(crate) fn fill(given: &mut Value, defaults: Value) {
    match (given, defaults) {
        (Value::Object(given), Value::Object(defaults)) => {
            for (name, value) in defaults {
                match given.get_mut(&name) {
                    Some(own) => fill(own, value),
                    None => drop(given.insert(name, value)),
                }
            }
        }
        (given @ Value::Null, defaults) => *given = defaults,
        _ => {}
    }
}

/// Two lines, as both kinds have them.
pub(crate) fn band(about: &str) -> Value {
    object(
        about,
        &[
            ("worse", json!({"type": "string", "enum": ["Below", "Above"], "description": "Which side is worse."})),
            ("normal", number("On this line and on its better side all is well.")),
            ("alert", number("Beyond this line is an alert.")),
            ("least", count("Values that a reading must be made of.")),
            ("raiseAfter", count("Readings in a row that raise an alert.")),
            ("resolveAfter", count("Readings in a row that resolve it.")),
            ("chance", number("For shares: how probable a reading that alerts may be by chance.")),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_filled_in() {
        let mut given = json!({"a": {"b": 1}, "c": null, "d": [1]});
        fill(&mut given, json!({"a": {"b": 2, "e": 3}, "c": 4, "d": [5, 6], "f": {}}));
        assert_eq!(given, json!({"a": {"b": 1, "e": 3}, "c": 4, "d": [1], "f": {}}));
    }
}
