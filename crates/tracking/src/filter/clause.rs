//! What the grammars of the entity kinds share: a filter is a list of comparisons, whose left side names a field and
//! whose right side is a quoted text, a number or a list.

use mcplane_core::{Error, Result};

use super::ast::{Comparison, Operator, Value};
use super::lexer::{Kind, Node};
use super::statement::{self, Item, Parsed, Timestamp};
use super::{MAX_CLAUSES, MAX_LENGTH, literal, python};

pub(super) fn bad<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::bad_request(message))
}

/// The two or three parts of a comparison. The left one is an identifier.
pub(super) struct Parts<'n, 'a> {
    pub left: &'a str,
    pub op: &'n str,
    pub right: Option<&'n Node<'a>>,
}

/// How a kind of entity words its messages.
#[derive(Clone, Copy)]
pub(super) struct Style {
    /// Quotes around each invalid clause.
    pub quoted: bool,
    pub timestamp: Timestamp,
}

pub(super) fn check_length(text: &str) -> Result<()> {
    if text.len() > MAX_LENGTH {
        return bad(format!("The filter is {} bytes long; at most {MAX_LENGTH} are allowed.", text.len()));
    }
    Ok(())
}

pub(super) fn check_count(count: usize) -> Result<()> {
    if count > MAX_CLAUSES {
        return bad(format!("The filter contains {count} comparisons; at most {MAX_CLAUSES} are allowed."));
    }
    Ok(())
}

/// Parses a filter, every comparison by `comparison`. No text means no comparison.
pub(super) fn parse<T>(filter: &str, style: Style, comparison: impl Fn(Parts<'_, '_>) -> Result<T>) -> Result<Vec<T>> {
    if filter.is_empty() {
        return Ok(Vec::new());
    }
    check_length(filter)?;
    let nodes = match statement::parse(filter) {
        Ok(Parsed::One(nodes)) => nodes,
        Ok(Parsed::Nothing) => return bad(format!("Invalid filter '{filter}'. Could not be parsed.")),
        Ok(Parsed::Many) => {
            let filter = python::repr(filter);
            return bad(format!(
                "Search filter contained multiple expression {filter}. Provide AND-ed expression list."
            ));
        }
        Err(_) => return bad(format!("Error on parsing filter '{filter}'")),
    };
    let items = statement::items(&nodes, style.timestamp);
    let invalid: Vec<_> = items.iter().filter_map(|item| invalid(item, style.quoted)).collect();
    if !invalid.is_empty() {
        return bad(format!("Invalid clause(s) in filter string: {}", invalid.join(", ")));
    }
    let parts: Vec<_> = items.iter().filter(|item| is_comparison(item)).map(parts).collect::<Result<_>>()?;
    check_count(parts.len())?;
    parts.into_iter().map(comparison).collect()
}

fn is_comparison(item: &Item<'_, '_>) -> bool {
    match item {
        Item::Piece(node) => node.kind == Kind::Comparison,
        Item::Words { .. } => true,
    }
}

fn invalid(item: &Item<'_, '_>, quoted: bool) -> Option<String> {
    match item {
        Item::Piece(node) if node.kind != Kind::Comparison && !node.is_word("AND") => {
            Some(if quoted { format!("'{}'", node.text) } else { node.text.into() })
        }
        _ => None,
    }
}

fn parts<'n, 'a>(item: &Item<'n, 'a>) -> Result<Parts<'n, 'a>> {
    let node = match item {
        Item::Words { left, op, right } => return Ok(Parts { left: left.text, op, right: *right }),
        Item::Piece(node) => *node,
    };
    let tokens: Vec<_> = node.nodes.iter().filter(|node| !node.kind.is_space()).collect();
    let [left, op, right] = tokens.as_slice() else {
        return bad(format!("Invalid comparison clause. Expected 3 tokens found {}", tokens.len()));
    };
    if left.kind != Kind::Identifier {
        return bad(format!("Invalid comparison clause. Expected 'Identifier' found '{}'", left.text));
    }
    Ok(Parts { left: left.text, op: op.text, right: Some(right) })
}

/// The name of an entity type before the first period, and the key behind it; no period means an attribute.
pub(super) fn split(identifier: &str) -> (Option<&str>, &str) {
    identifier.split_once('.').map_or((None, identifier), |(entity, key)| (Some(entity), key))
}

fn unwrapped(text: &str, quote: char) -> Option<&str> {
    text.strip_prefix(quote)?.strip_suffix(quote)
}

pub(super) fn trim_backticks(text: &str) -> &str {
    unwrapped(text, '`').unwrap_or(text)
}

/// A key without its quotes or backticks.
pub(super) fn key(text: &str) -> &str {
    trim_backticks(unwrapped(text, '\'').or_else(|| unwrapped(text, '"')).unwrap_or(text))
}

/// The text of a value in quotes. Quotes within stay doubled or escaped, as clients know it.
pub(super) fn quoted(text: &str) -> Result<Value> {
    match unwrapped(text, '\'').or_else(|| unwrapped(text, '"')) {
        Some(text) => Ok(Value::Text(text.into())),
        None => bad(format!(
            "Parameter value is either not quoted or unidentified quote types used for string value {text}. \
             Use either single or double quotes."
        )),
    }
}

/// Whether a value is a text; names are, so that the message about missing quotes can name them.
pub(super) fn is_text(node: &Node<'_>) -> bool {
    matches!(node.kind, Kind::Single | Kind::Identifier)
}

/// The right side of a comparison that has one.
pub(super) fn right<'n, 'a>(parts: &Parts<'n, 'a>) -> Result<&'n Node<'a>> {
    match parts.right {
        Some(node) => Ok(node),
        None => bad("Invalid comparison clause. Expected 3 tokens found 2"),
    }
}

/// A whole number stays one.
pub(super) fn number(node: &Node<'_>) -> Option<Value> {
    match node.kind {
        Kind::Integer => node.text.parse().map(Value::Integer).ok().or_else(|| float(node)),
        Kind::Float => float(node),
        _ => None,
    }
}

/// A number as a metric has it.
pub(super) fn float(node: &Node<'_>) -> Option<Value> {
    matches!(node.kind, Kind::Integer | Kind::Float).then(|| node.text.parse().map(Value::Number).ok()).flatten()
}

pub(super) fn text_for(entity: &str, node: &Node<'_>) -> Result<Value> {
    if is_text(node) {
        return quoted(node.text);
    }
    bad(format!("Expected a quoted string value for {entity} (e.g. 'my-value'). Got value {}", node.text))
}

pub(super) fn list(node: &Node<'_>) -> Result<Value> {
    literal::texts(node.text).map(Value::TextList)
}

/// A list, for the keys that may be compared with one.
pub(super) fn list_for(key: &str, allowed: &[&str], node: &Node<'_>) -> Result<Value> {
    if !allowed.contains(&key) {
        let allowed = python::repr_list(allowed);
        return bad(format!("Only {allowed} attributes support comparison with a list of quoted string values."));
    }
    list(node)
}

/// One of `allowed`, which is why it outlives the filter.
pub(super) fn attribute(key: &str, allowed: &[&'static str]) -> Result<&'static str> {
    match allowed.iter().find(|name| **name == key) {
        Some(name) => Ok(name),
        None => {
            let allowed = python::repr_set(allowed);
            bad(format!("Invalid attribute key '{key}' specified. Valid keys are '{allowed}'"))
        }
    }
}

/// `{'!=', '=', ...}`
pub(super) fn operators(allowed: &[Operator]) -> String {
    python::repr_set(&allowed.iter().map(|op| op.as_str()).collect::<Vec<_>>())
}

pub(super) fn operator(text: &str, allowed: &[Operator]) -> Option<Operator> {
    Operator::parse(text).filter(|op| allowed.contains(op))
}

/// Checks every comparison. Errors of the grammar come before those of any check, and those before the last one: lists
/// go with `IN`, everything else with everything else.
pub(super) fn check_all<T>(raw: Vec<T>, check: impl Fn(T) -> Result<Comparison>) -> Result<Vec<Comparison>> {
    let comparisons: Vec<_> = raw.into_iter().map(check).collect::<Result<_>>()?;
    for Comparison { op, value, .. } in &comparisons {
        let fits = match op {
            Operator::In | Operator::NotIn => matches!(value, Value::TextList(_)),
            Operator::IsNull | Operator::IsNotNull => *value == Value::Null,
            _ => !matches!(value, Value::TextList(_) | Value::Null),
        };
        if !fits {
            let op = op.as_str();
            return bad(format!("Invalid comparison clause. The value does not go with the comparator '{op}'"));
        }
    }
    Ok(comparisons)
}
