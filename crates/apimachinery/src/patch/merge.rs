//! JSON Merge Patch (RFC 7386): objects merge, null deletes, anything else replaces.

use serde_json::Value;

use super::{PatchError, check_depth};

/// Applies a merge patch. Kubernetes objects are objects, so a patch that is none is refused.
pub fn apply(mut original: Value, patch: &Value) -> Result<Value, PatchError> {
    if !patch.is_object() {
        return Err(PatchError::malformed("a merge patch must be a JSON object"));
    }
    check_depth(patch)?;
    json_patch::merge(&mut original, patch);
    Ok(original)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::patch::strategic::tests::{any_json, any_object};

    #[test]
    fn the_examples_of_the_rfc_hold() {
        let table = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (original, patch, expected) in table {
            assert_eq!(apply(original.clone(), &patch), Ok(expected), "{original} {patch}");
        }
        assert!(matches!(apply(json!({}), &json!(["c"])), Err(PatchError::Malformed(_))));
    }

    proptest! {
        #[test]
        fn twice_is_once(original in any_json(), patch in any_object()) {
            let once = apply(original, &patch).unwrap();
            prop_assert_eq!(apply(once.clone(), &patch), Ok(once));
        }
    }
}
