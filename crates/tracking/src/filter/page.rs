//! Page tokens: base64 of a JSON object that says where the next page starts. Clients hand them back unread, so they
//! carry nothing secret and are not trusted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcplane_core::Result;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::clause::bad;
use super::logged_models::OrderBy;
use super::python;

/// Tokens longer than that are not ours.
const MAX_LENGTH: usize = 4 * super::MAX_LENGTH;

/// Where a page starts, in every list but that of logged models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageToken {
    /// How many items come before it.
    pub offset: u64,
}

impl PageToken {
    /// The token as clients get it.
    pub fn encode(self) -> String {
        STANDARD.encode(format!("{{\"offset\": {}}}", self.offset))
    }

    /// The token that a client sent; no text is the first page.
    pub fn decode(token: &str) -> Result<Self> {
        if token.is_empty() {
            return Ok(Self::default());
        }
        let Some(bytes) = bytes(token)? else { return bad("Invalid page token, could not base64-decode") };
        let Ok(parsed) = serde_json::from_slice::<Value>(&bytes) else {
            return bad(format!("Invalid page token, decoded value={}", python::repr_bytes(&bytes)));
        };
        let invalid = || bad(format!("Invalid page token, parsed value={}", python::repr_json(&parsed)));
        match parsed.get("offset") {
            Some(Value::String(text)) if !text.is_empty() => match python::int(text) {
                Some(digits) => Ok(Self { offset: saturated(&digits) }),
                None => bad(format!("Invalid page token, not stringable {text}")),
            },
            Some(Value::Bool(true)) => Ok(Self { offset: 1 }),
            Some(Value::Number(number)) if number.as_f64() != Some(0.0) => {
                // A fraction is cut off.
                let offset = number.as_u64().or_else(|| number.as_f64().map(|number| number as u64));
                Ok(Self { offset: offset.unwrap_or_default().min(i64::MAX as u64) })
            }
            _ => invalid(),
        }
    }
}

/// Decoded, if it is base64.
fn bytes(token: &str) -> Result<Option<Vec<u8>>> {
    if token.len() > MAX_LENGTH {
        return bad(format!("Invalid page token, longer than {MAX_LENGTH} bytes"));
    }
    Ok(python::base64_decode(token))
}

/// Less than nothing is nothing, and no database counts further than `i64`.
fn saturated(digits: &str) -> u64 {
    if digits.starts_with('-') { 0 } else { digits.parse().unwrap_or(u64::MAX).min(i64::MAX as u64) }
}

/// Where a page of logged models starts, and the search it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LoggedModelsToken {
    /// The experiments that are searched.
    #[serde(default)]
    pub experiment_ids: Option<Vec<String>>,
    /// The filter.
    #[serde(rename = "filter_string", default, deserialize_with = "none_if_empty")]
    pub filter: Option<String>,
    /// The order.
    #[serde(default, deserialize_with = "none_if_no_items")]
    pub order_by: Option<Vec<OrderBy>>,
    /// How many logged models come before it.
    #[serde(default, deserialize_with = "zero_if_null")]
    pub offset: u64,
}

fn none_if_empty<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(input)?.filter(|text| !text.is_empty()))
}

fn none_if_no_items<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Vec<OrderBy>>, D::Error> {
    Ok(Option::<Vec<OrderBy>>::deserialize(input)?.filter(|items| !items.is_empty()))
}

fn zero_if_null<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
    Ok(Option::<i64>::deserialize(input)?.map_or(0, |offset| u64::try_from(offset).unwrap_or_default()))
}

impl LoggedModelsToken {
    /// The token as clients get it.
    pub fn encode(&self) -> String {
        let text = |text: &Option<String>| text.as_deref().map_or("null".into(), python::json_text);
        let list = |items: Option<Vec<String>>| items.map_or("null".into(), |items| format!("[{}]", items.join(", ")));
        let experiments = self.experiment_ids.as_ref().map(|ids| ids.iter().map(|id| python::json_text(id)).collect());
        let order = |order: &OrderBy| {
            format!(
                "{{\"field_name\": {}, \"ascending\": {}, \"dataset_name\": {}, \"dataset_digest\": {}}}",
                python::json_text(&order.field_name),
                order.ascending,
                text(&order.dataset_name),
                text(&order.dataset_digest),
            )
        };
        let orders = self.order_by.as_ref().map(|orders| orders.iter().map(order).collect());
        STANDARD.encode(format!(
            "{{\"experiment_ids\": {}, \"filter_string\": {}, \"order_by\": {}, \"offset\": {}}}",
            list(experiments),
            text(&self.filter),
            list(orders),
            self.offset
        ))
    }

    /// The token that a client sent.
    pub fn decode(token: &str) -> Result<Self> {
        let text = bytes(token)?.and_then(|bytes| String::from_utf8(bytes).ok());
        let Some(text) = text else { return bad(format!("Invalid page token: {token}. It is not base64 of a text")) };
        match serde_json::from_str::<Value>(&text) {
            Ok(fields) => match serde_json::from_value(fields.clone()) {
                Ok(parsed) if fields.is_object() => Ok(parsed),
                _ => bad(format!("Invalid page token: {token}. It has unexpected fields")),
            },
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                let before: usize =
                    text.split_inclusive('\n').take(line.saturating_sub(1)).map(|l| l.chars().count()).sum();
                let at = before + column.saturating_sub(1);
                bad(format!("Invalid page token: {token}. Expecting value: line {line} column {column} (char {at})"))
            }
        }
    }

    /// Refuses a token that belongs to another search.
    pub fn check(&self, experiment_ids: &[String], filter: Option<&str>, order_by: Option<&[OrderBy]>) -> Result<()> {
        if self.experiment_ids.as_deref() != Some(experiment_ids) {
            let expected = python::repr_list(experiment_ids);
            let found = self.experiment_ids.as_deref().map_or("None".into(), python::repr_list);
            return bad(format!(
                "Experiment IDs in the page token do not match the requested experiment IDs. \
                 Expected: {expected}. Found: {found}"
            ));
        }
        if self.filter.as_deref() != filter {
            let shown = |filter: Option<&str>| filter.unwrap_or("None").to_owned();
            let (expected, found) = (shown(filter), shown(self.filter.as_deref()));
            return bad(format!(
                "Filter string in the page token does not match the requested filter string. \
                 Expected: {expected}. Found: {found}"
            ));
        }
        if self.order_by.as_deref() != order_by {
            let (expected, found) = (shown(order_by), shown(self.order_by.as_deref()));
            return bad(format!(
                "Order by in the page token does not match the requested order by. \
                 Expected: {expected}. Found: {found}"
            ));
        }
        Ok(())
    }
}

/// An order as Python shows it.
fn shown(order_by: Option<&[OrderBy]>) -> String {
    let text = |text: &Option<String>| text.as_deref().map_or("None".into(), python::repr);
    let clause = |order: &OrderBy| {
        format!(
            "{{'field_name': {}, 'ascending': {}, 'dataset_name': {}, 'dataset_digest': {}}}",
            python::repr(&order.field_name),
            if order.ascending { "True" } else { "False" },
            text(&order.dataset_name),
            text(&order.dataset_digest),
        )
    };
    match order_by {
        None => "None".into(),
        Some(orders) => format!("[{}]", orders.iter().map(clause).collect::<Vec<_>>().join(", ")),
    }
}
