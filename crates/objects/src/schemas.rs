//! Schemas of the project's own kinds: written once, compiled once, shown as components of OpenAPI.

use std::sync::OnceLock;

use mcplane_apimachinery::schema::Schema;
use serde_json::{Map, Value, json};

use crate::kind::Kind;

/// The schema of a kind, in the dialect of custom resources. A kind has one as a `static`.
#[derive(Debug)]
pub struct OwnSchema {
    write: fn() -> Value,
    compiled: OnceLock<Option<Schema>>,
}

impl OwnSchema {
    /// What `write` says of the kind, without `apiVersion`, `kind` and `metadata`, which all have.
    pub const fn new(write: fn() -> Value) -> Self {
        Self { write, compiled: OnceLock::new() }
    }

    /// What objects are checked against; `None`, and a line in the log, if it does not compile.
    pub fn compiled(&self) -> Option<&Schema> {
        let compile = || match Schema::from_crd(&(self.write)()) {
            Ok(schema) => Some(schema),
            Err(error) => {
                tracing::error!(%error, "a schema does not compile");
                None
            }
        };
        self.compiled.get_or_init(compile).as_ref()
    }

    /// Its component of the OpenAPI document, named as clients of Kubernetes expect: `io.mcplane.v1alpha1.Gate`.
    pub fn component(&self, kind: &Kind, version: &str) -> Value {
        let mut schema = (self.write)();
        schema["properties"]["apiVersion"] = json!({"type": "string"});
        schema["properties"]["kind"] = json!({"type": "string"});
        schema["properties"]["metadata"] = json!({"type": "object"});
        schema["x-kubernetes-group-version-kind"] =
            json!([{"group": kind.group, "kind": kind.kind, "version": version}]);
        json!({ format!("{}.{version}.{}", reversed(kind.group), kind.kind): schema })
    }
}

/// `io.mcplane` of `mcplane.io`. Kubernetes' core group has no name of its own.
fn reversed(group: &str) -> String {
    match group {
        "" => "io.k8s.api.core".to_owned(),
        group => group.rsplit('.').collect::<Vec<_>>().join("."),
    }
}

/// A text.
pub fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

/// True or false.
pub fn flag(about: &str) -> Value {
    json!({"type": "boolean", "description": about})
}

/// A number.
pub fn number(about: &str) -> Value {
    json!({"type": "number", "description": about})
}

/// A whole number, not negative.
pub fn count(about: &str) -> Value {
    json!({"type": "integer", "format": "int64", "minimum": 0, "description": about})
}

/// A list of `items`.
pub fn list(about: &str, items: Value) -> Value {
    json!({"type": "array", "description": about, "items": items})
}

/// A list of texts.
pub fn texts(about: &str) -> Value {
    list(about, text("One."))
}

/// An object with these fields, all optional.
pub fn object(about: &str, fields: &[(&str, Value)]) -> Value {
    let fields: Map<String, Value> = fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({"type": "object", "description": about, "properties": fields})
}

/// Any value.
pub fn anything(about: &str) -> Value {
    json!({"description": about, "x-kubernetes-preserve-unknown-fields": true})
}

/// An object whose `spec` and `status` have these fields.
pub fn of_kind(about: &str, spec: Value, status: Value) -> Value {
    json!({
        "type": "object",
        "description": about,
        "properties": {
            "spec": {"type": "object", "properties": spec},
            "status": {"type": "object", "properties": status},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    static OWN: OwnSchema = OwnSchema::new(|| of_kind("A thing.", json!({"size": count("How big.")}), json!({})));
    static BROKEN: OwnSchema = OwnSchema::new(|| json!({"type": "nothing"}));

    #[test]
    fn a_schema_is_compiled_and_shown() {
        assert!(OWN.compiled().is_some_and(|schema| std::ptr::eq(schema, OWN.compiled().unwrap())));
        assert!(BROKEN.compiled().is_none());
        let kind = Kind::namespaced("serving.kserve.io", &["v1"], "Thing", "things", "thing");
        let shown = OWN.component(&kind, "v1");
        let thing = &shown["io.kserve.serving.v1.Thing"];
        assert_eq!(thing["properties"]["spec"]["properties"]["size"]["minimum"], 0);
        assert_eq!(thing["properties"]["metadata"], json!({"type": "object"}));
        let name = json!([{"group": "serving.kserve.io", "kind": "Thing", "version": "v1"}]);
        assert_eq!(thing["x-kubernetes-group-version-kind"], name);
        let node = Kind::cluster("", &["v1"], "Node", "nodes", "node");
        assert!(OWN.component(&node, "v1").get("io.k8s.api.core.v1.Node").is_some());
    }
}
