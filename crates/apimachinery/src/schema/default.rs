//! Defaults, and the nulls that mean "not given".

use serde_json::{Map, Value};

use super::node::{Node, NodeId};
use super::{MAX_WALK, Schema};

pub(super) fn apply(schema: &Schema, id: NodeId, value: &mut Value, depth: usize) {
    if depth > MAX_WALK {
        return;
    }
    let node = schema.node(id);
    if let Some(base) = node.base {
        apply(schema, base, value, depth + 1);
    }
    match value {
        Value::Object(fields) => {
            fill(schema, node, fields);
            for (name, field) in fields.iter_mut() {
                if let Some(id) = schema.property(node, name).or(node.values) {
                    replace_null(schema.node(id), field);
                    apply(schema, id, field, depth + 1);
                }
            }
        }
        Value::Array(items) => {
            if let Some(id) = node.items {
                for item in items {
                    replace_null(schema.node(id), item);
                    apply(schema, id, item, depth + 1);
                }
            }
        }
        _ => {}
    }
}

fn fill(schema: &Schema, node: &Node, fields: &mut Map<String, Value>) {
    for property in &node.properties {
        let declared = schema.node(property.schema);
        let name = schema.name(property.name);
        let given = fields.get(name);
        if let Some(default) = &declared.default {
            if given.is_none_or(|v| v.is_null() && declared.null_is_absent()) {
                fields.insert(name.to_owned(), (**default).clone());
            }
        } else if given.is_some_and(Value::is_null) && declared.null_is_absent() && !kept(schema, node, name) {
            fields.remove(name);
        }
    }
}

/// A built-in kind keeps a null in a required field: clients in Go write an empty list that way.
fn kept(schema: &Schema, node: &Node, name: &str) -> bool {
    node.typed && node.rules.as_ref().is_some_and(|r| r.required.iter().any(|n| schema.name(*n) == name))
}

fn replace_null(node: &Node, value: &mut Value) {
    if let Some(default) = &node.default
        && value.is_null()
        && node.null_is_absent()
    {
        *value = (**default).clone();
    }
}
