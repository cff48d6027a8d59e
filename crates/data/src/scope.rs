//! What roles speak of in this crate, and what its kinds have in common.

use mcplane_apimachinery::schema::Schema;
use mcplane_core::authz::Target;
use mcplane_core::{Attributes, Error, Grant, Result};
use serde_json::{Value, json};

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
                "name": format!("mcplane:data:{target}"),
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
                rule(GROUP, &[REPORTS, DECISIONS], &see),
                rule(OBJECT_GROUP, &["datacontracts", "datacontracts/status", "gates"], &see),
            ]),
        ),
        role(
            "edit",
            json!([
                rule(GROUP, &[REPORTS, DECISIONS], &["create"]),
                rule(OBJECT_GROUP, &["datacontracts", "gates"], &change),
            ]),
        ),
        // Against a gate's word speaks only who answers for the namespace.
        role("admin", json!([rule(GROUP, &[DECISIONS], &["override"])])),
    ]
}

/// A kind's own schema.
pub(crate) fn compile(schema: &Value) -> Option<Schema> {
    match Schema::from_crd(schema) {
        Ok(schema) => Some(schema),
        Err(error) => {
            tracing::error!(%error, "a schema does not compile");
            None
        }
    }
}

/// The same as a component of OpenAPI.
pub(crate) fn component(version: &str, kind: &str, mut schema: Value) -> Value {
    schema["properties"]["apiVersion"] = json!({"type": "string"});
    schema["properties"]["kind"] = json!({"type": "string"});
    schema["properties"]["metadata"] = json!({"type": "object"});
    schema["x-kubernetes-group-version-kind"] = json!([{"group": OBJECT_GROUP, "kind": kind, "version": version}]);
    json!({ format!("io.mcplane.{version}.{kind}"): schema })
}
