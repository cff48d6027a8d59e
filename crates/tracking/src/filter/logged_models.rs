//! Logged models. Attributes: `name`, `model_id`, `model_type`, `status`, `source_run_id`, `experiment_id`,
//! `artifact_location`, `lifecycle_stage`, `status_message`, `creation_timestamp_ms`, `last_updated_timestamp_ms`.
//!
//! Their grammar is laxer than that of the other kinds: text needs no quotes, and operators no case.

use mcplane_core::Result;
use serde::{Deserialize, Serialize};

use super::ast::{Comparison, Field, Operator, Operator::*, Order, Value};
use super::clause::{self, bad, check_count, check_length};
use super::lexer::Kind;
use super::statement::{self, Item, Parsed, Timestamp, TooComplex};
use super::{literal, order, python};

const ATTRIBUTES: [&str; 11] = [
    "artifact_location",
    "creation_timestamp_ms",
    "experiment_id",
    "last_updated_timestamp_ms",
    "lifecycle_stage",
    "model_id",
    "model_type",
    "name",
    "source_run_id",
    "status",
    "status_message",
];
const ENTITIES: [&str; 4] = ["attributes", "metrics", "params", "tags"];
const NUMERIC: [Operator; 6] = [Lt, Le, Gt, Ge, Eq, Ne];
const TEXT: [Operator; 6] = [Eq, Ne, Like, ILike, In, NotIn];

/// One clause of an order, as the protocol has it. `dataset_*` narrow the values of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderBy {
    /// An attribute, or `metrics.KEY`.
    pub field_name: String,
    /// Smallest first, which is also the default of the protocol.
    pub ascending: bool,
    /// Only values on the dataset of that name.
    pub dataset_name: Option<String>,
    /// Only values on the dataset with that digest.
    pub dataset_digest: Option<String>,
}

/// The comparisons of a filter of logged models.
pub fn parse(filter: &str) -> Result<Vec<Comparison>> {
    if filter.is_empty() {
        return Ok(Vec::new());
    }
    check_length(filter)?;
    let nodes = match statement::parse(filter) {
        Ok(Parsed::One(nodes)) => nodes,
        Ok(_) => {
            let filter = python::repr(filter);
            return bad(format!("Invalid filter string: {filter}. Expected a single SQL expression."));
        }
        Err(reason) => {
            let reason = match reason {
                TooComplex::Depth => "Maximum grouping depth exceeded (100).",
                TooComplex::Tokens => "Maximum number of tokens exceeded (10000).",
            };
            return bad(format!("Invalid filter string: {}. SQLParseError('{reason}')", python::repr(filter)));
        }
    };
    let mut raws = Vec::new();
    for item in statement::items(&nodes, Timestamp::Reserved) {
        let (left, op, right) = match item {
            Item::Words { left, op, right: Some(right) } => (left.text, op, right.text),
            Item::Words { left, op, right: None } => return three_tokens(&format!("{}{op}", left.text)),
            Item::Piece(node) if node.kind == Kind::Comparison => {
                let tokens: Vec<_> = node.nodes.iter().filter(|node| !node.kind.is_space()).collect();
                let [left, op, right] = tokens.as_slice() else { return three_tokens(node.text) };
                (left.text, op.text, right.text)
            }
            Item::Piece(node) if node.text.trim_matches(python::is_space).eq_ignore_ascii_case("AND") => continue,
            Item::Piece(_) => {
                let filter = python::repr(filter);
                return bad(format!(
                    "Invalid filter string: {filter}. Expected a list of comparisons separated by 'AND' \
                     (e.g. 'metrics.loss > 0.1 AND params.lr = 0.01')."
                ));
            }
        };
        raws.push(raw(left, &op.to_uppercase(), right)?);
        check_count(raws.len())?;
    }
    clause::check_all(raws, check)
}

/// The order of logged models, one for each clause.
pub fn parse_order_by(order_by: &[OrderBy]) -> Result<Vec<Order>> {
    order::check_count(order_by.len())?;
    let parse = |clause: &OrderBy| {
        let name = clause.field_name.as_str();
        let field = match name.split_once('.') {
            Some(("metrics", key)) => Field::Metric(key.into()),
            Some(_) => return bad(format!("Invalid order by field name: {name}. Only metrics are supported.")),
            None => match column(name) {
                Some(column) => Field::Attribute(column),
                None => return bad(format!("Invalid order by field name: {name}")),
            },
        };
        Ok(Order { field, ascending: clause.ascending })
    };
    order_by.iter().map(parse).collect()
}

fn three_tokens<T>(text: &str) -> Result<T> {
    bad(format!("Invalid comparison: {text}. Expected a comparison with 3 tokens."))
}

fn column(name: &str) -> Option<&'static str> {
    let name = match name {
        "creation_time" | "creation_timestamp" => "creation_timestamp_ms",
        "last_updated_timestamp" => "last_updated_timestamp_ms",
        other => other,
    };
    ATTRIBUTES.into_iter().find(|attribute| *attribute == name)
}

/// Entity type and key.
fn entity(identifier: &str) -> Result<(&str, &str)> {
    let named = identifier.split_once('.').filter(|(entity, key)| {
        let lowercase = !entity.is_empty() && entity.bytes().all(|b| b.is_ascii_lowercase());
        lowercase && !key.is_empty() && !key.contains('\n')
    });
    let Some((entity, key)) = named else { return Ok(("attributes", identifier.trim_matches('`'))) };
    if !ENTITIES.contains(&entity) {
        let (entity, valid) = (python::repr(entity), python::repr_list(&ENTITIES));
        return bad(format!("Invalid entity type: {entity}. Expected one of {valid}."));
    }
    Ok((entity, key.trim_matches('`')))
}

struct Raw<'t> {
    entity: &'t str,
    key: &'t str,
    op: Operator,
    number: Option<f64>,
    right: &'t str,
}

fn raw<'t>(identifier: &'t str, op: &str, right: &'t str) -> Result<Raw<'t>> {
    let (entity, key) = entity(identifier)?;
    let column = column(key);
    let shown = column.filter(|_| !identifier.contains('.')).unwrap_or(key);
    let numeric =
        entity == "metrics" || (entity == "attributes" && column.is_some_and(|column| column.ends_with("_ms")));
    let allowed = if numeric { NUMERIC } else { TEXT };
    let Some(op) = clause::operator(op, &allowed) else {
        let allowed = python::repr_tuple(&allowed.map(Operator::as_str));
        let op = python::repr(op);
        return bad(format!("Invalid comparison operator for {entity}.{shown}: {op}. Expected one of {allowed}."));
    };
    let number = if numeric { python::float(right) } else { None };
    if numeric && number.is_none() {
        return bad(format!("could not convert string to float: {}", python::repr(right)));
    }
    Ok(Raw { entity, key, op, number, right })
}

fn check(Raw { entity, key, op, number, right }: Raw<'_>) -> Result<Comparison> {
    let value = if let Some(number) = number {
        Value::Number(number)
    } else if right.starts_with('(') && right.ends_with(')') {
        Value::TextList(literal::texts(right)?)
    } else {
        Value::Text(right.trim_matches('\'').into())
    };
    let field = match (entity, column(key)) {
        ("metrics", _) => Field::Metric(key.into()),
        ("params", _) => Field::Param(key.into()),
        ("tags", _) => Field::Tag(key.into()),
        (_, Some(column)) => Field::Attribute(column),
        (_, None) => return bad(format!("Invalid attribute key '{key}' specified.")),
    };
    Ok(Comparison { field, op, value })
}
