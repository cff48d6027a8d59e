//! The walk that judges a value: broken rules and unknown fields, at once.

use mcplane_core::error::{FieldError, FieldReason};
use serde_json::{Map, Value};

use super::node::{Node, NodeId, Types};
use super::path::Path;
use super::{MAX_ERRORS, MAX_WALK, Schema};

/// What [`Schema::check`] found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// Broken rules.
    pub errors: Vec<FieldError>,
    /// Unknown fields, each as a sentence: `unknown field "spec.foo"`.
    pub unknown: Vec<String>,
}

impl Report {
    /// Whether there is nothing to complain about.
    pub fn is_clean(&self) -> bool {
        self.errors.is_empty() && self.unknown.is_empty()
    }
}

pub(super) fn check(schema: &Schema, value: &Value, errors: bool, unknown: bool) -> Report {
    let mut walk = Walk { schema, report: Report::default(), errors, unknown, probe: false, failed: false };
    walk.value(value, schema.root, &Path::Root, 0);
    walk.report
}

pub(super) struct Walk<'s> {
    pub(super) schema: &'s Schema,
    report: Report,
    /// Whether rules are checked.
    errors: bool,
    /// Whether unknown fields are looked for.
    unknown: bool,
    /// Only the verdict matters, so that nothing is worded; see [`Walk::accepts`].
    probe: bool,
    failed: bool,
}

impl Walk<'_> {
    pub(super) fn value(&mut self, value: &Value, id: NodeId, path: &Path<'_>, depth: usize) {
        if self.is_done() {
            return;
        }
        let node = self.schema.node(id);
        if depth > MAX_WALK {
            return self.fail(|| FieldError::invalid(path.field(), "", "nested too deeply"));
        }
        if value.is_null() && node.nullable {
            return;
        }
        if let Some(base) = node.base {
            self.value(value, base, path, depth + 1);
        }
        if !has_type(node, value) {
            return self.fail(|| wrong_type(node, value, path));
        }
        if self.errors {
            if !node.format.accepts(value) {
                self.fail(|| wrong_format(node, value, path));
            }
            if node.rules.is_some() {
                self.rules(value, node, path, depth);
            }
        }
        match value {
            Value::Object(fields) => self.object(fields, node, path, depth),
            Value::Array(items) => {
                if let Some(id) = node.items {
                    for (i, item) in items.iter().enumerate() {
                        self.value(item, id, &Path::Index(path, i), depth + 1);
                    }
                }
            }
            _ => {}
        }
    }

    fn object(&mut self, fields: &Map<String, Value>, node: &Node, path: &Path<'_>, depth: usize) {
        let closed = self.unknown && node.closed() && node.values.is_none();
        for (name, value) in fields {
            if let Some(id) = node.properties.first().and_then(|_| self.schema.property(node, name)) {
                if !value.is_null() || !self.schema.node(id).null_is_absent() {
                    self.value(value, id, &Path::Field(path, name), depth + 1);
                }
            } else if let Some(id) = node.values {
                self.value(value, id, &Path::Key(path, name), depth + 1);
            } else if closed && self.report.unknown.len() < MAX_ERRORS {
                self.report.unknown.push(format!("unknown field {:?}", Path::Field(path, name).dotted()));
            }
        }
    }

    /// Whether a value passes a schema that only judges; nothing is reported.
    pub(super) fn accepts(&mut self, value: &Value, id: NodeId, path: &Path<'_>, depth: usize) -> bool {
        let outer = (self.probe, self.failed, self.unknown);
        (self.probe, self.failed, self.unknown) = (true, false, false);
        self.value(value, id, path, depth);
        let accepted = !self.failed;
        (self.probe, self.failed, self.unknown) = outer;
        accepted
    }

    /// Reports what a schema that only judges finds wrong.
    pub(super) fn judge(&mut self, value: &Value, id: NodeId, path: &Path<'_>, depth: usize) {
        let unknown = std::mem::replace(&mut self.unknown, false);
        self.value(value, id, path, depth);
        self.unknown = unknown;
    }

    pub(super) fn fail(&mut self, error: impl FnOnce() -> FieldError) {
        self.failed = true;
        if self.errors && !self.probe && self.report.errors.len() < MAX_ERRORS {
            self.report.errors.push(error());
        }
    }

    fn is_done(&self) -> bool {
        let full = !self.errors || self.report.errors.len() >= MAX_ERRORS;
        let full = full && (!self.unknown || self.report.unknown.len() >= MAX_ERRORS);
        full || (self.probe && self.failed)
    }
}

fn has_type(node: &Node, value: &Value) -> bool {
    let found = Types::of(value);
    node.types.is_empty()
        || node.types.contains(found)
        || found == Types::INTEGER && node.types.contains(Types::NUMBER)
        // A whole number written with a fraction is an integer to OpenAPI, but not to Go's decoder.
        || found == Types::NUMBER
            && !node.typed
            && node.types.contains(Types::INTEGER)
            && value.as_f64().is_some_and(|n| n.fract() == 0.0)
}

fn wrong_type(node: &Node, value: &Value, path: &Path<'_>) -> FieldError {
    let (field, found) = (path.field(), Types::of(value).names());
    let detail = format!("{field} in body must be of type {}: {found:?}", node.types.names());
    FieldError::new(field, FieldReason::TypeInvalid, detail).with_value(found)
}

fn wrong_format(node: &Node, value: &Value, path: &Path<'_>) -> FieldError {
    let field = path.field();
    if node.format.is_confidential() {
        let detail = format!("{field} in body must be of type {}", node.format.name());
        return FieldError::new(field, FieldReason::Invalid, detail);
    }
    let error = FieldError::new("", FieldReason::Invalid, "").with_value(value.clone());
    let text = error.value.clone().unwrap_or_default();
    let detail = format!("{field} in body must be of type {}: {text}", node.format.name());
    FieldError { field, detail, ..error }
}
