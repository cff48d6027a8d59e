//! The fields of a request, read as the protocol's messages are: a field that is left out has its zero value, numbers may
//! come as texts, names may come in camel case. Texts of errors are the protocol's.

use std::fmt::Write as _;

use mcplane_core::{Error, Result};
use serde_json::{Map, Value};

use crate::query::View;

/// The named values of a request or of a message in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields {
    values: Map<String, Value>,
    from_query: bool,
}

impl Fields {
    /// The fields of a body. What is no JSON object has none, as for the reference: its required fields are missed.
    pub(crate) fn from_json(body: &[u8]) -> Self {
        let value = match serde_json::from_slice(body) {
            // Old clients send their JSON encoded twice.
            Ok(Value::String(text)) => serde_json::from_str(&text).unwrap_or_default(),
            Ok(value) => value,
            Err(_) => Value::Null,
        };
        Self::from_value(value)
    }

    fn from_value(value: Value) -> Self {
        match value {
            Value::Object(values) => Self { values, from_query: false },
            _ => Self::default(),
        }
    }

    /// The parameters of a query; one that is repeated is a list.
    pub(crate) fn from_query(query: &str) -> Self {
        let mut values = Map::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = Value::String(value.into_owned());
            match values.get_mut(&*key) {
                None => drop(values.insert(key.into_owned(), value)),
                Some(Value::Array(items)) => items.push(value),
                Some(first) => *first = Value::Array(vec![first.take(), value]),
            }
        }
        Self { values, from_query: true }
    }

    /// The value as it was sent; `null` counts as left out.
    pub(crate) fn raw(&self, name: &str) -> Option<&Value> {
        let found = self.values.get(name).or_else(|| {
            if !name.contains('_') || self.from_query {
                return None;
            }
            self.values.get(&camel_case(name))
        });
        found.filter(|value| !value.is_null())
    }

    /// Whether the field was sent.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// A text that may be left out.
    pub(crate) fn optional_text(&self, name: &str) -> Result<Option<&str>> {
        match self.raw(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            // A parameter of a query that takes one value means its last.
            Some(Value::Array(items)) if self.from_query => Ok(items.first().and_then(Value::as_str)),
            Some(other) => Err(invalid(name, other)),
        }
    }

    /// A text, empty if left out.
    pub(crate) fn text(&self, name: &str) -> Result<&str> {
        Ok(self.optional_text(name)?.unwrap_or_default())
    }

    /// A text that must be there.
    pub(crate) fn required_text(&self, name: &str) -> Result<&str> {
        match self.text(name)? {
            "" => Err(missing(name)),
            text => Ok(text),
        }
    }

    /// The run that a request is about, by its new or its old name.
    pub(crate) fn run_id(&self) -> Result<&str> {
        match self.text("run_id")? {
            "" => match self.text("run_uuid")? {
                "" => Err(missing("run_id")),
                id => Ok(id),
            },
            id => Ok(id),
        }
    }

    /// A whole number that may be left out.
    pub(crate) fn optional_int(&self, name: &str) -> Result<Option<i64>> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        whole(value).map(Some).ok_or_else(|| invalid(name, value))
    }

    /// A whole number that must be there.
    pub(crate) fn required_int(&self, name: &str) -> Result<i64> {
        match self.raw(name) {
            Some(Value::String(text)) if text.is_empty() => Err(missing(name)),
            _ => self.optional_int(name)?.ok_or_else(|| missing(name)),
        }
    }

    /// A number that must be there; texts such as `"NaN"` are what JSON has for numbers that it lacks.
    pub(crate) fn required_number(&self, name: &str) -> Result<f64> {
        match self.raw(name) {
            None => Err(missing(name)),
            Some(Value::String(text)) if text.is_empty() => Err(missing(name)),
            Some(value) => number(value).ok_or_else(|| invalid(name, value)),
        }
    }

    /// A flag, false if left out.
    pub(crate) fn flag(&self, name: &str) -> Result<bool> {
        match self.raw(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if self.from_query => match text.to_ascii_lowercase().as_str() {
                "true" => Ok(true),
                "false" => Ok(false),
                _ => Err(Error::bad_request(format!("Invalid boolean value: {text}, must be 'true' or 'false'."))),
            },
            Some(other) => Err(invalid(name, other)),
        }
    }

    /// Active or deleted things, by name or number; what is unknown means active, as for the reference.
    pub(crate) fn view(&self, name: &str) -> View {
        match self.raw(name) {
            Some(Value::String(text)) if text == "ALL" => View::All,
            Some(Value::String(text)) if text == "DELETED_ONLY" => View::Deleted,
            Some(value) if whole(value) == Some(3) => View::All,
            Some(value) if whole(value) == Some(2) => View::Deleted,
            _ => View::Active,
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<&str>> {
        match self.raw(name) {
            None => Ok(vec![]),
            Some(Value::String(text)) if self.from_query => Ok(vec![text]),
            Some(whole @ Value::Array(items)) => {
                items.iter().map(|item| item.as_str().ok_or_else(|| invalid(name, whole))).collect()
            }
            Some(other) => Err(invalid(name, other)),
        }
    }

    /// A list of messages.
    pub(crate) fn messages(&self, name: &str) -> Result<Vec<Self>> {
        match self.raw(name) {
            None => Ok(vec![]),
            Some(whole @ Value::Array(items)) => items
                .iter()
                .map(
                    |item| {
                        if item.is_object() { Ok(Self::from_value(item.clone())) } else { Err(invalid(name, whole)) }
                    },
                )
                .collect(),
            Some(other) => Err(invalid(name, other)),
        }
    }

    /// A message that may be left out.
    pub(crate) fn message(&self, name: &str) -> Result<Option<Self>> {
        match self.raw(name) {
            None => Ok(None),
            Some(value @ Value::Object(_)) => Ok(Some(Self::from_value(value.clone()))),
            Some(other) => Err(invalid(name, other)),
        }
    }
}

fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

/// A 64-bit number, which may come as a text, or as a float without a fraction.
pub(crate) fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64().filter(|float| float.fract() == 0.0)?;
            // Beyond 2^63 the cast would saturate.
            (float.abs() < 9.2e18).then_some(float as i64)
        }),
        _ => None,
    }
}

/// A double, which may come as a text.
pub(crate) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.trim() {
            "NaN" | "nan" => Some(f64::NAN),
            "Infinity" | "inf" => Some(f64::INFINITY),
            "-Infinity" | "-inf" => Some(f64::NEG_INFINITY),
            text => text.parse().ok(),
        },
        _ => None,
    }
}

pub(crate) const SEE: &str = "See the API docs for more information about request parameters.";

/// A required field is not there.
pub(crate) fn missing(name: &str) -> Error {
    Error::bad_request(format!("Missing value for required parameter '{name}'. {SEE}"))
}

/// A field has a value of the wrong kind.
pub(crate) fn invalid(name: &str, value: &Value) -> Error {
    let kind = match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    };
    let shown = python_json(value);
    let message =
        format!("Invalid value {shown} for parameter '{name}' supplied:  Hint: Value was of type '{kind}'. {SEE}");
    Error::bad_request(message)
}

/// JSON as the reference prints it in messages: without spaces, in ASCII.
pub(crate) fn python_json(value: &Value) -> String {
    in_ascii(&value.to_string())
}

/// JSON with all other characters escaped.
pub(crate) fn in_ascii(text: &str) -> String {
    let mut ascii = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String can't fail.
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        Fields::from_json(json.as_bytes())
    }

    #[test]
    fn wrong_types_are_named_as_clients_expect() {
        let body = fields(r#"{"name": 5, "tags": "5", "ok": "x", "list": ["a", 1]}"#);
        assert_eq!(
            body.text("name").unwrap_err().to_string(),
            "Invalid value 5 for parameter 'name' supplied:  Hint: Value was of type 'int'. See the API docs for more \
             information about request parameters."
        );
        assert!(body.messages("tags").unwrap_err().to_string().starts_with("Invalid value \"5\" for parameter 'tags'"));
        assert!(body.texts("list").unwrap_err().to_string().contains("[\"a\",1]"));
        assert_eq!(
            body.required_text("gone").unwrap_err().to_string(),
            "Missing value for required parameter 'gone'. See the API docs for more information about request parameters."
        );
    }

    #[test]
    fn numbers_may_be_texts() {
        let body = fields(r#"{"a": "12", "b": 3.0, "c": 1.5, "d": "NaN", "e": true, "f": "-Infinity"}"#);
        assert_eq!(body.optional_int("a").unwrap(), Some(12));
        assert_eq!(body.optional_int("b").unwrap(), Some(3));
        assert!(body.optional_int("c").is_err() && body.optional_int("e").is_err());
        assert!(body.required_number("d").is_err() || body.required_number("d").unwrap().is_nan());
    }

    #[test]
    fn queries_repeat_names_for_lists_and_bodies_take_camel_case() {
        let query = Fields::from_query("ids=1&ids=2&one=x&yes=True");
        assert_eq!(query.texts("ids").unwrap(), ["1", "2"]);
        assert_eq!(query.texts("one").unwrap(), ["x"]);
        assert!(query.flag("yes").unwrap());
        assert!(query.flag("one").is_err());
        assert_eq!(fields(r#"{"experimentId": "7"}"#).text("experiment_id").unwrap(), "7");
        assert_eq!(Fields::from_json(br#""{\"name\": \"n\"}""#).text("name").unwrap(), "n");
    }

    #[test]
    fn text_in_messages_is_ascii() {
        assert_eq!(python_json(&"ä😀".into()), r#""\u00e4\ud83d\ude00""#);
    }
}
