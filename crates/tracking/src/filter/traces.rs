//! Traces. Attributes: `request_id`, `client_request_id`, `status`, `timestamp_ms`, `execution_time_ms`,
//! `end_time_ms`; the order also knows `experiment_id`. Some keys are shorthands: `name` is the tag `mlflow.traceName`,
//! `prompt` the tag `mlflow.linkedPrompts`, `run_id` the metadata `mlflow.sourceRun`, `text` the content of a span.

use std::collections::HashSet;

use mcplane_core::Result;

use super::ast::{Comparison, Field, Operator, Operator::*, Order, Value};
use super::clause::{self, Parts, Style, bad};
use super::lexer::{Kind, Node};
use super::runs::METRIC;
use super::statement::Timestamp;
use super::{order, python};

const STYLE: Style = Style { quoted: true, timestamp: Timestamp::Field };
const ENTITIES: [&str; 11] = [
    "attribute",
    "attributes",
    "expectation",
    "feedback",
    "issue",
    "metadata",
    "request_metadata",
    "span",
    "tag",
    "tags",
    "trace",
];
const ATTRIBUTES: [&str; 13] = [
    "client_request_id",
    "end_time",
    "end_time_ms",
    "execution_time",
    "execution_time_ms",
    "name",
    "prompt",
    "request_id",
    "run_id",
    "status",
    "text",
    "timestamp",
    "timestamp_ms",
];
const ORDERS: [&str; 11] = [
    "end_time",
    "end_time_ms",
    "execution_time",
    "execution_time_ms",
    "experiment_id",
    "name",
    "request_id",
    "run_id",
    "status",
    "timestamp",
    "timestamp_ms",
];
const NUMERIC: [&str; 6] =
    ["end_time", "end_time_ms", "execution_time", "execution_time_ms", "timestamp", "timestamp_ms"];
const LIST_KEYS: [&str; 5] = ["client_request_id", "name", "request_id", "run_id", "status"];
/// Metadata that is kept as numbers.
const RESERVED: [&str; 2] = ["mlflow.trace.tokenUsage", "mlflow.trace.cost"];
const PROMPTS: &str = "mlflow.linkedPrompts";

const TAG: [Operator; 7] = [Ne, Eq, ILike, IsNotNull, IsNull, Like, RLike];
const TEXT: [Operator; 7] = [Ne, Eq, ILike, In, Like, NotIn, RLike];
const CONTENT: [Operator; 2] = [ILike, Like];
const ASSESSMENT: [Operator; 11] = [Ne, Lt, Le, Eq, Gt, Ge, ILike, IsNotNull, IsNull, Like, RLike];

/// The comparisons of a filter of traces.
pub fn parse(filter: &str) -> Result<Vec<Comparison>> {
    clause::check_all(clause::parse(filter, STYLE, raw)?, check)
}

/// The order of traces.
pub fn parse_order_by(order_by: &[String]) -> Result<Vec<Order>> {
    order::check_count(order_by.len())?;
    let mut seen = HashSet::new();
    let mut orders = Vec::with_capacity(order_by.len());
    for text in order_by {
        let (name, ascending) = order::clause(text)?;
        let (entity, key) = names(&name, &ORDERS)?;
        let field = match field(entity, key) {
            Field::Metadata(key) if RESERVED.contains(&key.as_str()) => {
                return bad(format!(
                    "Ordering by reserved metadata '{key}' is not supported because it is represented by multiple \
                     columns."
                ));
            }
            field @ (Field::Attribute(_) | Field::Tag(_) | Field::Metadata(_)) => field,
            _ => return bad(format!("Invalid identifier type '{}'", entity.as_str())),
        };
        if !seen.insert(field.clone()) {
            return order::duplicate(order_by);
        }
        orders.push(Order { field, ascending });
    }
    Ok(orders)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Entity {
    Tag,
    Metadata,
    Attribute,
    Span,
    Feedback,
    Expectation,
    Issue,
}

impl Entity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Metadata => "request_metadata",
            Self::Attribute => "attribute",
            Self::Span => "span",
            Self::Feedback => "feedback",
            Self::Expectation => "expectation",
            Self::Issue => "issue",
        }
    }

    fn is_assessment(self) -> bool {
        matches!(self, Self::Feedback | Self::Expectation)
    }
}

fn names<'t>(identifier: &'t str, attributes: &[&'static str]) -> Result<(Entity, &'t str)> {
    let (entity, key) = clause::split(identifier);
    let entity = match clause::trim_backticks(entity.unwrap_or("attribute")) {
        "tag" | "tags" => Entity::Tag,
        "metadata" | "request_metadata" => Entity::Metadata,
        "attribute" | "attributes" | "trace" => Entity::Attribute,
        "span" => Entity::Span,
        "feedback" => Entity::Feedback,
        "expectation" => Entity::Expectation,
        "issue" => Entity::Issue,
        other => {
            let valid = python::repr_set(&ENTITIES);
            return bad(format!("Invalid entity type '{other}'. Valid values are {valid}"));
        }
    };
    let key = clause::key(key);
    if entity == Entity::Attribute {
        clause::attribute(key, attributes)?;
    }
    Ok((entity, key))
}

/// What a name refers to. The shorthands mean the same whatever entity type stands before them, but for spans.
fn field(entity: Entity, key: &str) -> Field {
    let shorthand = if entity == Entity::Span { String::new() } else { key.to_lowercase() };
    let key = match shorthand.as_str() {
        "name" => return Field::Tag("mlflow.traceName".into()),
        "prompt" => return Field::Tag(PROMPTS.into()),
        "run_id" => return Field::Metadata("mlflow.sourceRun".into()),
        "text" => return Field::Span("content".into()),
        "timestamp" => "timestamp_ms",
        "execution_time" => "execution_time_ms",
        "end_time" => "end_time_ms",
        _ => key,
    };
    match entity {
        Entity::Tag => Field::Tag(key.into()),
        Entity::Metadata => Field::Metadata(key.into()),
        Entity::Span => Field::Span(key.into()),
        Entity::Feedback => Field::Feedback(key.into()),
        Entity::Expectation => Field::Expectation(key.into()),
        Entity::Issue => Field::IssueId,
        Entity::Attribute => {
            let known = ATTRIBUTES.into_iter().chain(ORDERS).find(|name| *name == key);
            Field::Attribute(known.unwrap_or("request_id"))
        }
    }
}

struct Raw {
    entity: Entity,
    key: String,
    op: String,
    value: Value,
}

fn raw(parts: Parts<'_, '_>) -> Result<Raw> {
    let (entity, key) = names(parts.left, &ATTRIBUTES)?;
    let value = match parts.right {
        None => Value::Null,
        Some(node) => {
            if entity.is_assessment() {
                check_assessed(entity, parts.op, node)?;
            }
            let value = value(entity, key, node)?;
            if entity == Entity::Span {
                span(key, parts.op)?;
            }
            value
        }
    };
    Ok(Raw { entity, key: key.into(), op: parts.op.into(), value })
}

/// Numbers are compared by size, texts by everything else.
fn check_assessed(entity: Entity, op: &str, node: &Node<'_>) -> Result<()> {
    let by_size = matches!(op, ">" | ">=" | "<" | "<=");
    let fits = if by_size { clause::float(node).is_some() } else { clause::is_text(node) };
    if fits {
        return Ok(());
    }
    let (entity, found) = (entity.as_str(), node.text);
    bad(if by_size {
        format!("Expected a numeric value for {entity} when using comparator '{op}'. Got value {found}")
    } else {
        format!("Expected a quoted string value for {entity} (e.g. 'my-value'). Got value {found}")
    })
}

fn value(entity: Entity, key: &str, node: &Node<'_>) -> Result<Value> {
    let is_list = node.kind == Kind::Parenthesis;
    match entity {
        Entity::Tag | Entity::Span if is_list => clause::list(node),
        Entity::Feedback | Entity::Expectation if !clause::is_text(node) => match clause::number(node) {
            Some(number) => Ok(number),
            None => clause::text_for(entity.as_str(), node),
        },
        Entity::Attribute if clause::is_text(node) => clause::quoted(node.text),
        Entity::Attribute if is_list => {
            if LIST_KEYS.contains(&key) {
                return clause::list(node);
            }
            let keys = python::repr_set(&LIST_KEYS);
            bad(format!("Only attributes in {keys} supports comparison with a list of quoted string values."))
        }
        Entity::Attribute => match clause::number(node) {
            Some(number) if NUMERIC.contains(&key) => Ok(number),
            Some(_) => {
                let numeric = python::repr_set(&NUMERIC);
                bad(format!("Only the '{numeric}' attributes support comparison with numeric values."))
            }
            None => bad(format!(
                "Expected a quoted string value or a list of quoted string values for attributes. Got value {}",
                node.text
            )),
        },
        _ => clause::text_for(entity.as_str(), node),
    }
}

/// Which operators a property of a span allows.
fn span(key: &str, op: &str) -> Result<Operator> {
    let allowed: &[Operator] = match key.strip_prefix("attributes.") {
        Some("") => return bad("Span attribute name cannot be empty after 'attributes.'"),
        Some(_) => &TEXT,
        None if matches!(key, "name" | "type" | "status") => &TEXT,
        None if key == "content" => &CONTENT,
        None => {
            return bad(format!(
                "Invalid span attribute '{key}'. Supported attributes: name, status, type, attributes.<attribute_name>."
            ));
        }
    };
    match clause::operator(op, allowed) {
        Some(op) => Ok(op),
        None => bad(format!("span.{key} comparator '{op}' not one of '{}'", clause::operators(allowed))),
    }
}

fn check(raw: Raw) -> Result<Comparison> {
    let Raw { entity, key, op, value } = raw;
    let op = op.to_uppercase();
    let field = field(entity, &key);
    let invalid = |listed: &[Operator], close: &str| {
        bad(format!("Invalid comparator '{op}' not one of '{}{close}", clause::operators(listed)))
    };
    let allowed: &[Operator] = match &field {
        Field::Attribute(name) if NUMERIC.contains(name) => &METRIC,
        Field::Attribute(_) => &TEXT,
        Field::Tag(_) | Field::Metadata(_) => &TAG,
        Field::Span(key) => return Ok(Comparison { field: field.clone(), op: span(key, &op)?, value }),
        Field::Feedback(_) | Field::Expectation(_) => &ASSESSMENT,
        _ => {
            if key != "id" {
                return bad(format!("Invalid issue attribute '{key}'. Supported attributes: id"));
            }
            &[Eq]
        }
    };
    let Some(operator) = clause::operator(&op, allowed) else {
        return match &field {
            Field::Attribute(name) if NUMERIC.contains(name) => invalid(&TEXT, ""),
            Field::Tag(_) => invalid(allowed, ""),
            Field::Attribute(_) | Field::Metadata(_) => invalid(allowed, "'"),
            Field::Feedback(_) | Field::Expectation(_) => {
                bad(format!("assessment.{key} comparator '{op}' not one of '{}'", clause::operators(allowed)))
            }
            _ => bad(format!("issue.{key} comparator '{op}' not one of '{}'", clause::operators(allowed))),
        };
    };
    match &field {
        Field::Feedback(key) | Field::Expectation(key) if key.is_empty() => {
            return bad("Assessment field name cannot be empty");
        }
        Field::Metadata(key)
            if RESERVED.contains(&key.as_str()) && !matches!(operator, Eq | Ne | IsNull | IsNotNull) =>
        {
            return bad(format!(
                "Comparator '{op}' is not supported for reserved metadata '{key}'. \
                 Only '=', '!=', 'IS NULL', and 'IS NOT NULL' are supported."
            ));
        }
        Field::Tag(key) if key == PROMPTS => check_prompt(operator, &value)?,
        _ => {}
    }
    Ok(Comparison { field, op: operator, value })
}

fn check_prompt(op: Operator, value: &Value) -> Result<()> {
    if op != Eq {
        return bad(format!(
            "Invalid comparator '{}' for prompts filter. Only '=' is supported with format: prompt = \"name/version\"",
            op.as_str()
        ));
    }
    match value {
        Value::Text(text) if text.matches('/').count() != 1 => {
            bad(format!("Invalid prompts filter value '{text}'. Expected format: prompt = \"name/version\""))
        }
        _ => Ok(()),
    }
}
