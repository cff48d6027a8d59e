//! The facts and rules of the kind `User`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use mcplane_apimachinery::names;
use mcplane_apimachinery::schema::Schema;
use mcplane_core::FieldError;
use mcplane_objects::http::AGE;
use mcplane_objects::object::ObjectExt as _;
use mcplane_objects::schemas::{OwnSchema, text};
use mcplane_objects::{Column, Kind, NameRule, Resource};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{GROUP, password};

/// A local user. Not printable, because it may hold a password.
#[derive(Clone, Deserialize)]
pub struct User {
    /// Metadata; the name is what the user logs in with.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: UserSpec,
}

/// What a user may be.
#[derive(Clone, Deserialize)]
#[serde(default)]
#[derive(Default)]
pub struct UserSpec {
    /// The user belongs to the group `mcplane:role:ROLE`.
    pub role: String,
    /// A disabled user can't log in, and tokens issued before are refused.
    pub disabled: bool,
    /// The new password; for writing only.
    pub password: Option<String>,
}

const VERSION: &str = "v1alpha1";
/// Where `kubectl apply` repeats everything that it was given, passwords included.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The longest name that still fits a token and a column.
const LONGEST_NAME: usize = 253;

static SCHEMA: OwnSchema = OwnSchema::new(schema);

impl Resource for User {
    const KIND: Kind = Kind {
        name_rule: NameRule::PathSegment,
        generation: true,
        strategic_merge: false,
        selectable: &["spec.role"],
        columns: &[
            Column { name: "Id", format: "integer", priority: 0, cell: |user| user["status"]["id"].clone() },
            Column { name: "Role", format: "string", priority: 0, cell: |user| user["spec"]["role"].clone() },
            Column { name: "Disabled", format: "boolean", priority: 0, cell: |user| user["spec"]["disabled"].clone() },
            AGE,
        ],
        ..Kind::cluster(GROUP, &[VERSION], "User", "users", "user")
    };

    fn schema(_: &str) -> Option<&'static Schema> {
        SCHEMA.compiled()
    }

    fn openapi(version: &str) -> Option<Value> {
        Some(SCHEMA.component(&Self::KIND, version))
    }

    /// The status is the server's, and passwords stay out of annotations.
    fn prepare(new: &mut Value, old: Option<&Value>) {
        let status = old.and_then(|old| old.get("status")).cloned();
        if let Some(map) = new.as_object_mut() {
            map.remove("status");
            map.extend(status.map(|status| ("status".to_owned(), status)));
        }
        conceal_applied_password(new);
    }

    fn validate(new: &Self, _: Option<&Self>) -> Vec<FieldError> {
        let name = new.metadata.name.as_deref().unwrap_or_default();
        let mut errors = Vec::new();
        let bad_name = |detail: &str| FieldError::invalid("metadata.name", name, detail);
        if name.starts_with("system:") {
            errors.push(bad_name("names that start with system: belong to the server"));
        }
        if name.len() > LONGEST_NAME || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
            errors.push(bad_name("must have at most 253 bytes, none of them a space or a control character"));
        }
        if let Err(fault) = names::dns1123_label(&new.spec.role) {
            errors.push(FieldError::invalid("spec.role", new.spec.role.as_str(), fault));
        }
        if let Some(password) = &new.spec.password {
            errors.extend(password::check_policy("spec.password", password).err());
        }
        errors
    }
}

fn schema() -> Value {
    json!({
        "type": "object",
        "description": "A local user, who logs in with a password.",
        "required": ["spec"],
        "properties": {
            "spec": {
                "type": "object",
                "required": ["role"],
                "properties": {
                    "role": text("admin, editor, viewer, or a role of your own: the user belongs to the group mcplane:role:ROLE."),
                    "disabled": {
                        "type": "boolean", "default": false,
                        "description": "A disabled user can't log in, and tokens issued before are refused.",
                    },
                    // Without rules here: their errors would show the value.
                    "password": text("The new password. For writing only; it is stored as a hash and never shown."),
                },
            },
            "status": {
                "type": "object",
                "properties": {"id": {"type": "integer", "format": "int64", "description": "Number of the user, never used again."}},
            },
        },
    })
}

/// Takes the password out of the manifest that `kubectl apply` keeps in an annotation.
fn conceal_applied_password(user: &mut Value) {
    let annotations = user.metadata_mut().get_mut("annotations").and_then(Value::as_object_mut);
    let Some(applied) = annotations.and_then(|annotations| annotations.get_mut(LAST_APPLIED)) else { return };
    let Some(text) = applied.as_str() else { return };
    let concealed = match serde_json::from_str::<Value>(text) {
        Ok(mut manifest) => {
            let spec = manifest.get_mut("spec").and_then(Value::as_object_mut);
            let password = spec.and_then(|spec| spec.remove("password"));
            // kubectl's own text stays as it is, so that applying the same again changes nothing.
            password.map(|_| format!("{manifest}\n"))
        }
        // Whatever it holds, kubectl could not use it.
        Err(_) => Some("{}\n".to_owned()),
    };
    if let Some(concealed) = concealed {
        *applied = concealed.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, spec: Value) -> Value {
        json!({"metadata": {"name": name}, "spec": spec})
    }

    fn errors(value: Value) -> Vec<String> {
        User::validate(&serde_json::from_value(value).unwrap(), None).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_schema_compiles_and_knows_its_fields() {
        let schema = User::schema(VERSION).unwrap();
        let mut value = user("ann", json!({"role": "viewer", "password": "p", "passwordHash": "h"}));
        assert_eq!(schema.unknown_fields(&value), [r#"unknown field "spec.passwordHash""#]);
        schema.prune(&mut value);
        schema.apply_defaults(&mut value);
        assert_eq!(value["spec"], json!({"role": "viewer", "password": "p", "disabled": false}));
        assert_eq!(schema.validate(&user("ann", json!({}))).len(), 1);
        let shown = format!("{:?}", schema.validate(&user("ann", json!({"role": "x", "password": 12_345_678}))));
        assert!(!shown.contains("12345678"), "{shown}");
    }

    #[test]
    fn names_roles_and_passwords_have_rules() {
        assert_eq!(errors(user("ann@example.org", json!({"role": "viewer", "password": "long enough"}))).len(), 0);
        assert_eq!(errors(user("system:ann", json!({"role": "viewer"}))).len(), 1);
        assert_eq!(errors(user("a b", json!({"role": "viewer"}))).len(), 1);
        assert_eq!(errors(user("a\0", json!({"role": ""}))).len(), 2);
        let short = errors(user("ann", json!({"role": "viewer", "password": "hunter2"})));
        assert_eq!(short, ["spec.password: Invalid value: must have at least 8 bytes"]);
    }

    #[test]
    fn applied_manifests_lose_their_password() {
        let with = |text: &str| {
            let mut user = user("ann", json!({}));
            user["metadata"]["annotations"] = json!({ LAST_APPLIED: text });
            user["status"] = json!({"id": 1});
            User::prepare(&mut user, None);
            assert_eq!(user.get("status"), None);
            user["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap().to_owned()
        };
        assert_eq!(with(r#"{"spec":{"password":"hunter2","role":"x"}}"#), "{\"spec\":{\"role\":\"x\"}}\n");
        assert_eq!(with("{ \"spec\": {} }\n"), "{ \"spec\": {} }\n");
        assert_eq!(with("hunter2"), "{}\n");
    }
}
