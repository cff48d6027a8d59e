//! Dropping of unknown fields.

use serde_json::Value;

use super::node::NodeId;
use super::{MAX_WALK, Schema};

pub(super) fn prune(schema: &Schema, id: NodeId, value: &mut Value, depth: usize) {
    if depth > MAX_WALK {
        return;
    }
    let node = schema.node(id);
    if let Some(base) = node.base {
        prune(schema, base, value, depth + 1);
    }
    match value {
        Value::Object(fields) => {
            if node.closed() && node.values.is_none() {
                fields.retain(|name, _| schema.property(node, name).is_some());
            }
            for (name, field) in fields.iter_mut() {
                if let Some(id) = schema.property(node, name).or(node.values) {
                    prune(schema, id, field, depth + 1);
                }
            }
        }
        Value::Array(items) => {
            if let Some(id) = node.items {
                items.iter_mut().for_each(|item| prune(schema, id, item, depth + 1));
            }
        }
        _ => {}
    }
}
