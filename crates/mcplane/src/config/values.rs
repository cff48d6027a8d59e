//! Values as trees and as text: what lies between a file, a variable or a flag and a typed configuration.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::store::redact;

/// The leaves of a tree by dotted key. An empty object is a leaf too: a map whose keys the user chooses.
pub(super) fn leaves(tree: &Value) -> BTreeMap<String, Value> {
    fn walk(prefix: &str, node: &Value, found: &mut BTreeMap<String, Value>) {
        match node {
            Value::Object(children) if !children.is_empty() || prefix.is_empty() => {
                for (name, child) in children {
                    let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                    walk(&key, child, found);
                }
            }
            leaf => {
                found.insert(prefix.to_owned(), leaf.clone());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk("", tree, &mut found);
    found
}

pub(super) fn put(tree: &mut Value, key: &str, value: Value) {
    let (first, rest) = key.split_once('.').map_or((key, None), |(first, rest)| (first, Some(rest)));
    if !tree.is_object() {
        *tree = Value::Object(Map::new());
    }
    if let Value::Object(children) = tree {
        let child = children.entry(first).or_insert(Value::Null);
        match rest {
            Some(rest) => put(child, rest, value),
            None => *child = value,
        }
    }
}

/// Reads YAML, refusing keys that occur twice.
pub(super) fn parse_yaml(text: &str) -> Result<Value, String> {
    let tree: serde_norway::Value = serde_norway::from_str(text).map_err(|error| error.to_string())?;
    serde_json::to_value(tree).map_err(|_| "keys must be text".to_owned())
}

/// Reads text from a flag or a variable as the type that the key has.
pub(super) fn read_text(like: &Value, text: &str) -> Value {
    let yaml = || parse_yaml(text).ok().filter(|value| !value.is_null()).unwrap_or_else(|| Value::from(text));
    match like {
        Value::String(_) | Value::Null => Value::from(text),
        Value::Array(_) if !text.trim_start().starts_with('[') => {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect()
        }
        Value::Array(_) | Value::Object(_) | Value::Bool(_) | Value::Number(_) => yaml(),
    }
}

/// YAML reads `5080` or `off` as something other than text; where text is expected, they are text again.
pub(super) fn fit(like: &Value, given: Value) -> Value {
    match (like, given) {
        (Value::String(_) | Value::Null, given @ (Value::Number(_) | Value::Bool(_))) => Value::from(given.to_string()),
        (_, given) => given,
    }
}

pub(super) fn hide_secrets(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::from(redact(text)),
        Value::Array(items) => items.iter().map(hide_secrets).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn leaves_and_put_are_inverse() {
        let tree = json!({"a": {"b": 1, "map": {}}, "c": [1], "d": null});
        let found = leaves(&tree);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a.b", "a.map", "c", "d"]);
        let mut built = Value::Null;
        found.into_iter().for_each(|(key, value)| put(&mut built, &key, value));
        assert_eq!(built, tree);
    }

    #[test]
    fn text_is_read_as_the_type_wanted() {
        for (like, text, value) in [
            (json!("x"), "5080", json!("5080")),
            (json!(null), "off", json!("off")),
            (json!(false), "true", json!(true)),
            (json!(1), "7", json!(7)),
            (json!(1), "seven", json!("seven")),
            (json!([]), "a, b,", json!(["a", "b"])),
            (json!([]), "[a, 'b,c']", json!(["a", "b,c"])),
        ] {
            assert_eq!(read_text(&like, text), value, "{text}");
        }
        assert_eq!(fit(&json!("x"), json!(5080)), json!("5080"));
        assert_eq!(hide_secrets(&json!(["postgres://a:b@c/d"])), json!(["postgres://a:***@c/d"]));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,200}") {
            let _ = parse_yaml(&text);
            for like in [json!("x"), json!(1), json!(true), json!([]), json!({}), json!(null)] {
                let _ = read_text(&like, &text);
            }
            let _ = redact(&text);
            let _ = crate::config::nearest_key(&text);
        }
    }
}
