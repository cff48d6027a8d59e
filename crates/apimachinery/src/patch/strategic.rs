//! Strategic merge patch: a merge patch that knows which lists are keyed.
//!
//! The schema says of each list whether it merges and by which field its elements are told apart; directives in the
//! patch say the rest:
//!
//! | Directive | Meaning |
//! | --- | --- |
//! | `$patch: replace` | in an object: its other fields become the whole object; in a list: the other elements the whole list |
//! | `$patch: delete` | in an object: empty it; in a list: remove the elements with this key |
//! | `$patch: merge` | what happens without it |
//! | `$retainKeys: [f, …]` | fields that are not named go |
//! | `$deleteFromPrimitiveList/f: [v, …]` | remove these values from the list `f` |
//! | `$setElementOrder/f: [k, …]` | order of the merged list `f` |
//!
//! Nulls delete, also inside what the object did not have: no directive and no null gets stored. Fields that the
//! schema does not know merge as in a merge patch, and validation speaks of them later.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::list::{Keys, arrange, merge_list, order_of};
use super::{PatchError, check_depth};
use crate::schema::{Cursor, PatchStrategy, Schema};

pub(super) const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ORDER: &str = "$setElementOrder";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";

pub(super) type Result<T> = std::result::Result<T, PatchError>;

/// Applies a strategic merge patch to an object of the kind that `schema` describes.
pub fn apply(original: Value, patch: &Value, schema: &Schema) -> Result<Value> {
    let Value::Object(fields) = patch else {
        return Err(PatchError::malformed("a strategic merge patch must be a JSON object"));
    };
    check_depth(patch)?;
    let original = match original {
        Value::Object(original) => original,
        _ => Map::new(),
    };
    merge_object(original, fields, Some(schema.root())).map(Value::Object)
}

/// What `$patch` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Directive {
    Merge,
    Replace,
    Delete,
}

impl Directive {
    pub(super) fn of(fields: &Map<String, Value>) -> Result<Option<Self>> {
        let Some(value) = fields.get(DIRECTIVE) else {
            return Ok(None);
        };
        match value.as_str() {
            Some("merge") => Ok(Some(Self::Merge)),
            Some("replace") => Ok(Some(Self::Replace)),
            Some("delete") => Ok(Some(Self::Delete)),
            _ => Err(PatchError::unfit(format!("unknown patch type: {} in map: {}", cut(value), names(fields)))),
        }
    }
}

pub(super) fn merge_object(
    mut original: Map<String, Value>,
    patch: &Map<String, Value>,
    schema: Option<Cursor<'_>>,
) -> Result<Map<String, Value>> {
    match Directive::of(patch)? {
        Some(Directive::Delete) => return Ok(Map::new()),
        Some(Directive::Replace) => original.clear(),
        Some(Directive::Merge) | None => {}
    }
    if let Some(keys) = patch.get(RETAIN_KEYS) {
        retain_keys(&mut original, patch, keys)?;
    }
    let mut ordered = Vec::new();
    for (name, order) in patch {
        if let Some(field) = directive_field(name, SET_ORDER, "setElementOrder list")? {
            let schema = schema.and_then(|s| s.field(field));
            if set_order(&mut original, field, patch.get(field), order, schema).map_err(|e| e.below(field))? {
                ordered.push(field);
            }
        }
    }
    for (name, value) in patch {
        if let Some(field) = directive_field(name, DELETE_FROM, "primitive list")? {
            delete_from(&mut original, field, value)?;
        } else if is_directive(name) {
            continue;
        } else if value.is_null() {
            original.remove(name);
        } else if !ordered.contains(&name.as_str()) {
            let schema = schema.and_then(|s| s.field(name));
            match original.get_mut(name) {
                Some(old) => *old = merge_value(old.take(), value, schema).map_err(|e| e.below(name))?,
                None => {
                    let new = fresh(value, schema).map_err(|e| e.below(name))?;
                    original.insert(name.clone(), new);
                }
            }
        }
    }
    Ok(original)
}

fn merge_value(original: Value, patch: &Value, schema: Option<Cursor<'_>>) -> Result<Value> {
    let strategy = schema.map_or(PatchStrategy::Default, Cursor::strategy);
    match (original, patch, schema) {
        (Value::Object(original), Value::Object(patch), _) if strategy != PatchStrategy::Replace => {
            merge_object(original, patch, schema).map(Value::Object)
        }
        (Value::Array(original), Value::Array(patch), Some(schema)) if strategy == PatchStrategy::Merge => {
            merge_list(original, patch, schema).map(Value::Array)
        }
        _ => fresh(patch, schema),
    }
}

/// A value of the patch that meets nothing to merge with, freed of nulls and directives.
pub(super) fn fresh(patch: &Value, schema: Option<Cursor<'_>>) -> Result<Value> {
    match patch {
        Value::Object(fields) => merge_object(Map::new(), fields, schema).map(Value::Object),
        Value::Array(items) => {
            let schema = schema.and_then(Cursor::items);
            let mut kept = Vec::with_capacity(items.len());
            for item in items {
                let directive = item.as_object().map(Directive::of).transpose()?.flatten();
                if !matches!(directive, Some(Directive::Delete | Directive::Replace)) {
                    kept.push(fresh(item, schema)?);
                }
            }
            Ok(Value::Array(kept))
        }
        scalar => Ok(scalar.clone()),
    }
}

fn retain_keys(original: &mut Map<String, Value>, patch: &Map<String, Value>, keys: &Value) -> Result<()> {
    let malformed = || PatchError::malformed("invalid patch format of retainKeys");
    let keys: Option<HashSet<&str>> = keys.as_array().ok_or_else(malformed)?.iter().map(Value::as_str).collect();
    let keys = keys.ok_or_else(malformed)?;
    let sets = |name: &str, value: &Value| !value.is_null() && !is_directive(name);
    if patch.iter().any(|(name, value)| sets(name, value) && !keys.contains(name.as_str())) {
        return Err(malformed());
    }
    original.retain(|name, _| keys.contains(name.as_str()));
    Ok(())
}

fn is_directive(name: &str) -> bool {
    name == DIRECTIVE || name == RETAIN_KEYS || name.starts_with(SET_ORDER) || name.starts_with(DELETE_FROM)
}

/// `f` of `$directive/f`.
fn directive_field<'a>(name: &'a str, directive: &str, what: &str) -> Result<Option<&'a str>> {
    match name.strip_prefix(directive) {
        None => Ok(None),
        Some(rest) => match rest.strip_prefix('/') {
            Some(field) if !field.is_empty() => Ok(Some(field)),
            _ => Err(PatchError::malformed(format!("invalid patch format of {what}"))),
        },
    }
}

fn delete_from(original: &mut Map<String, Value>, field: &str, values: &Value) -> Result<()> {
    let Value::Array(values) = values else {
        return Err(PatchError::malformed("invalid patch format of primitive list"));
    };
    if let Some(Value::Array(items)) = original.get_mut(field) {
        let gone: HashSet<&Value> = values.iter().collect();
        items.retain(|item| !gone.contains(item));
    }
    Ok(())
}

/// Merges a list whose order is given. False when it is no list that merges, so that the order means nothing.
fn set_order(
    original: &mut Map<String, Value>,
    field: &str,
    patch: Option<&Value>,
    order: &Value,
    schema: Option<Cursor<'_>>,
) -> Result<bool> {
    let malformed = || PatchError::malformed("invalid patch format of setElementOrder list");
    let order = order.as_array().ok_or_else(malformed)?;
    let Some(schema) = schema.filter(|s| s.strategy() == PatchStrategy::Merge) else {
        return Ok(false);
    };
    let patch = match patch {
        None => [].as_slice(),
        Some(Value::Array(items)) => items,
        Some(Value::Null) => return Ok(false),
        Some(_) => return Err(malformed()),
    };
    let keys = Keys::new(schema.merge_key());
    let order = keys.wanted(order)?;
    check_order(&keys, patch, &order)?;
    let old = match original.get_mut(field).map(Value::take) {
        Some(Value::Array(items)) => items,
        // Something else was there, which the list replaces, if the patch has one.
        Some(other) if patch.is_empty() => {
            original.insert(field.to_owned(), other);
            return Ok(true);
        }
        _ if patch.is_empty() => return Ok(true),
        _ => Vec::new(),
    };
    let before = order_of(&keys, &old);
    let merged = merge_list(old, patch, schema)?;
    original.insert(field.to_owned(), Value::Array(arrange(&keys, merged, &order, &before)));
    Ok(true)
}

/// What the patch's list sets must be in the order, and in that order.
fn check_order(keys: &Keys<'_>, patch: &[Value], order: &[&Value]) -> Result<()> {
    if order.is_empty() {
        return Ok(());
    }
    let mut rest = order.iter();
    for item in patch {
        if item.as_object().is_some_and(|fields| fields.contains_key(DIRECTIVE)) {
            continue;
        }
        let key = keys.required(item)?;
        if !rest.any(|wanted| *wanted == key) {
            let message =
                format!("The order in patch list doesn't match $setElementOrder list: {} is out of place", cut(key));
            return Err(PatchError::unfit(message));
        }
    }
    Ok(())
}

/// A value as it fits an error.
pub(super) fn cut(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 64 { text } else { text.chars().take(64).chain(['…']).collect() }
}

/// The fields of an object without their values, which may be secrets.
pub(super) fn names(fields: &Map<String, Value>) -> String {
    let names: Vec<&str> = fields.keys().take(16).map(String::as_str).collect();
    format!("map[{}]", names.join(" "))
}

#[cfg(test)]
pub(super) mod tests;
