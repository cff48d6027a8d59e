//! Versions of registered models. Attributes: `name`, `version_number`, `run_id`, `source_path`; the order knows
//! `name`, `version_number`, `creation_timestamp`, `last_updated_timestamp`.

use std::collections::HashSet;

use mcplane_core::Result;

use super::ast::{Comparison, Field, Order, Value};
use super::clause::{self, Parts, bad};
use super::lexer::{Kind, Node};
use super::order::{self, Column};
use super::python;
use super::registered_models::{STYLE, field, tag, text_or_list};
use super::runs::{METRIC, TEXT};

const ATTRIBUTES: [&str; 4] = ["name", "run_id", "source_path", "version_number"];
const ORDERS: [&str; 4] = ["creation_timestamp", "last_updated_timestamp", "name", "version_number"];
const NUMERIC: [&str; 3] = ["creation_timestamp", "last_updated_timestamp", "version_number"];
const LIST_KEYS: [&str; 2] = ["name", "run_id"];

/// The comparisons of a filter of model versions.
pub fn parse(filter: &str) -> Result<Vec<Comparison>> {
    let raw = |parts: Parts<'_, '_>| {
        let field = field(parts.left, &ATTRIBUTES)?;
        let node = clause::right(&parts)?;
        let value = match field {
            Field::Attribute(name) => value(name, node)?,
            _ => clause::text_for("tag", node)?,
        };
        Ok((field, parts.op.to_uppercase(), value))
    };
    clause::check_all(clause::parse(filter, STYLE, raw)?, check)
}

/// The order of model versions.
pub fn parse_order_by(order_by: &[String]) -> Result<Vec<Order>> {
    order::check_count(order_by.len())?;
    let mut seen = HashSet::new();
    let mut orders = Vec::with_capacity(order_by.len());
    for text in order_by {
        let (name, ascending) = order::clause(text)?;
        let name = match order::column(&name, &ORDERS)? {
            Column::Attribute(name) => name,
            // The entity type is not looked at any further: `tag.name` is `name`.
            Column::Tag(key) => match ORDERS.into_iter().find(|name| *name == key) {
                Some(name) => name,
                None => {
                    let valid = python::repr_set(&ORDERS);
                    return bad(format!("Invalid order by key '{key}' specified. Valid keys are {valid}"));
                }
            },
        };
        if !seen.insert(name) {
            return order::duplicate(order_by);
        }
        orders.push(Order { field: Field::Attribute(name), ascending });
    }
    Ok(orders)
}

fn value(attribute: &str, node: &Node<'_>) -> Result<Value> {
    if !matches!(node.kind, Kind::Integer | Kind::Float) {
        return text_or_list(attribute, &LIST_KEYS, node);
    }
    match clause::number(node).filter(|_| NUMERIC.contains(&attribute)) {
        Some(number) => Ok(number),
        None => {
            bad(format!("Only the '{}' attributes support comparison with numeric values.", python::repr_set(&NUMERIC)))
        }
    }
}

fn check((field, op, value): (Field, String, Value)) -> Result<Comparison> {
    match &field {
        Field::Attribute("version_number") => match clause::operator(&op, &METRIC) {
            Some(op) => Ok(Comparison { field, op, value: version(value)? }),
            None => bad(format!("Invalid comparator for attribute version_number: {op}")),
        },
        Field::Attribute(name) => match clause::operator(&op, &TEXT) {
            // Checked before the value, which can only be a list for other names.
            Some(op) if LIST_KEYS.contains(name) || !matches!(op.as_str(), "IN" | "NOT IN") => {
                Ok(Comparison { field, op, value })
            }
            _ => bad(format!("Invalid comparator for attribute: {op}")),
        },
        _ => tag(field, &op, value),
    }
}

/// A number, or a text that is one.
fn version(value: Value) -> Result<Value> {
    let invalid = |shown: String| bad(format!("Invalid value for numeric attribute 'version_number': {shown}"));
    match value {
        Value::Number(number) if number.abs() < 9.2e18 => invalid(python::repr_float(number)),
        Value::Text(text) => match python::int(&text) {
            Some(digits) => {
                let number = digits.parse().map(Value::Integer);
                Ok(number.unwrap_or_else(|_| Value::Number(digits.parse().unwrap_or(f64::INFINITY))))
            }
            None => invalid(python::repr(&text)),
        },
        other => Ok(other),
    }
}
