//! The rules of a node that go beyond types, with the sentences of Kubernetes' validator.

use std::collections::HashSet;

use mcplane_core::error::{FieldError, FieldReason};
use serde_json::{Map, Value};

use super::check::Walk;
use super::node::{Bounds, Node, Rules};
use super::path::Path;

impl Walk<'_> {
    pub(super) fn rules(&mut self, value: &Value, node: &Node, path: &Path<'_>, depth: usize) {
        let Some(rules) = node.rules.as_deref() else {
            return;
        };
        let unset = node.typed && value.as_str() == Some("");
        if !rules.allowed.is_empty() && !rules.allowed.contains(value) && !unset {
            self.fail(|| not_supported(rules, value, path));
        }
        match value {
            Value::String(text) => self.text(text, rules, path),
            Value::Number(number) => self.number(number.as_f64().unwrap_or(f64::NAN), value, rules, path),
            Value::Array(items) => self.list(items, rules, path),
            Value::Object(fields) => self.fields(fields, node, rules, path),
            _ => {}
        }
        for id in &rules.all_of {
            self.judge(value, *id, path, depth + 1);
        }
        if !rules.any_of.is_empty() && !rules.any_of.iter().any(|id| self.accepts(value, *id, path, depth + 1)) {
            self.fail(|| judged(path, "must validate at least one schema (anyOf)"));
        }
        if !rules.one_of.is_empty() {
            match rules.one_of.iter().filter(|id| self.accepts(value, **id, path, depth + 1)).count() {
                1 => {}
                0 => self.fail(|| judged(path, "must validate one and only one schema (oneOf). Found none valid")),
                n => self.fail(|| {
                    let detail = format!("must validate one and only one schema (oneOf). Found {n} valid alternatives");
                    judged(path, &detail)
                }),
            }
        }
        if let Some(id) = rules.not
            && self.accepts(value, id, path, depth + 1)
        {
            self.fail(|| judged(path, "must not validate the schema (not)"));
        }
    }

    fn text(&mut self, text: &str, rules: &Rules, path: &Path<'_>) {
        let Bounds { min, max } = rules.length;
        if min.is_some() || max.is_some() {
            let length = text.chars().count() as u64;
            if let Some(min) = min.filter(|min| length < *min) {
                self.fail(|| sentence(path, text, &format!("should be at least {min} chars long")));
            }
            if let Some(max) = max.filter(|max| length > *max) {
                self.fail(|| {
                    FieldError::new(
                        path.field(),
                        FieldReason::TooLong,
                        format!("may not be more than {max} characters"),
                    )
                });
            }
        }
        if let Some(pattern) = rules.pattern.as_ref().filter(|p| !p.is_match(text)) {
            self.fail(|| sentence(path, text, &format!("should match '{}'", pattern.as_str())));
        }
    }

    fn number(&mut self, number: f64, value: &Value, rules: &Rules, path: &Path<'_>) {
        if let Some(limit) = rules.minimum.filter(|l| number < l.value || l.exclusive && number == l.value) {
            let words = if limit.exclusive { "greater than" } else { "greater than or equal to" };
            self.fail(|| sentence(path, value.clone(), &format!("should be {words} {}", limit.value)));
        }
        if let Some(limit) = rules.maximum.filter(|l| number > l.value || l.exclusive && number == l.value) {
            let words = if limit.exclusive { "less than" } else { "less than or equal to" };
            self.fail(|| sentence(path, value.clone(), &format!("should be {words} {}", limit.value)));
        }
        if let Some(factor) = rules.multiple_of {
            let quotient = number / factor;
            if (quotient - quotient.round()).abs() > 1e-9 * quotient.abs().max(1.0) {
                self.fail(|| sentence(path, value.clone(), &format!("should be a multiple of {factor}")));
            }
        }
    }

    fn list(&mut self, items: &[Value], rules: &Rules, path: &Path<'_>) {
        self.count(items.len(), rules.items, "items", path);
        if rules.unique {
            let mut seen = HashSet::with_capacity(items.len());
            for (i, item) in items.iter().enumerate() {
                if !seen.insert(item) {
                    self.fail(|| duplicate(&Path::Index(path, i), item.clone()));
                }
            }
        }
        if !rules.map_keys.is_empty() {
            let mut seen = HashSet::with_capacity(items.len());
            for (i, item) in items.iter().enumerate() {
                let key: Vec<Option<&Value>> = rules.map_keys.iter().map(|k| item.get(self.schema.name(*k))).collect();
                if seen.contains(&key) {
                    let names = rules.map_keys.iter().map(|k| self.schema.name(*k).to_owned());
                    let fields = names.zip(key).filter_map(|(k, v)| Some((k, v?.clone()))).collect::<Map<_, _>>();
                    self.fail(|| duplicate(&Path::Index(path, i), Value::Object(fields)));
                } else {
                    seen.insert(key);
                }
            }
        }
    }

    fn fields(&mut self, fields: &Map<String, Value>, node: &Node, rules: &Rules, path: &Path<'_>) {
        self.count(fields.len(), rules.properties, "properties", path);
        for name in &rules.required {
            let name = self.schema.name(*name);
            let present = match fields.get(name) {
                None => false,
                Some(Value::Null) => {
                    let nullable = |id| !self.schema.node(id).null_is_absent();
                    node.typed || self.schema.property(node, name).is_some_and(nullable)
                }
                Some(_) => true,
            };
            if !present {
                self.fail(|| FieldError::required(Path::Field(path, name).field(), ""));
            }
        }
    }

    fn count(&mut self, count: usize, Bounds { min, max }: Bounds, what: &str, path: &Path<'_>) {
        let count = count as u64;
        if let Some(min) = min.filter(|min| count < *min) {
            self.fail(|| sentence(path, count, &format!("should have at least {min} {what}")));
        }
        if let Some(max) = max.filter(|max| count > *max) {
            let detail = format!("must have at most {max} {what}");
            self.fail(|| FieldError::new(path.field(), FieldReason::TooMany, detail).with_value(count));
        }
    }
}

fn not_supported(rules: &Rules, value: &Value, path: &Path<'_>) -> FieldError {
    let texts = rules.allowed.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
    let mut supported: Vec<String> = texts.collect();
    supported.sort();
    let supported: Vec<&str> = supported.iter().map(String::as_str).collect();
    FieldError::not_supported(path.field(), value.clone(), &supported)
}

fn duplicate(path: &Path<'_>, value: Value) -> FieldError {
    FieldError::new(path.field(), FieldReason::Duplicate, "").with_value(value)
}

/// `spec.port: Invalid value: 0: spec.port in body should be greater than or equal to 1`.
fn sentence(path: &Path<'_>, value: impl Into<Value>, words: &str) -> FieldError {
    let field = path.field();
    let detail = format!("{field} in body {words}");
    FieldError::invalid(field, value, detail)
}

/// The validator names the field in quotes and shows no value when a combinator fails.
fn judged(path: &Path<'_>, words: &str) -> FieldError {
    let field = path.field();
    let detail = format!("{field:?} {words}");
    FieldError::invalid(field, "", detail)
}
