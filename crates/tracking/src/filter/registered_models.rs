//! Registered models. Attribute: `name`; the order also knows `last_updated_timestamp`.

use std::collections::HashSet;

use mcplane_core::Result;

use super::ast::{Comparison, Field, Operator, Operator::*, Order, Value};
use super::clause::{self, Parts, Style, bad};
use super::lexer::{Kind, Node};
use super::statement::Timestamp;
use super::{order, python};

pub(super) const STYLE: Style = Style { quoted: false, timestamp: Timestamp::Reserved };
const ATTRIBUTES: [&str; 1] = ["name"];
const LIST_KEYS: [&str; 1] = ["name"];
const NAME: [Operator; 6] = [Eq, Ne, Like, ILike, In, NotIn];
const TAG: [Operator; 4] = [Eq, Ne, Like, ILike];

/// The comparisons of a filter of registered models.
pub fn parse(filter: &str) -> Result<Vec<Comparison>> {
    let raw = |parts: Parts<'_, '_>| {
        let field = field(parts.left, &ATTRIBUTES)?;
        let node = clause::right(&parts)?;
        let value = match field {
            Field::Attribute(name) => text_or_list(name, &LIST_KEYS, node)?,
            _ => clause::text_for("tag", node)?,
        };
        Ok((field, parts.op.to_uppercase(), value))
    };
    clause::check_all(clause::parse(filter, STYLE, raw)?, check)
}

/// The order of registered models: `name`, `timestamp`, `last_updated_timestamp` (the latter two are one).
pub fn parse_order_by(order_by: &[String]) -> Result<Vec<Order>> {
    order::check_count(order_by.len())?;
    let mut seen = HashSet::new();
    let mut orders = Vec::with_capacity(order_by.len());
    for text in order_by {
        let (name, ascending) = order::clause(text)?;
        let name = match name.as_str() {
            "name" => "name",
            "timestamp" | "last_updated_timestamp" => "last_updated_timestamp",
            other => {
                let valid = python::repr_set(&["name", "timestamp"]);
                return bad(format!("Invalid order by key '{other}' specified. Valid keys are '{valid}'"));
            }
        };
        if !seen.insert(name) {
            return order::duplicate(order_by);
        }
        orders.push(Order { field: Field::Attribute(name), ascending });
    }
    Ok(orders)
}

/// In the registry, quotes around the name of an attribute make another name.
pub(super) fn field(identifier: &str, attributes: &[&'static str]) -> Result<Field> {
    let (entity, key) = clause::split(identifier);
    match order::is_tag(entity)? {
        true => Ok(Field::Tag(clause::key(key).into())),
        false => clause::attribute(key, attributes).map(Field::Attribute),
    }
}

pub(super) fn text_or_list(attribute: &str, list_keys: &[&str], node: &Node<'_>) -> Result<Value> {
    if clause::is_text(node) {
        return clause::quoted(node.text);
    }
    if node.kind == Kind::Parenthesis {
        return clause::list_for(attribute, list_keys, node);
    }
    bad(format!(
        "Expected a quoted string value or a list of quoted string values for attributes. Got value {}",
        node.text
    ))
}

fn check((field, op, value): (Field, String, Value)) -> Result<Comparison> {
    if let Field::Tag(_) = field {
        return tag(field, &op, value);
    }
    match clause::operator(&op, &NAME) {
        Some(op) => Ok(Comparison { field, op, value }),
        None => bad(format!("Invalid comparator for attribute: {op}")),
    }
}

pub(super) fn tag(field: Field, op: &str, value: Value) -> Result<Comparison> {
    match clause::operator(op, &TAG) {
        Some(op) => Ok(Comparison { field, op, value }),
        None => bad(format!("Invalid comparator for tag: {op}")),
    }
}
