//! Client-side apply as kubectl does it for kinds without a strategy: a JSON merge patch from three sides. What the
//! user wrote is set; what the user wrote last time and no longer does is removed; the rest is other people's.

use serde_json::{Map, Value};

/// kubectl's own annotation, so that the two can be used in turns.
pub(super) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The object with its own text in the annotation. The text of `live` stays if it says the same in other words, because
/// kubectl escapes characters differently.
pub(super) fn annotate(object: &Value, live: Option<&Value>) -> Value {
    let mut written = object.clone();
    // kubectl notes an empty map where there are no annotations.
    if !written["metadata"]["annotations"].is_object() {
        written["metadata"]["annotations"] = Value::Object(Map::new());
    }
    if let Some(Value::Object(annotations)) = written.pointer_mut("/metadata/annotations") {
        annotations.remove(LAST_APPLIED);
    }
    let same = live.filter(|live| last_applied(live) == written);
    let text = same.map_or_else(
        || Value::from(format!("{written}\n")),
        |live| live["metadata"]["annotations"][LAST_APPLIED].clone(),
    );
    written["metadata"]["annotations"][LAST_APPLIED] = text;
    written
}

/// What was applied to `live` last; nothing if it was not made by applying.
pub(super) fn last_applied(live: &Value) -> Value {
    live["metadata"]["annotations"][LAST_APPLIED]
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or(Value::Object(Map::new()))
}

/// The merge patch that brings `live` to what is `wanted`; `None` if nothing is to be done.
pub(super) fn patch(last: &Value, wanted: &Value, live: &Value) -> Option<Value> {
    let (Value::Object(last), Value::Object(wanted), Value::Object(live)) = (last, wanted, live) else {
        return (wanted != live).then(|| wanted.clone());
    };
    let mut changes = Map::new();
    for (key, value) in wanted {
        // A null in a manifest asks for the field's absence.
        let there = live.get(key).unwrap_or(&Value::Null);
        let empty = Value::Object(Map::new());
        let change = match (value, there) {
            (Value::Object(_), Value::Object(_)) => patch(last.get(key).unwrap_or(&empty), value, there),
            (Value::Null, Value::Null) => None,
            _ => (value != there).then(|| value.clone()),
        };
        changes.extend(change.map(|change| (key.clone(), change)));
    }
    for key in last.keys().filter(|key| !wanted.contains_key(*key) && live.contains_key(*key)) {
        changes.insert(key.clone(), Value::Null);
    }
    (!changes.is_empty()).then_some(Value::Object(changes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// RFC 7386, for checking patches by applying them.
    fn merge(target: &mut Value, patch: &Value) {
        let Value::Object(fields) = patch else {
            *target = patch.clone();
            return;
        };
        if !target.is_object() {
            *target = json!({});
        }
        let target = target.as_object_mut().unwrap();
        for (key, value) in fields {
            if value.is_null() {
                target.remove(key);
            } else {
                merge(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
    }

    #[test]
    fn three_sides() {
        for (last, wanted, live, expected) in [
            (json!({}), json!({"a": 1}), json!({"a": 1, "b": 2}), None),
            (json!({}), json!({"a": 2}), json!({"a": 1}), Some(json!({"a": 2}))),
            (json!({"a": 1, "b": 1}), json!({"a": 1}), json!({"a": 1, "b": 1, "c": 1}), Some(json!({"b": null}))),
            (json!({"a": 1, "b": 1}), json!({"a": 1}), json!({"a": 1}), None),
            (
                json!({"d": {"x": 1}}),
                json!({"d": {"y": 1}}),
                json!({"d": {"x": 1, "z": 1}}),
                Some(json!({"d": {"x": null, "y": 1}})),
            ),
            (json!({}), json!({"l": [1, 2]}), json!({"l": [2, 1]}), Some(json!({"l": [1, 2]}))),
            (json!({}), json!({"a": null}), json!({"b": 1}), None),
            (json!({}), json!({"a": null}), json!({"a": 1}), Some(json!({"a": null}))),
            (json!({}), json!({"a": {"b": 1}}), json!({"a": "text"}), Some(json!({"a": {"b": 1}}))),
        ] {
            assert_eq!(patch(&last, &wanted, &live), expected, "{last} {wanted} {live}");
        }
    }

    #[test]
    fn the_annotation_holds_what_was_written() {
        let object = json!({"kind": "ConfigMap", "metadata": {"name": "a", "annotations": {"x": "y"}}});
        let annotated = annotate(&object, None);
        assert_eq!(last_applied(&annotated), object);
        assert_eq!(last_applied(&annotate(&annotated, None)), object, "not nested");
        assert_eq!(last_applied(&json!({"metadata": {}})), json!({}));
        let bare = annotate(&json!({"metadata": {"name": "a"}}), None);
        assert_eq!(last_applied(&bare), json!({"metadata": {"name": "a", "annotations": {}}}), "as kubectl notes it");
    }

    #[test]
    fn other_words_for_the_same_are_no_change() {
        let object = json!({"data": {"x": "<"}, "metadata": {"name": "a"}});
        let text = "{\"metadata\":{\"annotations\":{},\"name\":\"a\"},\"data\":{\"x\":\"\\u003c\"}}";
        let live = json!({"data": {"x": "<"}, "metadata": {"name": "a", "annotations": {LAST_APPLIED: text}}});
        let wanted = annotate(&object, Some(&live));
        assert_eq!(patch(&last_applied(&live), &wanted, &live), None);
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<bool>().prop_map(Value::from), (0..3i64).prop_map(Value::from)];
        let object = leaf.prop_recursive(3, 12, 4, |inner| {
            prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|map| map.into_iter().collect::<Value>())
        });
        prop::collection::btree_map("[a-d]", object, 0..4).prop_map(|map| map.into_iter().collect::<Value>())
    }

    proptest! {
        #[test]
        fn applying_twice_changes_nothing_more(last in tree(), wanted in tree(), live in tree()) {
            let mut after = live.clone();
            if let Some(patch) = patch(&last, &wanted, &live) {
                merge(&mut after, &patch);
            }
            prop_assert_eq!(patch(&wanted, &wanted, &after), None, "{}", after);
        }
    }
}
