//! What people, code and models said of a trace: feedback, expectations, references to issues.

use mcplane_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::types::{SESSION, check_texts, moment, parse_moment};
use crate::mlflow::fields::{Fields, invalid};
use crate::tags::check_length;

/// Kind of an assessment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Feedback = 0,
    Expectation = 1,
    Issue = 2,
}

impl Kind {
    pub(crate) fn from_number(number: i64) -> Result<Self> {
        let all = [Self::Feedback, Self::Expectation, Self::Issue];
        let known = all.into_iter().find(|kind| *kind as i64 == number);
        known.ok_or_else(|| Error::internal("an assessment of an unknown kind"))
    }
}

/// An assessment.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) value: Value,
    pub(crate) valid: bool,
    /// The assessment that this one replaces.
    pub(crate) overrides: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) details: Details,
}

/// What no search asks for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Details {
    pub(crate) source_type: String,
    pub(crate) source_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) span_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rationale: Option<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(crate) metadata: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Value>,
}

/// A change of an assessment; what is absent stays.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    pub(crate) name: Option<String>,
    pub(crate) expectation: Option<Value>,
    pub(crate) feedback: Option<(Value, Option<Value>)>,
    pub(crate) rationale: Option<String>,
    pub(crate) metadata: Option<Map<String, Value>>,
}

/// Where an assessment may come from.
const SOURCES: [&str; 5] = ["SOURCE_TYPE_UNSPECIFIED", "HUMAN", "LLM_JUDGE", "CODE", "AI_JUDGE"];
/// Longest trace of a stack that is shown.
const LONGEST_STACK: usize = 1000;
const CUT: &str = "[Stack trace is truncated]\n...\n";

impl Assessment {
    /// Reads an assessment from a request; the server gives it an id and, where the client is silent, the time.
    pub(crate) fn read(fields: &Fields, now: i64) -> Result<Self> {
        let (kind, value, error) = value(fields)?;
        let source = fields.message("source")?.unwrap_or_default();
        let given = source.text("source_type")?;
        let source_type = SOURCES.into_iter().find(|known| *known == given).unwrap_or(SOURCES[0]);
        let some = |name: &str| Ok(Some(fields.text(name)?).filter(|text| !text.is_empty()).map(str::to_owned));
        let time = |name: &str| Ok(parse_moment(fields.text(name)?).filter(|at| *at != 0).unwrap_or(now));
        let assessment = Self {
            id: format!("a-{}", uuid::Uuid::new_v4().simple()),
            kind,
            name: fields.text("assessment_name")?.to_owned(),
            value,
            valid: true,
            overrides: if kind == Kind::Feedback { some("overrides")? } else { None },
            created_at: time("create_time").map_err(|error: Error| error)?,
            updated_at: time("last_update_time").map_err(|error: Error| error)?,
            details: Details {
                source_type: if source_type == "AI_JUDGE" { "LLM_JUDGE" } else { source_type }.to_owned(),
                source_id: source.text("source_id")?.to_owned(),
                span_id: some("span_id")?,
                rationale: if kind == Kind::Expectation { None } else { some("rationale")? },
                metadata: metadata(fields)?,
                error,
            },
        };
        assessment.check()?;
        Ok(assessment)
    }

    fn check(&self) -> Result<()> {
        check_length("assessment_name", 250, &self.name)?;
        check_length("source_id", 250, &self.details.source_id)?;
        check_texts([self.name.as_str(), self.details.source_id.as_str()])?;
        check_texts(self.overrides.as_deref())?;
        check_texts(self.details.span_id.as_deref())
    }

    /// Applies a change.
    pub(crate) fn apply(&mut self, change: Change, now: i64) -> Result<()> {
        if change.expectation.is_some() && change.feedback.is_some() {
            return Err(Error::bad_request("Cannot specify both `expectation` and `feedback` parameters."));
        }
        if let Some(value) = change.expectation {
            if self.kind != Kind::Expectation {
                return Err(Error::bad_request("Cannot update expectation value on a Feedback assessment."));
            }
            self.value = value;
        }
        if let Some((value, error)) = change.feedback {
            if self.kind != Kind::Feedback {
                return Err(Error::bad_request("Cannot update feedback value on an Expectation assessment."));
            }
            self.value = value;
            self.details.error = error;
        }
        if let Some(name) = change.name {
            self.name = name;
        }
        if let Some(rationale) = change.rationale.filter(|_| self.kind != Kind::Expectation) {
            self.details.rationale = Some(rationale);
        }
        self.details.metadata.extend(change.metadata.unwrap_or_default());
        self.updated_at = now;
        self.check()
    }

    /// Whether it is about the whole session of its trace.
    pub(crate) fn of_session(&self) -> bool {
        self.details.metadata.contains_key(SESSION)
    }

    /// The protocol's form.
    pub(crate) fn message(&self, trace_id: &str) -> Value {
        let Details { source_type, source_id, span_id, rationale, metadata, error } = &self.details;
        let mut source = json!({"source_type": source_type});
        if !source_id.is_empty() {
            source["source_id"] = source_id.as_str().into();
        }
        let mut message = json!({
            "assessment_id": self.id,
            "assessment_name": self.name,
            "trace_id": trace_id,
            "source": source,
            "create_time": moment(self.created_at),
            "last_update_time": moment(self.updated_at),
            "valid": self.valid,
        });
        for (name, text) in [("span_id", span_id), ("rationale", rationale), ("overrides", &self.overrides)] {
            if let Some(text) = text {
                message[name] = text.as_str().into();
            }
        }
        if !metadata.is_empty() {
            message["metadata"] = metadata.clone().into();
        }
        match self.kind {
            Kind::Feedback => {
                message["feedback"] = json!({"value": self.value});
                if let Some(error) = error {
                    message["feedback"]["error"] = shown_error(error);
                }
            }
            Kind::Expectation => message["expectation"] = expectation(&self.value),
            Kind::Issue => message["issue"] = self.value.clone(),
        }
        message
    }
}

/// Values that are no scalars travel as a text of JSON.
fn expectation(value: &Value) -> Value {
    match value {
        Value::Array(_) | Value::Object(_) => {
            json!({"serialized_value": {"serialization_format": "JSON_FORMAT", "value": super::python_json(value)}})
        }
        scalar => json!({"value": scalar}),
    }
}

fn shown_error(error: &Value) -> Value {
    let mut shown = error.clone();
    if let Some(stack) = error["stack_trace"].as_str() {
        let length = stack.chars().count();
        if length > LONGEST_STACK {
            let kept: String = stack.chars().skip(length - (LONGEST_STACK - CUT.chars().count())).collect();
            shown["stack_trace"] = format!("{CUT}{kept}").into();
        }
    }
    shown
}

/// What is said: one of feedback, an expectation, an issue. Numbers are doubles, as in the protocol's messages.
fn value(fields: &Fields) -> Result<(Kind, Value, Option<Value>)> {
    if let Some(expectation) = fields.message("expectation")? {
        return Ok((Kind::Expectation, expected(&expectation)?, None));
    }
    if let Some(feedback) = fields.message("feedback")? {
        let (value, error) = given(&feedback)?;
        return Ok((Kind::Feedback, value, error));
    }
    if let Some(issue) = fields.message("issue")? {
        return Ok((Kind::Issue, json!({"issue_name": issue.text("issue_name")?}), None));
    }
    Err(Error::bad_request("Unknown assessment type: None"))
}

fn expected(fields: &Fields) -> Result<Value> {
    let Some(serialized) = fields.message("serialized_value")? else {
        let value = fields.raw("value").cloned().unwrap_or_default();
        if value.is_null() {
            return Err(Error::bad_request("The `value` field must be specified."));
        }
        return Ok(doubles(value));
    };
    let format = serialized.text("serialization_format")?;
    if format != "JSON_FORMAT" {
        let message = format!("Unknown serialization format: {format}. Only JSON_FORMAT is supported.");
        return Err(Error::bad_request(message));
    }
    let text = serialized.text("value")?;
    serde_json::from_str(text)
        .map_err(|error| Error::bad_request(format!("the value of an expectation is no JSON: {error}")))
}

fn given(fields: &Fields) -> Result<(Value, Option<Value>)> {
    let value = doubles(fields.raw("value").cloned().unwrap_or_default());
    let Some(error) = fields.message("error")? else { return Ok((value, None)) };
    let mut kept = Map::new();
    for name in ["error_code", "error_message", "stack_trace"] {
        let text = error.text(name)?;
        if !text.is_empty() {
            kept.insert(name.to_owned(), text.into());
        }
    }
    Ok((value, Some(kept.into())))
}

fn doubles(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
        Value::Array(items) => items.into_iter().map(doubles).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, doubles(value))).collect(),
        other => other,
    }
}

fn metadata(fields: &Fields) -> Result<Map<String, Value>> {
    match fields.raw("metadata") {
        None => Ok(Map::new()),
        Some(Value::Object(map)) if map.values().all(Value::is_string) => Ok(map.clone()),
        Some(other) => Err(invalid("metadata", other)),
    }
}

/// Reads a change: the fields of the assessment that the mask names.
pub(crate) fn read_change(fields: &Fields) -> Result<Change> {
    let assessment = required(fields, "assessment")?;
    let mask = match fields.raw("update_mask") {
        None => return Err(crate::mlflow::fields::missing("update_mask")),
        Some(Value::String(mask)) => mask.split(',').map(|path| path.trim().to_owned()).collect(),
        Some(Value::Object(_)) => vec![],
        Some(other) => return Err(invalid("update_mask", other)),
    };
    let mut change = Change::default();
    for path in mask {
        match path.as_str() {
            "assessmentName" | "assessment_name" => change.name = Some(assessment.text("assessment_name")?.to_owned()),
            "expectation" => {
                change.expectation = Some(expected(&assessment.message("expectation")?.unwrap_or_default())?)
            }
            "feedback" => change.feedback = Some(given(&assessment.message("feedback")?.unwrap_or_default())?),
            "rationale" => change.rationale = Some(assessment.text("rationale")?.to_owned()),
            "metadata" => change.metadata = Some(metadata(&assessment)?),
            // Validity is the server's to say.
            _ => {}
        }
    }
    Ok(change)
}

/// A message that must be there.
pub(crate) fn required(fields: &Fields, name: &str) -> Result<Fields> {
    fields.message(name)?.ok_or_else(|| crate::mlflow::fields::missing(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Assessment> {
        Assessment::read(&Fields::from_json(text.as_bytes()), 7)
    }

    #[test]
    fn values_have_their_protocol_form() {
        let feedback = read(r#"{"assessment_name": "n", "feedback": {"value": 5}}"#).unwrap();
        let message = feedback.message("tr-1");
        assert_eq!(
            (message["feedback"].to_string(), message["source"].to_string()),
            (r#"{"value":5.0}"#.into(), r#"{"source_type":"SOURCE_TYPE_UNSPECIFIED"}"#.into())
        );
        assert_eq!((feedback.created_at, message.get("rationale")), (7, None));
        let serialized = r#"{"assessment_name": "e", "expectation": {"serialized_value": {"serialization_format": "JSON_FORMAT", "value": "{\"a\": [1, \"ä\"]}"}}}"#;
        let message = read(serialized).unwrap().message("tr-1");
        assert_eq!(message["expectation"]["serialized_value"]["value"], r#"{"a": [1, "\u00e4"]}"#);
        for (bad, text) in [
            (r#"{}"#, "Unknown assessment type: None"),
            (r#"{"expectation": {}}"#, "The `value` field must be specified."),
            (
                r#"{"expectation": {"serialized_value": {"serialization_format": "X"}}}"#,
                "Unknown serialization format: X. Only JSON_FORMAT is supported.",
            ),
        ] {
            assert_eq!(read(bad).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn kinds_do_not_change() {
        let mut feedback =
            read(r#"{"assessment_name": "n", "feedback": {"value": "a"}, "metadata": {"a": "1"}}"#).unwrap();
        let body = br#"{"assessment": {"rationale": "why", "metadata": {"b": "2"}, "feedback": {"value": 1}}, "update_mask": "rationale,metadata"}"#;
        feedback.apply(read_change(&Fields::from_json(body)).unwrap(), 9).unwrap();
        assert_eq!((feedback.value.clone(), feedback.updated_at), (json!("a"), 9));
        assert_eq!(feedback.details.rationale.as_deref(), Some("why"));
        assert_eq!(Value::from(feedback.details.metadata.clone()), json!({"a": "1", "b": "2"}));
        let change = Change { expectation: Some(json!(1)), ..Change::default() };
        assert!(feedback.apply(change, 9).is_err());
    }
}
