//! What roles speak of in this crate, and what its kinds have in common.

use std::sync::OnceLock;

use mcplane_apimachinery::schema::Schema;
use mcplane_core::authz::Target;
use mcplane_core::{Attributes, Error, Grant, Result};
use serde_json::{Map, Value, json};

/// The API group of the kinds.
pub const OBJECT_GROUP: &str = "mcplane.io";
/// Their version.
pub(crate) const VERSION: &str = "v1alpha1";
/// The API group, in the terms of roles, of what is said to rollouts and of what monitors are told.
pub const GROUP: &str = "delivery.mcplane.io";
/// What is said to rollouts: the verb is the word.
pub const ROLLOUTS: &str = "rollouts";
/// What was true of predictions.
pub const LABELS: &str = "labels";
/// What was predicted.
pub const PREDICTIONS: &str = "predictions";

/// The namespace that a grant is for. Every statement is bound to it.
pub(crate) fn namespace(grant: &Grant) -> Result<&str> {
    match &grant.attributes().target {
        Target::Resource { namespace, .. } if !namespace.is_empty() => Ok(namespace),
        _ => Err(Error::internal("a grant without a namespace")),
    }
}

/// What a role must allow for `verb`.
pub fn attributes(verb: &'static str, resource: &'static str, namespace: &str, name: &str) -> Attributes {
    Attributes::resource(verb, GROUP, resource, namespace, name)
}

/// The ClusterRoles that give the sums `view`, `edit` and `admin` their rights.
pub fn roles() -> Vec<Value> {
    let role = |target: &str, rules: Value| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {
                "name": format!("mcplane:delivery:{target}"),
                "labels": {
                    "kubernetes.io/bootstrapping": "rbac-defaults",
                    format!("rbac.authorization.k8s.io/aggregate-to-{target}"): "true",
                },
                "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
            },
            "rules": rules,
        })
    };
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    let (see, change) = (["get", "list", "watch"], ["create", "update", "patch", "delete", "deletecollection"]);
    vec![
        role(
            "view",
            json!([
                rule(GROUP, &[ROLLOUTS, PREDICTIONS], &["get", "list"]),
                rule(OBJECT_GROUP, &["rollouts", "rollouts/status", "monitors", "monitors/status"], &see),
            ]),
        ),
        role(
            "edit",
            json!([
                rule(GROUP, &[ROLLOUTS], &["pause", "resume", "promote", "abort", "retry"]),
                rule(GROUP, &[LABELS], &["create"]),
                rule(OBJECT_GROUP, &["rollouts", "monitors"], &change),
            ]),
        ),
        // Past all stages goes only who answers for the namespace.
        role("admin", json!([rule(GROUP, &[ROLLOUTS], &["override"])])),
    ]
}

/// Compiles a kind's own schema once.
pub(crate) fn compiled(cell: &'static OnceLock<Option<Schema>>, schema: fn() -> Value) -> Option<&'static Schema> {
    let compile = || match Schema::from_crd(&schema()) {
        Ok(schema) => Some(schema),
        Err(error) => {
            tracing::error!(%error, "a schema of delivery does not compile");
            None
        }
    };
    cell.get_or_init(compile).as_ref()
}

/// The same as a component of OpenAPI.
pub(crate) fn component(version: &str, kind: &str, mut schema: Value) -> Value {
    schema["properties"]["apiVersion"] = json!({"type": "string"});
    schema["properties"]["kind"] = json!({"type": "string"});
    schema["properties"]["metadata"] = json!({"type": "object"});
    schema["x-kubernetes-group-version-kind"] = json!([{"group": OBJECT_GROUP, "kind": kind, "version": version}]);
    json!({ format!("io.mcplane.{version}.{kind}"): schema })
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

pub(crate) fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

pub(crate) fn flag(about: &str) -> Value {
    json!({"type": "boolean", "description": about})
}

pub(crate) fn number(about: &str) -> Value {
    json!({"type": "number", "description": about})
}

pub(crate) fn count(about: &str) -> Value {
    json!({"type": "integer", "format": "int64", "minimum": 0, "description": about})
}

pub(crate) fn list(about: &str, items: Value) -> Value {
    json!({"type": "array", "description": about, "items": items})
}

pub(crate) fn texts(about: &str) -> Value {
    list(about, text("One."))
}

pub(crate) fn object(about: &str, fields: &[(&str, Value)]) -> Value {
    let fields: Map<String, Value> = fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({"type": "object", "description": about, "properties": fields})
}

pub(crate) fn anything(about: &str) -> Value {
    json!({"description": about, "x-kubernetes-preserve-unknown-fields": true})
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
