//! Label selectors: `app=web,tier!=cache,zone in (a,b),!canary,replicas>2`, and their JSON form.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use mcplane_core::{FieldError, FieldReason};
use serde_json::{Map, Value};

use super::{ParseSelectorError, check_count, check_length};
use crate::names;

/// What a requirement demands of one label. A single value in a set is the same as an equality.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LabelTest {
    /// The label has one of these values.
    In(BTreeSet<String>),
    /// The label has none of these values, or is absent.
    NotIn(BTreeSet<String>),
    /// The label is present.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// The label is an integer above this one.
    GreaterThan(i64),
    /// The label is an integer below this one.
    LessThan(i64),
}

impl LabelTest {
    /// Whether a label with this value, or its absence, passes.
    pub fn passes(&self, value: Option<&str>) -> bool {
        let integer = || value.and_then(|text| text.parse::<i64>().ok());
        match self {
            Self::In(values) => value.is_some_and(|value| values.contains(value)),
            Self::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Self::Exists => value.is_some(),
            Self::DoesNotExist => value.is_none(),
            Self::GreaterThan(bound) => integer().is_some_and(|value| value > *bound),
            Self::LessThan(bound) => integer().is_some_and(|value| value < *bound),
        }
    }
}

/// A test of one label; its key and values are well-formed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LabelRequirement {
    key: String,
    test: LabelTest,
}

impl LabelRequirement {
    /// The label's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is demanded of the label.
    pub fn test(&self) -> &LabelTest {
        &self.test
    }
}

/// Requirements that must all hold. The default one selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// Sorted, so that equal selectors have equal texts.
    requirements: Vec<LabelRequirement>,
}

impl LabelSelector {
    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The requirements, sorted by key.
    pub fn requirements(&self) -> impl Iterator<Item = &LabelRequirement> {
        self.requirements.iter()
    }

    /// Whether all requirements hold for the labels that `value_of` gives.
    pub fn matches<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|requirement| requirement.test.passes(value_of(&requirement.key)))
    }

    /// Whether all requirements hold for these labels.
    pub fn matches_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches(|key| labels.get(key).map(String::as_str))
    }

    /// Whether all requirements hold for an object's `metadata.labels`.
    pub fn matches_object(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.matches(|key| labels.get(key).and_then(Value::as_str))
    }

    fn new(mut requirements: Vec<LabelRequirement>) -> Self {
        requirements.sort();
        requirements.dedup();
        Self { requirements }
    }

    /// From `matchLabels` and `matchExpressions`; `path` is where `value` stands in its object. An empty object selects
    /// everything. What the absence of a selector means is for the caller to say.
    ///
    /// # Errors
    /// Every rule of label selectors that is broken.
    pub fn from_json(value: &Value, path: &str) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut requirements = Vec::new();
        if !value.is_object() {
            return Err(vec![wrong_type(path, "a label selector must be an object")]);
        }
        match &value["matchLabels"] {
            Value::Null => {}
            Value::Object(labels) => match_labels(labels, path, &mut requirements, &mut errors),
            _ => errors.push(wrong_type(&format!("{path}.matchLabels"), "must be an object")),
        }
        match &value["matchExpressions"] {
            Value::Null => {}
            Value::Array(expressions) => {
                for (index, expression) in expressions.iter().enumerate() {
                    match match_expression(expression, &format!("{path}.matchExpressions[{index}]")) {
                        Ok(requirement) => requirements.push(requirement),
                        Err(error) => errors.push(error),
                    }
                }
            }
            _ => errors.push(wrong_type(&format!("{path}.matchExpressions"), "must be an array")),
        }
        if let Err(error) = check_count(requirements.len()) {
            errors.push(FieldError::new(path, FieldReason::TooMany, error.to_string()));
        }
        if errors.is_empty() { Ok(Self::new(requirements)) } else { Err(errors) }
    }
}

fn wrong_type(path: &str, detail: &str) -> FieldError {
    FieldError::new(path, FieldReason::TypeInvalid, detail)
}

fn match_labels(
    labels: &Map<String, Value>,
    path: &str,
    requirements: &mut Vec<LabelRequirement>,
    errors: &mut Vec<FieldError>,
) {
    let path = format!("{path}.matchLabels");
    for (key, value) in labels {
        let Some(text) = value.as_str() else {
            errors.push(wrong_type(&format!("{path}[{key}]"), "must be a string"));
            continue;
        };
        let broken = names::qualified_name(key).map_err(|fault| FieldError::invalid(&path, key.as_str(), fault));
        let broken = broken.and_then(|()| {
            names::label_value(text).map_err(|fault| FieldError::invalid(format!("{path}[{key}]"), text, fault))
        });
        match broken {
            Ok(()) => {
                let test = LabelTest::In(BTreeSet::from([text.to_owned()]));
                requirements.push(LabelRequirement { key: key.clone(), test });
            }
            Err(error) => errors.push(error),
        }
    }
}

fn match_expression(expression: &Value, path: &str) -> Result<LabelRequirement, FieldError> {
    let at = |field: &str| format!("{path}.{field}");
    let key = expression["key"].as_str().unwrap_or_default();
    names::qualified_name(key).map_err(|fault| FieldError::invalid(at("key"), key, fault))?;

    let mut values = BTreeSet::new();
    match &expression["values"] {
        Value::Null => {}
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                let field = at(&format!("values[{index}]"));
                let Some(text) = value.as_str() else { return Err(wrong_type(&field, "must be a string")) };
                names::label_value(text).map_err(|fault| FieldError::invalid(field, text, fault))?;
                values.insert(text.to_owned());
            }
        }
        _ => return Err(wrong_type(&at("values"), "must be an array")),
    }
    let operator = expression["operator"].as_str().unwrap_or_default();
    let test = match operator {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            return Err(FieldError::required(at("values"), detail));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            return Err(FieldError::forbidden(at("values"), detail));
        }
        "In" => LabelTest::In(values),
        "NotIn" => LabelTest::NotIn(values),
        "Exists" => LabelTest::Exists,
        "DoesNotExist" => LabelTest::DoesNotExist,
        other => return Err(FieldError::invalid(at("operator"), other, "not a valid selector operator")),
    };
    Ok(LabelRequirement { key: key.to_owned(), test })
}

impl FromStr for LabelSelector {
    type Err = ParseSelectorError;

    fn from_str(text: &str) -> Result<Self, ParseSelectorError> {
        check_length(text)?;
        let requirements = Parser::new(text).selector()?;
        check_count(requirements.len())?;
        Ok(Self::new(requirements))
    }
}

const OPERATORS: &str = "in, notin, =, ==, !=, >, <";

/// A recursive-descent parser over tokens that are slices of the text; the empty token is the end. The words `in` and
/// `notin` are operators only where an operator stands, so that they can be keys and values too.
struct Parser<'a> {
    token: &'a str,
    rest: &'a str,
}

fn is_symbol(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        let mut parser = Self { token: "", rest: text };
        parser.advance();
        parser
    }

    /// Moves to the next token and gives the one before.
    fn advance(&mut self) -> &'a str {
        let text = self.rest.trim_start_matches(is_space);
        let length = match text.chars().next() {
            None => 0,
            Some(first) if is_symbol(first) => {
                if text.starts_with("==") || text.starts_with("!=") {
                    2
                } else {
                    1
                }
            }
            Some(_) => text.find(|c| is_symbol(c) || is_space(c)).unwrap_or(text.len()),
        };
        let (token, rest) = text.split_at(length);
        self.rest = rest;
        std::mem::replace(&mut self.token, token)
    }

    fn is_word(&self) -> bool {
        self.token.chars().next().is_some_and(|c| !is_symbol(c))
    }

    fn fault<T>(&self, expected: &str) -> Result<T, ParseSelectorError> {
        Err(ParseSelectorError(format!("found '{}', expected: {expected}", self.token)))
    }

    fn selector(mut self) -> Result<Vec<LabelRequirement>, ParseSelectorError> {
        let mut requirements = Vec::new();
        if self.token.is_empty() {
            return Ok(requirements);
        }
        if !self.is_word() && self.token != "!" {
            return self.fault("!, identifier, or 'end of string'");
        }
        loop {
            let requirement = self.requirement();
            requirements.push(
                requirement.map_err(|error| ParseSelectorError(format!("unable to parse requirement: {error}")))?,
            );
            match self.token {
                "" => return Ok(requirements),
                "," => self.advance(),
                _ => return self.fault("',' or 'end of string'"),
            };
            if !self.is_word() && self.token != "!" {
                return self.fault("identifier after ','");
            }
        }
    }

    fn requirement(&mut self) -> Result<LabelRequirement, ParseSelectorError> {
        let absent = self.token == "!";
        if absent {
            self.advance();
        }
        if !self.is_word() {
            return self.fault("identifier");
        }
        let key = self.advance();
        names::qualified_name(key).map_err(|fault| ParseSelectorError(invalid(key, &fault)))?;
        let test = if absent {
            LabelTest::DoesNotExist
        } else if matches!(self.token, "" | ",") {
            LabelTest::Exists
        } else {
            self.test(key)?
        };
        Ok(LabelRequirement { key: key.to_owned(), test })
    }

    fn test(&mut self, key: &str) -> Result<LabelTest, ParseSelectorError> {
        match self.token {
            "in" | "notin" => {
                let excludes = self.advance() == "notin";
                let values = self.value_set(key)?;
                Ok(if excludes { LabelTest::NotIn(values) } else { LabelTest::In(values) })
            }
            "=" | "==" | "!=" | ">" | "<" => {
                let operator = self.advance();
                let value = self.single_value(key)?;
                Ok(match operator {
                    ">" => LabelTest::GreaterThan(integer(value)?),
                    "<" => LabelTest::LessThan(integer(value)?),
                    "!=" => LabelTest::NotIn(BTreeSet::from([value.to_owned()])),
                    _ => LabelTest::In(BTreeSet::from([value.to_owned()])),
                })
            }
            _ => self.fault(OPERATORS),
        }
    }

    fn single_value(&mut self, key: &str) -> Result<&'a str, ParseSelectorError> {
        if matches!(self.token, "" | ",") {
            return Ok("");
        }
        if !self.is_word() {
            return self.fault("identifier");
        }
        let value = self.advance();
        check_value(key, value)?;
        Ok(value)
    }

    /// `(a,b)`; nothing between separators is the empty value.
    fn value_set(&mut self, key: &str) -> Result<BTreeSet<String>, ParseSelectorError> {
        if self.token != "(" {
            return self.fault("'('");
        }
        self.advance();
        let mut values = BTreeSet::new();
        loop {
            let value = if self.is_word() { self.advance() } else { "" };
            check_value(key, value)?;
            values.insert(value.to_owned());
            match self.token {
                "," => self.advance(),
                ")" => {
                    self.advance();
                    return Ok(values);
                }
                _ => return self.fault("',' or ')'"),
            };
        }
    }
}

fn check_value(key: &str, value: &str) -> Result<(), ParseSelectorError> {
    names::label_value(value)
        .map_err(|fault| ParseSelectorError(format!("values[0][{key}]: {}", invalid(value, &fault))))
}

fn integer(text: &str) -> Result<i64, ParseSelectorError> {
    text.parse().map_err(|_| {
        let rule = "for 'Gt', 'Lt' operators, the value must be an integer";
        ParseSelectorError(format!("values[0]: {}", invalid(text, rule)))
    })
}

fn invalid(text: &str, rule: &str) -> String {
    format!("Invalid value: {text:?}: {rule}")
}

impl fmt::Display for LabelRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let (values, equality, set) = match &self.test {
            LabelTest::Exists => return f.write_str(key),
            LabelTest::DoesNotExist => return write!(f, "!{key}"),
            LabelTest::GreaterThan(bound) => return write!(f, "{key}>{bound}"),
            LabelTest::LessThan(bound) => return write!(f, "{key}<{bound}"),
            LabelTest::In(values) => (values, "=", "in"),
            LabelTest::NotIn(values) => (values, "!=", "notin"),
        };
        let list: Vec<&str> = values.iter().map(String::as_str).collect();
        match list.as_slice() {
            [value] => write!(f, "{key}{equality}{value}"),
            values => write!(f, "{key} {set} ({})", values.join(",")),
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
