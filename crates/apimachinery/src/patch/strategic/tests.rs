use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::patch::depth;
use crate::schema::{MAX_DEPTH, builtin};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    about: String,
    kind: String,
    original: Value,
    patch: Value,
    #[serde(default)]
    result: Option<Value>,
    #[serde(default)]
    error: Option<String>,
    /// The patch gives something else when it is applied to its own result.
    #[serde(default)]
    once: bool,
}

/// Node and what no vendored kind has: a map that is replaced, a list that merges without a key.
fn node() -> Schema {
    let keyed = json!({"type": "array", "items": {"type": "object"}, "x-kubernetes-patch-strategy": "merge",
                       "x-kubernetes-patch-merge-key": "type"});
    Schema::from_crd(&json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "taints": {"type": "array", "items": {"type": "object"}},
            "selector": {"type": "object", "x-kubernetes-patch-strategy": "replace"},
            "keyless": {"type": "array", "x-kubernetes-patch-strategy": "merge"}}},
        "status": {"type": "object", "properties": {"addresses": keyed}}}}))
    .unwrap()
}

fn patched(kind: &str, original: Value, patch: &Value) -> Result<Value> {
    let parts: Vec<&str> = kind.rsplitn(3, '/').collect();
    match builtin(parts.get(2).unwrap_or(&""), parts[1], parts[0]) {
        Some(schema) => apply(original, patch, schema),
        None => apply(original, patch, &node()),
    }
}

#[test]
fn vectors_hold() {
    let vectors: Vec<Vector> = serde_norway::from_str(include_str!("vectors.yaml")).unwrap();
    assert!(vectors.len() > 40);
    for vector in vectors {
        let found = patched(&vector.kind, vector.original, &vector.patch);
        match (found, vector.result, vector.error) {
            (Ok(found), Some(expected), None) => {
                assert_eq!(found, expected, "{}", vector.about);
                let again = patched(&vector.kind, found.clone(), &vector.patch);
                assert_eq!(again.as_ref() == Ok(&found), !vector.once, "twice: {}: {again:?}", vector.about);
            }
            (Err(found), None, Some(expected)) => {
                assert!(found.to_string().starts_with(&expected), "{}: {found}", vector.about);
            }
            (found, ..) => panic!("{}: {found:?}", vector.about),
        }
    }
}

#[test]
fn errors_say_where_and_keep_values_to_themselves() {
    let original = json!({"spec": {"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}]}]}});
    let patch = json!({"spec": {"containers": [{"name": "a", "env": [{"value": "hunter2"}]}]}});
    let error = patched("v1/Pod", original, &patch).unwrap_err();
    let message = "map: map[value] does not contain declared merge key: name".to_owned();
    assert_eq!(error, PatchError::Unfit { field: "spec.containers.env".into(), message });
}

#[test]
fn large_lists_merge_in_linear_time() {
    let list = |n: std::ops::Range<u32>| n.map(|i| json!({"name": i.to_string()})).collect::<Vec<_>>();
    let original = json!({"spec": {"containers": list(0..20_000)}});
    let patch = json!({"spec": {"containers": list(10_000..30_000)}});
    let merged = patched("v1/Pod", original, &patch).unwrap();
    assert_eq!(merged["spec"]["containers"].as_array().map(Vec::len), Some(30_000));
}

#[test]
fn deep_patches_are_refused() {
    let deep = (0..MAX_DEPTH + 1).fold(json!({}), |inner, _| json!({"a": inner}));
    assert!(matches!(patched("v1/Pod", json!({}), &deep), Err(PatchError::Malformed(_))));
}

/// Arbitrary JSON with the fields of a Pod and the directives among its keys.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let keys = prop::sample::select(vec![
        "spec",
        "metadata",
        "name",
        "containers",
        "volumes",
        "labels",
        "finalizers",
        "ownerReferences",
        "uid",
        "env",
        "a",
        "$patch",
        "$retainKeys",
        "$setElementOrder/containers",
        "$setElementOrder/finalizers",
        "$deleteFromPrimitiveList/finalizers",
        "$setElementOrder",
    ]);
    let words = prop::sample::select(vec!["a", "b", "name", "replace", "merge", "delete", "spec"]);
    json_of(keys, words)
}

/// Arbitrary objects without directives.
pub(crate) fn any_object() -> impl Strategy<Value = Value> {
    let keys = prop::sample::select(vec![
        "spec",
        "metadata",
        "name",
        "containers",
        "volumes",
        "labels",
        "finalizers",
        "ownerReferences",
        "uid",
        "env",
        "a",
    ]);
    let words = prop::sample::select(vec!["a", "b", "c"]);
    prop::collection::btree_map(keys.clone(), json_of(keys, words), 0..5)
        .prop_map(|m| Value::Object(m.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()))
}

fn json_of(
    keys: impl Strategy<Value = &'static str> + Clone + 'static,
    words: impl Strategy<Value = &'static str> + 'static,
) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..3).prop_map(Value::from),
        words.prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(keys.clone(), inner, 0..6)
                .prop_map(|m| Value::Object(m.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

/// Objects whose lists of containers and finalizers can merge.
fn pod_like() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["a", "b", "c", "d", "e"]);
    let image = prop::option::of(prop::sample::select(vec!["1", "2"]));
    let container = (name.clone(), image).prop_map(|(name, image)| json!({"name": name, "image": image}));
    let finalizers = prop::collection::vec(name, 0..5);
    (prop::collection::vec(container, 0..5), finalizers).prop_map(
        |(containers, finalizers)| json!({"metadata": {"finalizers": finalizers}, "spec": {"containers": containers}}),
    )
}

proptest! {
    #[test]
    fn nothing_panics(original in any_json(), patch in any_json()) {
        if let Ok(result) = patched("v1/Pod", original.clone(), &patch) {
            prop_assert!(depth(&result) <= depth(&original).max(depth(&patch)));
        }
    }

    #[test]
    fn without_lists_that_merge_it_is_a_merge_patch(original in any_object(), patch in any_object()) {
        let schema = node();
        let merged = crate::patch::merge::apply(original.clone(), &strip(&patch)).unwrap();
        let strategic = apply(original, &strip(&patch), &schema);
        prop_assert_eq!(strategic, Ok(merged));
    }

    #[test]
    fn twice_is_once(original in pod_like(), patch in pod_like()) {
        let once = patched("v1/Pod", original, &patch).unwrap();
        prop_assert_eq!(patched("v1/Pod", once.clone(), &patch), Ok(once));
    }

    #[test]
    fn every_element_of_the_patch_is_there_in_its_order(original in pod_like(), patch in pod_like()) {
        let merged = patched("v1/Pod", original, &patch).unwrap();
        let names = |object: &Value| -> Vec<Value> {
            let mut names: Vec<Value> = Vec::new();
            for container in object["spec"]["containers"].as_array().into_iter().flatten() {
                if !names.contains(&container["name"]) {
                    names.push(container["name"].clone());
                }
            }
            names
        };
        let wanted = names(&patch);
        let found: Vec<Value> = names(&merged).into_iter().filter(|n| wanted.contains(n)).collect();
        prop_assert_eq!(found, wanted);
    }
}

/// Without what the two formats treat differently: metadata's keyed lists, and nulls and objects inside lists.
fn strip(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let keyed = ["metadata", "finalizers", "ownerReferences"];
            let kept = fields.iter().filter(|(name, _)| !keyed.contains(&name.as_str()));
            Value::Object(kept.map(|(name, field)| (name.clone(), strip(field))).collect())
        }
        Value::Array(items) => items.iter().filter(|item| !item.is_object() && !item.is_array()).cloned().collect(),
        scalar => scalar.clone(),
    }
}
