//! Runs. Attributes: `run_id`, `run_name`, `status`, `user_id`, `artifact_uri`, `start_time`, `end_time`.

use std::collections::HashSet;

use mcplane_core::Result;

use super::ast::{Comparison, DatasetKey, Field, Operator, Operator::*, Order, Value};
use super::clause::{self, Parts, Style, bad};
use super::lexer::{Kind, Node};
use super::statement::Timestamp;
use super::{order, python};

const STYLE: Style = Style { quoted: true, timestamp: Timestamp::Reserved };
const ENTITIES: [&str; 5] = ["metric", "parameter", "tag", "attribute", "dataset"];
const DATASET_KEYS: [&str; 3] = ["context", "digest", "name"];
const LIST_KEYS: [&str; 1] = ["run_id"];
const ATTRIBUTES: [&str; 12] = [
    "Created",
    "Run Name",
    "Run name",
    "artifact_uri",
    "created",
    "end_time",
    "run name",
    "run_id",
    "run_name",
    "start_time",
    "status",
    "user_id",
];
const ORDERS: [&str; 9] =
    ["Created", "artifact_uri", "created", "end_time", "run_id", "run_name", "start_time", "status", "user_id"];

pub(super) const METRIC: [Operator; 6] = [Ne, Lt, Le, Eq, Gt, Ge];
const PARAM: [Operator; 6] = [Ne, Eq, ILike, IsNotNull, IsNull, Like];
pub(super) const TEXT: [Operator; 6] = [Ne, Eq, ILike, In, Like, NotIn];

/// The comparisons of a filter of runs.
pub fn parse(filter: &str) -> Result<Vec<Comparison>> {
    clause::check_all(clause::parse(filter, STYLE, raw)?, check)
}

/// The order of runs. Ties and what is missing are the store's concern.
pub fn parse_order_by(order_by: &[String]) -> Result<Vec<Order>> {
    order::check_count(order_by.len())?;
    let mut seen = HashSet::new();
    let mut orders = Vec::with_capacity(order_by.len());
    for clause in order_by {
        let (name, ascending) = order::clause(clause)?;
        let field = field(&name, &ORDERS)?;
        if matches!(field, Field::Dataset(_)) {
            return bad("Invalid identifier type 'dataset'");
        }
        if !seen.insert(field.clone()) {
            return order::duplicate(order_by);
        }
        orders.push(Order { field, ascending });
    }
    Ok(orders)
}

fn raw(parts: Parts<'_, '_>) -> Result<(Field, String, Value)> {
    let field = field(parts.left, &ATTRIBUTES)?;
    let value = match parts.right {
        Some(node) => value(&field, parts.left, node)?,
        None if matches!(field, Field::Tag(_) | Field::Param(_)) => Value::Null,
        None => {
            let (entity, key) = named(&field, parts.left);
            return bad(format!(
                "IS NULL / IS NOT NULL is only supported for tags and params, not for '{entity}' '{key}'"
            ));
        }
    };
    Ok((field, parts.op.to_uppercase(), value))
}

fn field(identifier: &str, attributes: &[&'static str]) -> Result<Field> {
    let (entity, key) = clause::split(identifier);
    let entity = clause::trim_backticks(entity.unwrap_or("attribute"));
    let key = clause::key(key);
    match entity {
        "metric" | "metrics" => Ok(Field::Metric(key.into())),
        "parameter" | "parameters" | "param" | "params" => Ok(Field::Param(key.into())),
        "tag" | "tags" => Ok(Field::Tag(key.into())),
        "attribute" | "attributes" | "attr" | "run" => {
            Ok(Field::Attribute(canonical(clause::attribute(key, attributes)?)))
        }
        "dataset" | "datasets" => match DatasetKey::parse(key) {
            Some(key) => Ok(Field::Dataset(key)),
            None => {
                let valid = python::repr_set(&DATASET_KEYS);
                bad(format!("Invalid dataset key '{key}' specified. Valid keys are '{valid}'"))
            }
        },
        other => {
            let valid = python::repr_list(&ENTITIES);
            bad(format!("Invalid entity type '{other}'. Valid values are {valid}"))
        }
    }
}

fn canonical(attribute: &'static str) -> &'static str {
    match attribute {
        "created" | "Created" => "start_time",
        "run name" | "Run name" | "Run Name" => "run_name",
        other => other,
    }
}

/// How messages name a field: its entity type, and its key as the client wrote it.
fn named<'t>(field: &'t Field, identifier: &'t str) -> (&'static str, &'t str) {
    let entity = match field {
        Field::Metric(_) => "metric",
        Field::Param(_) => "parameter",
        Field::Tag(_) => "tag",
        Field::Dataset(_) => "dataset",
        _ => "attribute",
    };
    (entity, clause::key(clause::split(identifier).1))
}

fn is_time(attribute: &str) -> bool {
    matches!(attribute, "start_time" | "end_time")
}

fn value(field: &Field, identifier: &str, node: &Node<'_>) -> Result<Value> {
    let (entity, key) = named(field, identifier);
    match field {
        Field::Metric(_) => match clause::float(node) {
            Some(number) => Ok(number),
            None => bad(format!("Expected numeric value type for metric. Found {}", node.text)),
        },
        Field::Attribute(name) if is_time(name) => match clause::number(node) {
            Some(number) => Ok(number),
            None => bad(format!("Expected numeric value type for numeric attribute: {key}. Found {}", node.text)),
        },
        Field::Attribute(_) if node.kind == Kind::Parenthesis => clause::list_for(key, &LIST_KEYS, node),
        Field::Dataset(_) if node.kind == Kind::Parenthesis => clause::list(node),
        Field::Attribute(_) | Field::Dataset(_) if clause::is_text(node) => clause::quoted(node.text),
        Field::Attribute(_) => bad(format!("Expected a quoted string value for attributes. Got value {}", node.text)),
        Field::Dataset(_) => {
            bad(format!("Expected a quoted string value for dataset attributes. Got value {}", node.text))
        }
        _ => clause::text_for(entity, node),
    }
}

/// Which operators go with which field; the odd quotes of the messages are what clients get.
fn check((field, op, value): (Field, String, Value)) -> Result<Comparison> {
    let (allowed, listed, close) = match &field {
        Field::Metric(_) => (METRIC, METRIC, ""),
        Field::Param(_) => (PARAM, PARAM, "'"),
        Field::Tag(_) => (PARAM, PARAM, ""),
        Field::Dataset(_) => (TEXT, TEXT, ""),
        Field::Attribute(name) if is_time(name) => (METRIC, TEXT, ""),
        _ => (TEXT, TEXT, "'"),
    };
    match clause::operator(&op, &allowed) {
        Some(op) => Ok(Comparison { field, op, value }),
        None => bad(format!("Invalid comparator '{op}' not one of '{}{close}", clause::operators(&listed))),
    }
}
