//! Experiments. Attributes: `name`, `experiment_id`, `creation_time`, `last_update_time`.

use mcplane_core::Result;

use super::ast::{Comparison, Field, Operator, Operator::*, Order, Value};
use super::clause::{self, Parts, Style, bad};
use super::lexer::{Kind, Node};
use super::order::{self, Column};
use super::python;
use super::runs::{METRIC, TEXT};
use super::statement::Timestamp;

const STYLE: Style = Style { quoted: false, timestamp: Timestamp::Reserved };
const ATTRIBUTES: [&str; 4] = ["creation_time", "experiment_id", "last_update_time", "name"];
const LIST_KEYS: [&str; 1] = ["experiment_id"];
const ID: [Operator; 4] = [Eq, Ne, In, NotIn];
const NAME: [Operator; 4] = [Eq, Ne, Like, ILike];
const TAG: [Operator; 6] = [Eq, Ne, Like, ILike, IsNull, IsNotNull];

/// The comparisons of a filter of experiments. Ids are texts of canonical decimal numbers.
pub fn parse(filter: &str) -> Result<Vec<Comparison>> {
    clause::check_all(clause::parse(filter, STYLE, raw)?, check)
}

/// The order of experiments; empty if nothing is asked for. A field may be named more than once.
pub fn parse_order_by(order_by: &[String]) -> Result<Vec<Order>> {
    order::check_count(order_by.len())?;
    let parse = |text: &String| {
        let (name, ascending) = order::clause(text)?;
        match order::column(&name, &ATTRIBUTES)? {
            Column::Attribute(name) => Ok(Order { field: Field::Attribute(name), ascending }),
            Column::Tag(_) => bad("Invalid order_by entity: tag"),
        }
    };
    order_by.iter().map(parse).collect()
}

fn raw(parts: Parts<'_, '_>) -> Result<(Field, String, Value)> {
    let field = match order::column(parts.left, &ATTRIBUTES)? {
        Column::Attribute(name) => Field::Attribute(name),
        Column::Tag(key) => Field::Tag(key.into()),
    };
    let value = match (parts.right, &field) {
        (Some(node), Field::Attribute(name)) => value(name, node)?,
        (Some(node), _) => clause::text_for("tag", node)?,
        (None, Field::Attribute(name)) => {
            return bad(format!("IS NULL / IS NOT NULL is only supported for tags, not for attribute '{name}'"));
        }
        (None, _) => Value::Null,
    };
    Ok((field, parts.op.into(), value))
}

fn is_time(attribute: &str) -> bool {
    matches!(attribute, "creation_time" | "last_update_time")
}

fn value(attribute: &str, node: &Node<'_>) -> Result<Value> {
    if is_time(attribute) {
        return match clause::number(node) {
            Some(number) => Ok(number),
            None => bad(format!("Expected numeric value type for numeric attribute: {attribute}. Found {}", node.text)),
        };
    }
    if clause::is_text(node) {
        return clause::quoted(node.text);
    }
    if node.kind == Kind::Parenthesis {
        return clause::list_for(attribute, &LIST_KEYS, node);
    }
    bad(format!("Expected a quoted string value for attributes. Got value {}", node.text))
}

fn check((field, op, value): (Field, String, Value)) -> Result<Comparison> {
    let allowed = match &field {
        Field::Attribute("experiment_id") => match clause::operator(&op, &ID) {
            Some(op) => return Ok(Comparison { field, op, value: ids(value)? }),
            None => return bad(format!("Invalid comparator for experiment_id: {op}")),
        },
        Field::Attribute(name) if is_time(name) => {
            let Some(op) = clause::operator(&op, &METRIC) else {
                return bad(format!("Invalid comparator '{op}' not one of '{}", clause::operators(&TEXT)));
            };
            if let Value::Number(number) = value
                && number.is_finite()
                && !whole_beyond_64_bits(number)
            {
                let number = python::repr_float(number);
                return bad(format!("Invalid value for numeric attribute '{name}': '{number}'"));
            }
            return Ok(Comparison { field, op, value });
        }
        Field::Attribute(_) => {
            if clause::operator(&op, &TEXT).is_none() {
                return bad(format!("Invalid comparator '{op}' not one of '{}'", clause::operators(&TEXT)));
            }
            return match clause::operator(&op, &NAME) {
                Some(op) => Ok(Comparison { field, op, value }),
                None => bad(format!("Invalid comparator for string attribute: {op}")),
            };
        }
        _ => TAG,
    };
    match clause::operator(&op, &allowed) {
        Some(op) => Ok(Comparison { field, op, value }),
        None => bad(format!("Invalid comparator for tag: {op}")),
    }
}

/// [`clause::number`] makes such a number of digits alone; with a period it would be refused.
fn whole_beyond_64_bits(number: f64) -> bool {
    number.abs() >= 9.2e18
}

/// Ids as canonical numbers, since `007` and `7` name the same experiment.
fn ids(value: Value) -> Result<Value> {
    let id = |text: String| match python::int(&text) {
        Some(id) => Ok(id),
        None => bad(format!("Invalid experiment ID '{text}'. Experiment ID must be a valid integer.")),
    };
    match value {
        Value::Text(text) => id(text).map(Value::Text),
        Value::TextList(texts) => texts.into_iter().map(id).collect::<Result<_>>().map(Value::TextList),
        other => Ok(other),
    }
}
