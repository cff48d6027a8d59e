//! Rules of `metadata` that hold for objects of every kind.

use std::collections::BTreeSet;

use mcplane_core::{FieldError, FieldReason};
use serde_json::{Map, Value};

use crate::names::{self, NameRule};

/// The finalizer that keeps an owner until its dependents have been let go.
pub const ORPHAN_DEPENDENTS: &str = "orphan";
/// The finalizer that keeps an owner until its dependents are gone.
pub const DELETE_DEPENDENTS: &str = "foregroundDeletion";

const IMMUTABLE: &str = "field is immutable";
/// Fields that the server sets once; a client may leave them out but not change them.
const SERVER_OWNED: [&str; 4] = ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"];

/// Every rule that the `metadata` of a new object breaks. A `generateName` may stand for the name.
pub fn validate_create(meta: &Value, rule: NameRule, namespaced: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (name, prefix) = (text(meta, "name", &mut errors), text(meta, "generateName", &mut errors));
    if !prefix.is_empty()
        && let Err(fault) = rule.check_prefix(prefix)
    {
        errors.push(FieldError::invalid("metadata.generateName", prefix, fault));
    }
    if !name.is_empty() {
        if let Err(fault) = rule.check(name) {
            errors.push(FieldError::invalid("metadata.name", name, fault));
        }
    } else if prefix.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    }
    validate_namespace(meta, namespaced, &mut errors);
    validate_common(meta, &mut errors);
    errors
}

/// Every rule that `new` breaks as the next `metadata` of an object that has `old`. Fields that the server owns are
/// compared as they are, so let [`carry_over`] fill in what clients may leave out.
pub fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !old["deletionTimestamp"].is_null() {
        let before: BTreeSet<&str> = strings(&old["finalizers"]).collect();
        let added: BTreeSet<&str> = strings(&new["finalizers"]).filter(|name| !before.contains(name)).collect();
        if !added.is_empty() {
            let list: Vec<String> = added.iter().map(|name| format!("{name:?}")).collect();
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                list.join(", ")
            );
            errors.push(FieldError::forbidden("metadata.finalizers", detail));
        }
    }
    for field in ["name", "namespace"].into_iter().chain(SERVER_OWNED) {
        // Absent and empty are the same in Kubernetes' types.
        let (before, after) = (present(&old[field]), present(&new[field]));
        if before != after {
            errors.push(FieldError::invalid(format!("metadata.{field}"), new[field].clone(), IMMUTABLE));
        }
    }
    validate_common(new, &mut errors);
    errors
}

/// Copies from `old` the fields that the server owns and an update leaves out, as the API server does: a client can
/// never undo a deletion, and need not repeat an object's uid. Times that a client writes differently but means the same
/// stay as they were written first.
pub fn carry_over(new: &mut Map<String, Value>, old: &Value) {
    for field in SERVER_OWNED {
        let Some(kept) = present(&old[field]) else { continue };
        if new.get(field).and_then(present).is_none_or(|given| is_same_time(given, kept)) {
            new.insert(field.to_owned(), kept.clone());
        }
    }
}

fn is_same_time(one: &Value, other: &Value) -> bool {
    let time = |value: &Value| value.as_str().and_then(mcplane_core::clock::parse_rfc3339);
    time(one).is_some_and(|moment| time(other) == Some(moment))
}

fn present(value: &Value) -> Option<&Value> {
    match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        value => Some(value),
    }
}

fn text<'a>(meta: &'a Value, field: &str, errors: &mut Vec<FieldError>) -> &'a str {
    match &meta[field] {
        Value::Null => "",
        Value::String(text) => text,
        _ => {
            errors.push(wrong_type(field, "must be a string"));
            ""
        }
    }
}

fn wrong_type(field: &str, detail: &str) -> FieldError {
    FieldError::new(format!("metadata.{field}"), FieldReason::TypeInvalid, detail)
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn validate_namespace(meta: &Value, namespaced: bool, errors: &mut Vec<FieldError>) {
    let namespace = text(meta, "namespace", errors);
    if !namespaced {
        if !namespace.is_empty() {
            errors.push(FieldError::forbidden("metadata.namespace", "not allowed on this type"));
        }
    } else if namespace.is_empty() {
        errors.push(FieldError::required("metadata.namespace", ""));
    } else if let Err(fault) = names::dns1123_label(namespace) {
        errors.push(FieldError::invalid("metadata.namespace", namespace, fault));
    }
}

fn validate_common(meta: &Value, errors: &mut Vec<FieldError>) {
    for (key, value) in pairs(meta, "labels", errors) {
        if let Err(fault) = names::qualified_name(key) {
            errors.push(FieldError::invalid("metadata.labels", key, fault));
        }
        if let Err(fault) = names::label_value(value) {
            errors.push(FieldError::invalid("metadata.labels", value, fault));
        }
    }
    let annotations = pairs(meta, "annotations", errors);
    for (key, _) in &annotations {
        if let Err(fault) = names::annotation_key(key) {
            errors.push(FieldError::invalid("metadata.annotations", *key, fault));
        }
    }
    if let Err(fault) = names::annotations_size(annotations) {
        errors.push(FieldError::new("metadata.annotations", FieldReason::TooLong, fault));
    }
    validate_owner_references(&meta["ownerReferences"], errors);
    validate_finalizers(&meta["finalizers"], errors);
}

fn pairs<'a>(meta: &'a Value, field: &str, errors: &mut Vec<FieldError>) -> Vec<(&'a str, &'a str)> {
    let map = match &meta[field] {
        Value::Null => return Vec::new(),
        Value::Object(map) => map,
        _ => {
            errors.push(wrong_type(field, "must be an object"));
            return Vec::new();
        }
    };
    let mut pairs = Vec::with_capacity(map.len());
    for (key, value) in map {
        match value {
            Value::String(text) => pairs.push((key.as_str(), text.as_str())),
            Value::Null => pairs.push((key.as_str(), "")),
            _ => errors.push(wrong_type(&format!("{field}[{key}]"), "must be a string")),
        }
    }
    pairs
}

fn validate_owner_references(references: &Value, errors: &mut Vec<FieldError>) {
    const FIELD: &str = "metadata.ownerReferences";
    let references = match references {
        Value::Null => return,
        Value::Array(references) => references,
        _ => return errors.push(wrong_type("ownerReferences", "must be an array")),
    };
    let mut controller: Option<String> = None;
    for reference in references {
        let text = |field: &str| reference[field].as_str().unwrap_or_default();
        let (api_version, kind, name) = (text("apiVersion"), text("kind"), text("name"));
        let version = api_version.rsplit('/').next().unwrap_or_default();
        if version.is_empty() {
            errors.push(FieldError::invalid(format!("{FIELD}.apiVersion"), api_version, "version must not be empty"));
        }
        for (field, value) in [("kind", kind), ("name", name), ("uid", text("uid"))] {
            if value.is_empty() {
                errors.push(FieldError::invalid(format!("{FIELD}.{field}"), value, "must not be empty"));
            }
        }
        if (api_version, kind) == ("v1", "Event") {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::invalid(FIELD, reference.clone(), detail));
        }
        if reference["controller"] == true {
            let this = format!("{kind}/{name}");
            match &controller {
                None => controller = Some(this),
                Some(first) => {
                    let detail = format!(
                        "Only one reference can have Controller set to true. \
                         Found \"true\" in references for {first} and {this}"
                    );
                    errors.push(FieldError::invalid(FIELD, references.clone(), detail));
                }
            }
        }
    }
}

fn validate_finalizers(finalizers: &Value, errors: &mut Vec<FieldError>) {
    const FIELD: &str = "metadata.finalizers";
    let list = match finalizers {
        Value::Null => return,
        Value::Array(list) => list,
        _ => return errors.push(wrong_type("finalizers", "must be an array")),
    };
    for finalizer in list {
        match finalizer.as_str().map(|name| (name, names::qualified_name(name))) {
            None => errors.push(wrong_type("finalizers", "must be an array of strings")),
            Some((name, Err(fault))) => errors.push(FieldError::invalid(FIELD, name, fault)),
            Some((_, Ok(()))) => {}
        }
    }
    if [ORPHAN_DEPENDENTS, DELETE_DEPENDENTS].iter().all(|both| list.iter().any(|name| name == both)) {
        let detail = format!("finalizer {ORPHAN_DEPENDENTS} and {DELETE_DEPENDENTS} cannot be both set");
        errors.push(FieldError::invalid(FIELD, finalizers.clone(), detail));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn create(meta: &Value) -> Vec<String> {
        validate_create(meta, NameRule::Dns1123Subdomain, true).iter().map(ToString::to_string).collect()
    }

    fn update(new: &Value, old: &Value) -> Vec<String> {
        validate_update(new, old).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn times_may_be_written_differently() {
        let old = json!({"uid": "u", "deletionTimestamp": "2026-01-02T03:04:05Z"});
        let mut new = json!({"deletionTimestamp": "2026-01-02T03:04:05+00:00"});
        carry_over(new.as_object_mut().unwrap(), &old);
        assert_eq!(new, old);
        let mut moved = json!({"deletionTimestamp": "2026-01-02T03:04:06Z"});
        carry_over(moved.as_object_mut().unwrap(), &old);
        assert_eq!(moved["deletionTimestamp"], "2026-01-02T03:04:06Z");
    }

    #[test]
    fn a_complete_metadata_is_fine() {
        let meta = json!({
            "name": "train-1", "namespace": "development",
            "labels": {"app.kubernetes.io/name": "train", "empty": ""},
            "annotations": {"Example.com/Note": "any text ä"},
            "finalizers": ["orphan", "example.com/cleanup"],
            "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "CronJob", "name": "t", "uid": "1", "controller": true},
                {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "2"}
            ]
        });
        assert_eq!(create(&meta), Vec::<String>::new());
        assert_eq!(create(&json!({"generateName": "train-", "namespace": "d"})), Vec::<String>::new());
        assert!(validate_create(&json!({"name": "a:b"}), NameRule::PathSegment, false).is_empty());
    }

    #[test]
    fn names_and_namespaces() {
        let errors = create(&json!({}));
        assert_eq!(
            errors,
            ["metadata.name: Required value: name or generateName is required", "metadata.namespace: Required value"]
        );
        let errors = create(&json!({"name": "A", "generateName": "B-", "namespace": "a.b"}));
        assert!(errors[0].starts_with("metadata.generateName: Invalid value: \"B-\": a lowercase RFC 1123 subdomain"));
        assert!(errors[1].starts_with("metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain"));
        assert_eq!(errors[2], "metadata.namespace: Invalid value: \"a.b\": must not contain dots");
        let errors = validate_create(&json!({"name": "a", "namespace": "b"}), NameRule::Dns1123Label, false);
        assert_eq!(errors[0].to_string(), "metadata.namespace: Forbidden: not allowed on this type");
    }

    #[test]
    fn labels_annotations_owners_and_finalizers() {
        let errors = create(&json!({
            "name": "a", "namespace": "b",
            "labels": {"-k": "v", "k": "v v"},
            "annotations": {"a/b/c": "x", "big": "x".repeat(names::ANNOTATIONS_MAX)},
            "finalizers": ["no good", "orphan", "foregroundDeletion"],
            "ownerReferences": [
                {"apiVersion": "apps/", "kind": "", "controller": true},
                {"apiVersion": "v1", "kind": "Event", "name": "e", "uid": "1", "controller": true}
            ]
        }));
        for (index, start) in [
            "metadata.labels: Invalid value: \"-k\": name part",
            "metadata.labels: Invalid value: \"v v\": a valid label",
            "metadata.annotations: Invalid value: \"a/b/c\": a valid label key",
            "metadata.annotations: Too long: may not be more than 262144 bytes",
            "metadata.ownerReferences.apiVersion: Invalid value: \"apps/\": version must not be empty",
            "metadata.ownerReferences.kind: Invalid value: \"\": must not be empty",
            "metadata.ownerReferences.name: Invalid value: \"\": must not be empty",
            "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty",
            "metadata.ownerReferences: Invalid value: {\"",
            "metadata.ownerReferences: Invalid value: [{",
            "metadata.finalizers: Invalid value: \"no good\": name part",
            "metadata.finalizers: Invalid value: [\"no good\",\"orphan\",\"foregroundDeletion\"]: finalizer orphan and",
        ]
        .iter()
        .enumerate()
        {
            assert!(errors[index].starts_with(start), "{}", errors[index]);
        }
        assert!(errors[8].ends_with("/v1, Kind=Event is disallowed from being an owner"));
        assert!(errors[9].ends_with("Found \"true\" in references for / and Event/e"), "{}", errors[9]);
        assert_eq!(errors.len(), 12);
    }

    #[test]
    fn wrong_types_are_errors() {
        let errors = create(&json!({
            "name": 1, "namespace": "b", "labels": [], "annotations": {"a": 1}, "finalizers": [1], "ownerReferences": {}
        }));
        assert_eq!(errors[0], "metadata.name: Invalid value: must be a string");
        assert!(errors.contains(&"metadata.labels: Invalid value: must be an object".to_owned()));
        assert!(errors.contains(&"metadata.annotations[a]: Invalid value: must be a string".to_owned()));
        assert!(errors.contains(&"metadata.finalizers: Invalid value: must be an array of strings".to_owned()));
        assert!(errors.contains(&"metadata.ownerReferences: Invalid value: must be an array".to_owned()));
    }

    #[test]
    fn identity_does_not_change() {
        let old = json!({"name": "a", "namespace": "n", "uid": "1", "creationTimestamp": "2024-01-01T00:00:00Z"});
        assert_eq!(update(&old, &old), Vec::<String>::new());
        let mut new = json!({"name": "b", "namespace": "", "uid": "2", "creationTimestamp": "2025-01-01T00:00:00Z"});
        assert_eq!(
            update(&new, &old),
            [
                "metadata.name: Invalid value: \"b\": field is immutable",
                "metadata.namespace: Invalid value: \"\": field is immutable",
                "metadata.uid: Invalid value: \"2\": field is immutable",
                "metadata.creationTimestamp: Invalid value: \"2025-01-01T00:00:00Z\": field is immutable",
            ]
        );
        new = json!({"name": "a", "namespace": "n", "deletionTimestamp": "2025-01-01T00:00:00Z"});
        carry_over(new.as_object_mut().unwrap(), &old);
        assert_eq!(new["uid"], "1");
        assert_eq!(
            update(&new, &old),
            ["metadata.deletionTimestamp: Invalid value: \"2025-01-01T00:00:00Z\": field is immutable"]
        );
    }

    #[test]
    fn deletion_cannot_be_undone_or_held_up() {
        let old = json!({
            "name": "a", "deletionTimestamp": "2025-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0,
            "finalizers": ["example.com/a", "example.com/b"]
        });
        let mut new = json!({"name": "a", "finalizers": ["example.com/b", "example.com/d", "example.com/c"]});
        assert_eq!(update(&new, &old).len(), 3);
        carry_over(new.as_object_mut().unwrap(), &old);
        assert_eq!(
            update(&new, &old),
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new \
              finalizers []string{\"example.com/c\", \"example.com/d\"}"
            ]
        );
        new["finalizers"] = json!(["example.com/b"]);
        assert_eq!(update(&new, &old), Vec::<String>::new());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from)
        ];
        let key = prop_oneof![
            "name|namespace|labels|annotations|finalizers|ownerReferences|kind|uid|apiVersion|controller",
            "\\PC{0,4}"
        ];
        leaf.prop_recursive(3, 24, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(key.clone(), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect()))
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_has_an_answer(new in any_json(), old in any_json()) {
            let errors = validate_create(&new, NameRule::Dns1123Subdomain, true);
            prop_assert!(errors.iter().all(|error| error.field.starts_with("metadata.")));
            let _ = validate_update(&new, &old);
            prop_assert!(validate_update(&old, &old).iter().all(|error| error.detail != IMMUTABLE));
        }
    }
}
