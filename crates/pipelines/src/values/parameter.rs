//! Types of parameters, and what a value is in each.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

/// Largest magnitude up to which a 64-bit float holds every integer.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// `ParameterType.ParameterTypeEnum` of the pipeline specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ParameterType {
    /// Any number.
    NumberDouble,
    /// A number without fraction.
    NumberInteger,
    /// Text; every other value becomes its text.
    String,
    /// `true` or `false`.
    Boolean,
    /// A JSON array.
    List,
    /// A JSON object.
    Struct,
    /// How an upstream task ended, for exit tasks.
    TaskFinalStatus,
    /// Settings of the task that the component applies itself.
    TaskConfig,
}

impl ParameterType {
    /// From the name or the number of the enumeration; the names of the older `PrimitiveType` too.
    pub fn from_json(value: &Value) -> Option<Self> {
        let name = match value {
            Value::String(name) => name.as_str(),
            Value::Number(number) => [
                "NUMBER_DOUBLE",
                "NUMBER_INTEGER",
                "STRING",
                "BOOLEAN",
                "LIST",
                "STRUCT",
                "TASK_FINAL_STATUS",
                "TASK_CONFIG",
            ]
            .get(usize::try_from(number.as_u64()?.checked_sub(1)?).ok()?)
            .copied()?,
            _ => return None,
        };
        Some(match name {
            "NUMBER_DOUBLE" | "DOUBLE" => Self::NumberDouble,
            "NUMBER_INTEGER" | "INT" => Self::NumberInteger,
            "STRING" => Self::String,
            "BOOLEAN" => Self::Boolean,
            "LIST" => Self::List,
            "STRUCT" => Self::Struct,
            "TASK_FINAL_STATUS" => Self::TaskFinalStatus,
            "TASK_CONFIG" => Self::TaskConfig,
            _ => return None,
        })
    }

    /// The name in the specification.
    pub fn name(self) -> &'static str {
        match self {
            Self::NumberDouble => "NUMBER_DOUBLE",
            Self::NumberInteger => "NUMBER_INTEGER",
            Self::String => "STRING",
            Self::Boolean => "BOOLEAN",
            Self::List => "LIST",
            Self::Struct => "STRUCT",
            Self::TaskFinalStatus => "TASK_FINAL_STATUS",
            Self::TaskConfig => "TASK_CONFIG",
        }
    }
}

/// The value with every integral number as an integer, at any depth.
pub fn normalized(mut value: Value) -> Value {
    normalize(&mut value);
    value
}

fn normalize(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(integer) = integral(number) {
                *number = integer.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalize),
        Value::Object(entries) => entries.values_mut().for_each(normalize),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// A float that is an integer, exactly.
fn integral(number: &Number) -> Option<i64> {
    if !number.is_f64() {
        return None;
    }
    let float = number.as_f64()?;
    #[expect(clippy::cast_possible_truncation, reason = "integral and within 2^53")]
    (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
}

/// What a value is, in the terms of [`ParameterType`], for messages.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "BOOLEAN",
        Value::Number(number) if number.is_f64() => "NUMBER_DOUBLE",
        Value::Number(_) => "NUMBER_INTEGER",
        Value::String(_) => "STRING",
        Value::Array(_) => "LIST",
        Value::Object(_) => "STRUCT",
    }
}

/// A [`normalized`], non-null value as one of the type: everything has a text, every other mismatch is an error that
/// says both types.
pub fn convert(value: Arc<Value>, to: ParameterType) -> Result<Arc<Value>, String> {
    let fits = match (to, value.as_ref()) {
        (ParameterType::String, Value::String(_)) => true,
        (ParameterType::String, other) => return Ok(Arc::new(Value::String(text(other).into_owned()))),
        (ParameterType::NumberDouble, Value::Number(_)) => true,
        (ParameterType::NumberInteger, Value::Number(number)) => !number.is_f64(),
        (ParameterType::Boolean, Value::Bool(_)) => true,
        (ParameterType::List, Value::Array(_)) => true,
        (ParameterType::Struct | ParameterType::TaskFinalStatus | ParameterType::TaskConfig, Value::Object(_)) => true,
        _ => false,
    };
    if fits { Ok(value) } else { Err(format!("expected {}, got {}", to.name(), kind_of(&value))) }
}

/// Checks a value against `typing.Literal`'s list; an empty list allows everything.
pub fn within(value: &Value, literals: &[Value]) -> Result<(), String> {
    if literals.is_empty() || literals.contains(value) {
        return Ok(());
    }
    let allowed: Vec<String> = literals.iter().map(Value::to_string).collect();
    Err(format!("{} is not one of {}", excerpt(&value.to_string()), allowed.join(", ")))
}

/// The text of a value where it is put into a command or becomes a string: strings as they are, numbers without
/// exponent and without `.0`, lists and objects as compact JSON, null as nothing (KFP's `PbValueToText`).
pub fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::String(text) => Cow::Borrowed(text),
        Value::Bool(true) => Cow::Borrowed("true"),
        Value::Bool(false) => Cow::Borrowed("false"),
        // Rust writes floats as Go's 'f' format does: the shortest digits that read back, never an exponent.
        Value::Number(number) if number.is_f64() => Cow::Owned(number.as_f64().unwrap_or_default().to_string()),
        Value::Number(number) => Cow::Owned(number.to_string()),
        Value::Array(_) | Value::Object(_) => Cow::Owned(value.to_string()),
    }
}

/// A value from a person's text, as in `--parameter rate=0.1`: strings as they are, everything else as JSON.
pub fn parse_argument(to: ParameterType, text: &str) -> Result<Value, String> {
    let wrong = || format!("{:?} is not a {}", excerpt(text), to.name());
    let value = match to {
        ParameterType::String => return Ok(Value::String(text.to_owned())),
        ParameterType::Boolean => return parse_bool(text.trim()).map(Value::Bool).ok_or_else(wrong),
        _ => normalized(serde_json::from_str(text).map_err(|_| wrong())?),
    };
    convert(Arc::new(value), to).map(Arc::unwrap_or_clone).map_err(|_| wrong())
}

/// Booleans as Go's `strconv.ParseBool` reads them.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// The beginning of a text that is too long for a message.
pub(crate) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
