//! The part of Google's Common Expression Language (CEL) that pipelines hold.
//!
//! A [`Condition`] (`triggerPolicy.condition`) speaks of the task's own inputs:
//! `int(inputs.parameter_values['pipelinechannel--n']) > 3 && !(inputs.parameter_values['s'] == 'x')`.
//! A [`Selector`] (`parameterExpressionSelector`) picks from one value: `parseJson(string_value)["key"]`.
//!
//! Supported: `inputs.parameter_values`, `string_value`, members and indexes, literals, `int()`, `double()`,
//! `string()`, `bool()`, `size()`, `parseJson()`, `== != < <= > >= && || !` and parentheses. Numbers compare as numbers;
//! values of different kinds are unequal, and ordering them is an error; `&&` and `||` ignore an error in one operand
//! where the other decides, as CEL does. The SDK does not escape quotes in literals, so a condition on a text with a
//! quote does not parse.

mod evaluate;
mod lexer;
mod parser;

use std::borrow::Cow;

use serde_json::Value;

use crate::values::{Parameters, kind_of, text};
use evaluate::{Operand, evaluate};
use parser::Expression;

/// Bytes of an expression.
pub const MAX_LENGTH: usize = 64 << 10;
/// How deep parentheses, negations and calls nest.
pub const MAX_DEPTH: usize = 64;

/// When a task runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition(Expression);

impl Condition {
    /// Reads an expression; the error says what is wrong and at which byte.
    pub fn parse(text: &str) -> Result<Self, String> {
        parser::parse(text).map(Self)
    }

    /// Whether the task with these inputs runs.
    ///
    /// # Errors
    /// An input is missing, values do not fit the operator, or the result is no boolean.
    pub fn evaluate(&self, inputs: &Parameters) -> Result<bool, String> {
        match evaluate(&self.0, &Operand::Inputs(inputs))? {
            Operand::Value(value) => match value.as_ref() {
                Value::Bool(result) => Ok(*result),
                other => Err(format!("the condition is a {}, not a boolean", kind_of(other))),
            },
            _ => Err("the condition is not a boolean".to_owned()),
        }
    }
}

/// What a task takes of a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector(Expression);

impl Selector {
    /// Reads an expression; the error says what is wrong and at which byte.
    pub fn parse(text: &str) -> Result<Self, String> {
        parser::parse(text).map(Self)
    }

    /// Applies the selector; `string_value` is the text of `value` whatever its type.
    ///
    /// # Errors
    /// The text is no JSON, or does not hold the key.
    pub fn apply(&self, value: &Value) -> Result<Value, String> {
        match evaluate(&self.0, &Operand::Selected(value))? {
            Operand::Value(value) => Ok(value.into_owned()),
            _ => Err("the selector picks nothing".to_owned()),
        }
    }
}

/// The text that `parseJson` reads again is not made where the value is at hand.
fn string_value(value: &Value) -> Cow<'_, Value> {
    match value {
        Value::String(_) => Cow::Borrowed(value),
        other => Cow::Owned(Value::String(text(other).into_owned())),
    }
}

#[cfg(test)]
mod tests;
