//! What an expression is, given its inputs.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::parser::{Comparison, Expression, Function, Name};
use super::string_value;
use crate::values::{Parameters, excerpt, kind_of, normalized, parse_bool, text};

/// A value, or what members are taken from.
#[derive(Clone)]
pub(super) enum Operand<'a> {
    Value(Cow<'a, Value>),
    /// `inputs`, in the environment of a condition.
    Inputs(&'a Parameters),
    /// `inputs.parameter_values`.
    Parameters(&'a Parameters),
    /// The environment of a selector.
    Selected(&'a Value),
}

pub(super) fn evaluate<'a>(expression: &'a Expression, environment: &Operand<'a>) -> Result<Operand<'a>, String> {
    let owned = |value: Value| Ok(Operand::Value(Cow::Owned(value)));
    match expression {
        Expression::Literal(value) => Ok(Operand::Value(Cow::Borrowed(value))),
        Expression::Name(Name::Inputs) => match environment {
            Operand::Inputs(_) => Ok(environment.clone()),
            _ => Err("there are no inputs here".to_owned()),
        },
        Expression::Name(Name::StringValue) => match environment {
            Operand::Selected(value) => Ok(Operand::Value(string_value(value))),
            _ => Err("there is no string_value here".to_owned()),
        },
        Expression::Member(of, key) => {
            let key = value(key, environment)?;
            member(evaluate(of, environment)?, &key)
        }
        // Without a detour over text.
        Expression::Call(Function::ParseJson, inner) if **inner == Expression::Name(Name::StringValue) => {
            match environment {
                Operand::Selected(value @ (Value::Object(_) | Value::Array(_))) => {
                    Ok(Operand::Value(Cow::Borrowed(value)))
                }
                _ => owned(call(Function::ParseJson, value(inner, environment)?.as_ref())?),
            }
        }
        Expression::Call(function, operand) => owned(call(*function, value(operand, environment)?.as_ref())?),
        Expression::Not(operand) => owned((!truth(operand, environment)?).into()),
        Expression::Negative(operand) => match value(operand, environment)?.as_ref() {
            Value::Number(number) => owned(negative(number).ok_or("the number is too large to negate")?),
            other => Err(format!("a {} can't be negated", kind_of(other))),
        },
        Expression::Compare(comparison, left, right) => {
            let (left, right) = (value(left, environment)?, value(right, environment)?);
            owned(compare(*comparison, &left, &right)?.into())
        }
        Expression::All(operands) => owned(decide(operands, environment, false)?.into()),
        Expression::Any(operands) => owned(decide(operands, environment, true)?.into()),
    }
}

fn value<'a>(expression: &'a Expression, environment: &Operand<'a>) -> Result<Cow<'a, Value>, String> {
    match evaluate(expression, environment)? {
        Operand::Value(value) => Ok(value),
        _ => Err("a whole map can't be used as a value".to_owned()),
    }
}

fn truth(expression: &Expression, environment: &Operand<'_>) -> Result<bool, String> {
    match value(expression, environment)?.as_ref() {
        Value::Bool(truth) => Ok(*truth),
        other => Err(format!("a {} is not a boolean", kind_of(other))),
    }
}

/// `&&` is decided by a false operand, `||` by a true one, whatever else is wrong.
fn decide(operands: &[Expression], environment: &Operand<'_>, deciding: bool) -> Result<bool, String> {
    let mut error = None;
    for operand in operands {
        match truth(operand, environment) {
            Ok(truth) if truth == deciding => return Ok(deciding),
            Ok(_) => {}
            Err(reason) => error = error.or(Some(reason)),
        }
    }
    error.map_or(Ok(!deciding), Err)
}

fn member<'a>(of: Operand<'a>, key: &Value) -> Result<Operand<'a>, String> {
    let missing = || format!("there is no {key}");
    let name = key.as_str();
    match of {
        Operand::Inputs(parameters) if name == Some("parameter_values") => Ok(Operand::Parameters(parameters)),
        Operand::Parameters(parameters) => {
            let value = name.and_then(|name| parameters.get(name)).ok_or_else(|| format!("there is no input {key}"))?;
            Ok(Operand::Value(Cow::Borrowed(value)))
        }
        Operand::Value(Cow::Borrowed(value)) => {
            Ok(Operand::Value(Cow::Borrowed(inside(value, key).ok_or_else(missing)?)))
        }
        Operand::Value(Cow::Owned(value)) => {
            Ok(Operand::Value(Cow::Owned(inside(&value, key).ok_or_else(missing)?.clone())))
        }
        Operand::Inputs(_) | Operand::Selected(_) => Err(missing()),
    }
}

fn inside<'a>(value: &'a Value, key: &Value) -> Option<&'a Value> {
    match key {
        Value::String(name) => value.get(name),
        Value::Number(index) => value.get(usize::try_from(index.as_u64()?).ok()?),
        _ => None,
    }
}

fn call(function: Function, operand: &Value) -> Result<Value, String> {
    let refused = |name: &str| format!("{name}() does not take {}", excerpt(&operand.to_string()));
    match function {
        Function::Int => int(operand).ok_or_else(|| refused("int")),
        Function::Double => double(operand).ok_or_else(|| refused("double")),
        Function::String => match operand {
            Value::Null | Value::Array(_) | Value::Object(_) => Err(refused("string")),
            scalar => Ok(Value::String(text(scalar).into_owned())),
        },
        Function::Bool => match operand {
            Value::Bool(_) => Ok(operand.clone()),
            Value::String(text) => parse_bool(text).map(Value::Bool).ok_or_else(|| refused("bool")),
            _ => Err(refused("bool")),
        },
        Function::Size => match operand {
            Value::String(text) => Ok(text.chars().count().into()),
            Value::Array(items) => Ok(items.len().into()),
            Value::Object(entries) => Ok(entries.len().into()),
            _ => Err(refused("size")),
        },
        Function::ParseJson => match operand {
            Value::String(text) => serde_json::from_str(text).map(normalized).map_err(|_| refused("parseJson")),
            _ => Err(refused("parseJson")),
        },
    }
}

/// Towards zero, as CEL.
fn int(operand: &Value) -> Option<Value> {
    match operand {
        Value::Number(number) if number.is_f64() => {
            let whole = number.as_f64()?.trunc();
            #[expect(clippy::cast_possible_truncation, reason = "checked to fit")]
            (whole.abs() < 9.2e18).then_some(Value::from(whole as i64))
        }
        Value::Number(_) => Some(operand.clone()),
        Value::String(text) => text.parse::<i64>().ok().map(Value::from),
        _ => None,
    }
}

fn double(operand: &Value) -> Option<Value> {
    match operand {
        Value::Number(_) => Some(operand.clone()),
        Value::String(text) => Number::from_f64(text.parse().ok()?).map(|number| normalized(Value::Number(number))),
        _ => None,
    }
}

fn negative(number: &Number) -> Option<Value> {
    match number.as_i64() {
        Some(integer) => integer.checked_neg().map(Value::from),
        None => Number::from_f64(-number.as_f64()?).map(Value::Number),
    }
}

fn compare(comparison: Comparison, left: &Value, right: &Value) -> Result<bool, String> {
    let order = match (left, right) {
        (Value::Number(left), Value::Number(right)) => numbers(left, right),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        _ => None,
    };
    let unordered = || format!("a {} and a {} can't be ordered", kind_of(left), kind_of(right));
    Ok(match comparison {
        Comparison::Equal => order.map_or(left == right, Ordering::is_eq),
        Comparison::Unequal => !order.map_or(left == right, Ordering::is_eq),
        Comparison::Less => order.ok_or_else(unordered)?.is_lt(),
        Comparison::LessOrEqual => order.ok_or_else(unordered)?.is_le(),
        Comparison::Greater => order.ok_or_else(unordered)?.is_gt(),
        Comparison::GreaterOrEqual => order.ok_or_else(unordered)?.is_ge(),
    })
}

fn numbers(left: &Number, right: &Number) -> Option<Ordering> {
    match (left.as_i64(), right.as_i64()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}
