//! JSON Patch (RFC 6902), with bounds on what one request may ask for.

use json_patch::{PatchErrorKind, PatchOperation, jsonptr::Pointer};
use serde::Deserialize;
use serde_json::Value;

use super::{PatchError, depth};
use crate::schema::MAX_DEPTH;

/// Operations in one patch, as in Kubernetes.
pub const MAX_OPERATIONS: usize = 10_000;
/// Bytes that the `copy` operations of one patch may add, as in Kubernetes.
pub const MAX_COPIED: usize = 3 << 20;
/// Values that one patch may move along in lists or look at to learn how deep they are.
const MAX_WORK: usize = 50_000_000;

/// Applies a list of operations, all or none.
pub fn apply(mut original: Value, patch: &Value) -> Result<Value, PatchError> {
    let Value::Array(operations) = patch else {
        return Err(PatchError::malformed("a JSON patch must be a list of operations"));
    };
    if operations.len() > MAX_OPERATIONS {
        let message =
            format!("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}", operations.len());
        return Err(PatchError::TooLarge(message));
    }
    let mut bounds = Bounds { depth: depth(&original), copied: 0, work: 0 };
    for (i, operation) in operations.iter().enumerate() {
        let operation = PatchOperation::deserialize(operation)
            .map_err(|e| PatchError::malformed(format!("operation {i} of the JSON patch: {e}")))?;
        bounds.admit(&original, &operation)?;
        if expects_nothing(&operation) && original.pointer(operation.path().as_str()).is_none() {
            continue;
        }
        json_patch::patch_unsafe(&mut original, std::slice::from_ref(&operation))
            .map_err(|e| unfit(i, &operation, &e.kind))?;
    }
    Ok(original)
}

/// Kubernetes takes a test for `null` as a test that there is nothing; clients rely on it to add what is missing.
fn expects_nothing(operation: &PatchOperation) -> bool {
    matches!(operation, PatchOperation::Test(test) if test.value.is_null())
}

fn unfit(index: usize, operation: &PatchOperation, kind: &PatchErrorKind) -> PatchError {
    let (verb, from) = match operation {
        PatchOperation::Add(_) => ("add", None),
        PatchOperation::Remove(_) => ("remove", None),
        PatchOperation::Replace(_) => ("replace", None),
        PatchOperation::Move(op) => ("move", Some(op.from.as_str())),
        PatchOperation::Copy(op) => ("copy", Some(op.from.as_str())),
        PatchOperation::Test(_) => ("test", None),
    };
    let path = operation.path().as_str();
    let why = match kind {
        PatchErrorKind::TestFailed => "the value there differs".to_owned(),
        PatchErrorKind::InvalidPointer => "the object has no such place".to_owned(),
        PatchErrorKind::InvalidFromPointer => format!("the object has nothing at {:?}", from.unwrap_or_default()),
        other => other.to_string(),
    };
    PatchError::unfit(format!("operation {index} of the JSON patch, {verb} {path:?}, does not apply: {why}"))
}

/// What the operations so far may have made of the object, at worst.
struct Bounds {
    depth: usize,
    copied: usize,
    work: usize,
}

impl Bounds {
    fn admit(&mut self, document: &Value, operation: &PatchOperation) -> Result<(), PatchError> {
        let path = operation.path();
        self.work(siblings(document, path))?;
        let deepest = match operation {
            PatchOperation::Add(op) => path.count() + depth(&op.value),
            PatchOperation::Replace(op) => path.count() + depth(&op.value),
            PatchOperation::Move(op) => {
                self.work(siblings(document, &op.from))?;
                path.count() + self.depth.saturating_sub(op.from.count())
            }
            PatchOperation::Copy(op) => {
                self.copy(document.pointer(op.from.as_str()))?;
                path.count() + self.depth.saturating_sub(op.from.count())
            }
            PatchOperation::Remove(_) | PatchOperation::Test(_) => 0,
        };
        if deepest > MAX_DEPTH {
            self.measure(document, operation)?;
        } else {
            self.depth = self.depth.max(deepest);
        }
        Ok(())
    }

    /// The worst case is too deep; the real one may not be.
    fn measure(&mut self, document: &Value, operation: &PatchOperation) -> Result<(), PatchError> {
        let (value, whole) = match operation {
            PatchOperation::Add(op) => (Some(&op.value), 0),
            PatchOperation::Replace(op) => (Some(&op.value), 0),
            PatchOperation::Move(op) => (document.pointer(op.from.as_str()), size(document).values),
            PatchOperation::Copy(op) => (document.pointer(op.from.as_str()), size(document).values),
            PatchOperation::Remove(_) | PatchOperation::Test(_) => (None, 0),
        };
        self.work(whole)?;
        let deepest = operation.path().count() + value.map_or(0, depth);
        if deepest > MAX_DEPTH {
            return Err(PatchError::unfit(format!("the object would be nested deeper than {MAX_DEPTH} levels")));
        }
        self.depth = depth(document).max(deepest);
        Ok(())
    }

    fn copy(&mut self, source: Option<&Value>) -> Result<(), PatchError> {
        let Size { values, bytes } = source.map(size).unwrap_or_default();
        self.work(values)?;
        self.copied += bytes;
        if self.copied > MAX_COPIED {
            return Err(PatchError::TooLarge(format!(
                "Unable to complete the copy, the accumulated size increase of copy is {}, exceeding the limit {MAX_COPIED}",
                self.copied
            )));
        }
        Ok(())
    }

    fn work(&mut self, values: usize) -> Result<(), PatchError> {
        self.work += values;
        if self.work > MAX_WORK {
            return Err(PatchError::TooLarge("the JSON patch takes too much work to apply".into()));
        }
        Ok(())
    }
}

/// How many elements a change at `path` may shift.
fn siblings(document: &Value, path: &Pointer) -> usize {
    let parent = path.parent().and_then(|parent| document.pointer(parent.as_str()));
    parent.and_then(Value::as_array).map_or(0, Vec::len)
}

#[derive(Default, Clone, Copy)]
struct Size {
    values: usize,
    /// About what the JSON text takes.
    bytes: usize,
}

fn size(value: &Value) -> Size {
    let add = |a: Size, b: Size| Size { values: a.values + b.values, bytes: a.bytes + b.bytes };
    let own = |bytes: usize| Size { values: 1, bytes };
    match value {
        Value::Null | Value::Bool(_) => own(5),
        Value::Number(_) => own(8),
        Value::String(text) => own(text.len() + 3),
        Value::Array(items) => items.iter().fold(own(2), |sum, item| add(sum, size(item))),
        Value::Object(fields) => fields
            .iter()
            .fold(own(2), |sum, (name, field)| add(add(sum, size(field)), Size { values: 0, bytes: name.len() + 4 })),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::patch::strategic::tests::any_json;

    #[test]
    fn operations_apply_in_turn() {
        let table = [
            (json!({"a": [1]}), json!([{"op": "add", "path": "/a/-", "value": 2}]), json!({"a": [1, 2]})),
            (json!({"a": [1]}), json!([{"op": "add", "path": "/a/0", "value": 0}]), json!({"a": [0, 1]})),
            (json!({"a": {"b/c": 1}}), json!([{"op": "remove", "path": "/a/b~1c"}]), json!({"a": {}})),
            (json!({"a": 1}), json!([{"op": "replace", "path": "/a", "value": null}]), json!({"a": null})),
            (json!({"a": 1}), json!([{"op": "move", "from": "/a", "path": "/b"}]), json!({"b": 1})),
            (
                json!({"a": {"x": 1}}),
                json!([{"op": "test", "path": "/a/x", "value": 1}, {"op": "copy", "from": "/a", "path": "/b"}]),
                json!({"a": {"x": 1}, "b": {"x": 1}}),
            ),
            (
                json!({"a": {}}),
                json!([{"op": "test", "path": "/a/b/c", "value": null}, {"op": "add", "path": "/a/b", "value": 1}]),
                json!({"a": {"b": 1}}),
            ),
        ];
        for (original, patch, expected) in table {
            assert_eq!(apply(original, &patch), Ok(expected), "{patch}");
        }
    }

    #[test]
    fn errors_name_the_operation() {
        let original = json!({"a": 1, "l": []});
        let table = [
            (json!({}), "a JSON patch must be a list of operations"),
            (json!([{"op": "jump", "path": "/a"}]), "operation 0 of the JSON patch: unknown variant `jump`"),
            (json!([{"op": "add", "path": "/a"}]), "operation 0 of the JSON patch: missing field `value`"),
            (json!([{"op": "add", "path": "a", "value": 1}]), "operation 0 of the JSON patch: "),
            (
                json!([{"op": "test", "path": "/a", "value": 1}, {"op": "remove", "path": "/b"}]),
                r#"operation 1 of the JSON patch, remove "/b", does not apply: the object has no such place"#,
            ),
            (
                json!([{"op": "test", "path": "/a", "value": 2}]),
                r#"operation 0 of the JSON patch, test "/a", does not apply: the value there differs"#,
            ),
            (
                json!([{"op": "copy", "from": "/z", "path": "/b"}]),
                r#"operation 0 of the JSON patch, copy "/b", does not apply: the object has nothing at "/z""#,
            ),
            (json!([{"op": "add", "path": "/l/1", "value": 1}]), r#"operation 0 of the JSON patch, add "/l/1""#),
        ];
        for (patch, expected) in table {
            let message = apply(original.clone(), &patch).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn a_patch_is_bounded() {
        let test = json!({"op": "test", "path": "", "value": {}});
        assert_eq!(apply(json!({}), &Value::from(vec![test.clone(); MAX_OPERATIONS])), Ok(json!({})));
        let error = apply(json!({}), &Value::from(vec![test; MAX_OPERATIONS + 1])).unwrap_err();
        assert_eq!(error.to_string(), "The allowed maximum operations in a JSON patch is 10000, got 10001");

        // Each copy doubles the object.
        let double = json!({"op": "copy", "from": "/a", "path": "/a/-"});
        let error = apply(json!({"a": ["x"]}), &Value::from(vec![double; 100])).unwrap_err();
        assert!(matches!(error, PatchError::TooLarge(_) | PatchError::Unfit { .. }), "{error}");
        let wide = json!({"op": "copy", "from": "/a", "path": "/b/-"});
        let error = apply(json!({"a": "x".repeat(1 << 16), "b": []}), &Value::from(vec![wide; 100])).unwrap_err();
        assert!(matches!(error, PatchError::TooLarge(_)), "{error}");

        // Each move adds a level.
        let nest = [
            json!({"op": "move", "from": "/a", "path": "/b"}),
            json!({"op": "add", "path": "/a", "value": {}}),
            json!({"op": "move", "from": "/b", "path": "/a/x"}),
        ];
        let nest: Vec<Value> = nest.iter().cycle().take(900).cloned().collect();
        let error = apply(json!({"a": {}}), &Value::from(nest)).unwrap_err();
        assert_eq!(error.to_string(), "the object would be nested deeper than 128 levels");

        // Shifting a long list again and again.
        let shift = json!({"op": "add", "path": "/0", "value": 0});
        let error = apply(json!(vec![0; 100_000]), &Value::from(vec![shift; 1_000])).unwrap_err();
        assert!(matches!(error, PatchError::TooLarge(_)), "{error}");
    }

    #[test]
    fn moves_to_and_fro_are_not_mistaken_for_depth() {
        let there = json!({"op": "move", "from": "/a/x", "path": "/b/c/x"});
        let back = json!({"op": "move", "from": "/b/c/x", "path": "/a/x"});
        let patch: Vec<Value> = [there, back].iter().cycle().take(1_000).cloned().collect();
        let original = json!({"a": {"x": {}}, "b": {"c": {}}});
        assert_eq!(apply(original.clone(), &Value::from(patch)), Ok(original));
    }

    fn any_operation() -> impl Strategy<Value = Value> {
        let path = prop_oneof![Just(String::new()), "(/[a-c0-2~-]{0,2}){1,3}", ".{0,4}"];
        let verb = prop::sample::select(vec!["add", "remove", "replace", "move", "copy", "test", "x"]);
        let paths = (path.clone(), path);
        (verb, paths, any_json())
            .prop_map(|(op, (path, from), value)| json!({"op": op, "path": path, "from": from, "value": value}))
    }

    proptest! {
        #[test]
        fn no_patch_panics(original in any_json(), patch in prop::collection::vec(any_operation(), 0..8)) {
            if let Ok(result) = apply(original, &Value::from(patch)) {
                prop_assert!(depth(&result) <= MAX_DEPTH);
            }
        }
    }
}
