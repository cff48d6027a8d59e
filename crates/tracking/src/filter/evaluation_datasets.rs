//! Evaluation datasets. Attributes: `name`, `created_time`, `last_update_time`, `created_by`, `last_updated_by`; the order
//! knows the first three.

use mcplane_core::Result;

use super::ast::{Comparison, Field, Operator, Operator::*, Order, Value};
use super::clause::{self, Parts, Style, bad};
use super::lexer::{Kind, Node};
use super::order;
use super::python;
use super::runs::METRIC;
use super::statement::Timestamp;

const STYLE: Style = Style { quoted: false, timestamp: Timestamp::Reserved };
const ATTRIBUTES: [&str; 5] = ["created_by", "created_time", "last_update_time", "last_updated_by", "name"];
const ORDERS: [&str; 3] = ["created_time", "last_update_time", "name"];
const TEXT: [Operator; 4] = [Eq, Ne, Like, ILike];

/// The comparisons of a filter of evaluation datasets.
pub fn parse(filter: &str) -> Result<Vec<Comparison>> {
    clause::parse(filter, STYLE, comparison)
}

/// The order of evaluation datasets.
pub fn parse_order_by(order_by: &[String]) -> Result<Vec<Order>> {
    order::check_count(order_by.len())?;
    let parse = |text: &String| {
        let (name, ascending) = order::clause(text)?;
        match field(&name, &ORDERS)? {
            field @ Field::Attribute(_) => Ok(Order { field, ascending }),
            _ => bad(format!("Invalid order_by entity: {name}")),
        }
    };
    order_by.iter().map(parse).collect()
}

fn field(identifier: &str, attributes: &[&'static str]) -> Result<Field> {
    match clause::split(identifier) {
        (None, key) => match attributes.iter().find(|name| **name == key) {
            Some(name) => Ok(Field::Attribute(name)),
            None => {
                let valid = python::repr_set(attributes);
                bad(format!("Invalid attribute key '{key}' specified. Valid keys are: {valid}"))
            }
        },
        (Some("tags"), key) => Ok(Field::Tag(clause::key(key).into())),
        (Some(other), _) => bad(format!("Invalid identifier token '{other}' specified")),
    }
}

fn is_time(attribute: &str) -> bool {
    matches!(attribute, "created_time" | "last_update_time")
}

fn comparison(parts: Parts<'_, '_>) -> Result<Comparison> {
    let field = field(parts.left, &ATTRIBUTES)?;
    let node = clause::right(&parts)?;
    let value = value(&field, node)?;
    let (allowed, kind): (&[Operator], _) = match &field {
        Field::Attribute(name) if is_time(name) => (&METRIC, "numeric attribute"),
        Field::Attribute("name") if matches!(value, Value::TextList(_)) => (&[In], "string attribute"),
        Field::Attribute(_) => (&TEXT, "string attribute"),
        _ => (&TEXT, "tag"),
    };
    match clause::operator(parts.op, allowed) {
        Some(op) => Ok(Comparison { field, op, value }),
        None => bad(format!("Invalid comparator for {kind}: {}", parts.op)),
    }
}

fn value(field: &Field, node: &Node<'_>) -> Result<Value> {
    match field {
        Field::Attribute(name) if is_time(name) => match clause::number(node) {
            Some(number @ Value::Integer(_)) => Ok(number),
            _ => bad(format!("Invalid value for numeric attribute '{name}': '{}'", node.text)),
        },
        Field::Attribute(name) if node.kind == Kind::Parenthesis => clause::list_for(name, &["name"], node),
        Field::Attribute(_) => clause::text_for("attributes", node),
        _ => clause::text_for("tag", node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked() {
        assert_eq!(parse("name LIKE 'a%' AND tags.team = 'x' AND created_time > 5").unwrap().len(), 3);
        assert_eq!(parse("name IN ('a', 'b')").unwrap()[0].op, In);
        for bad in
            ["name > 'a'", "foo = 'x'", "params.a = 'x'", "created_time = 'x'", "created_by IN ('a')", "tags.a IS NULL"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse_order_by(&["created_by".to_owned()]).is_err());
        assert!(!parse_order_by(&["name DESC".to_owned()]).unwrap()[0].ascending);
    }
}
