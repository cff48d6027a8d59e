//! Records, and what a dataset knows of their fields.

use mcplane_core::{Error, Result};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::traces::hex;
use crate::traces::python_json;

/// Kinds of things that records are taken from.
const SOURCES: [&str; 5] = ["UNSPECIFIED", "TRACE", "HUMAN", "DOCUMENT", "CODE"];
/// Tag with the user who wrote something.
pub(super) const USER: &str = "mlflow.user";

/// A record as a client sends it.
#[derive(Debug, Clone)]
pub(super) struct NewRecord {
    pub(super) hash: String,
    fields: Map<String, Value>,
}

/// Reads the text of JSON in which clients send records.
pub(super) fn read(text: &str) -> Result<Vec<NewRecord>> {
    let invalid = |why: String| Error::bad_request(format!("Invalid value for parameter 'records': {why}"));
    let items: Vec<Map<String, Value>> = serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
    items
        .into_iter()
        .map(|fields| {
            for name in ["inputs", "expectations", "tags", "source"] {
                if fields.get(name).is_some_and(|value| !value.is_object() && !value.is_null()) {
                    return Err(invalid(format!("'{name}' must be an object")));
                }
            }
            let kind = fields.get("source").and_then(|source| source.get("source_type")).and_then(Value::as_str);
            if let Some(kind) = kind.map(str::to_uppercase).filter(|kind| !SOURCES.contains(&kind.as_str())) {
                let known = SOURCES.map(|source| format!("'{source}'")).join(", ");
                let message = format!("Invalid dataset record source type: {kind}. Valid source types: [{known}]");
                return Err(Error::bad_request(message));
            }
            let inputs = fields.get("inputs").filter(|inputs| !inputs.is_null()).cloned().unwrap_or_else(|| json!({}));
            // Maps are sorted by key, so that the same inputs have the same text.
            let hash = hex(&Sha256::digest(python_json(&inputs)));
            Ok(NewRecord { hash, fields })
        })
        .collect()
}

impl NewRecord {
    fn given(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// Who wrote it, if it says so.
    pub(super) fn user(&self) -> Option<&str> {
        self.given("tags")?.get(USER)?.as_str()
    }

    /// The record that it becomes, in the protocol's form.
    pub(super) fn body(&self, dataset: &str, id: &str, now: i64) -> Value {
        let or_empty = |name: &str| self.given(name).cloned().unwrap_or_else(|| json!({}));
        let mut body = json!({
            "dataset_record_id": id,
            "dataset_id": dataset,
            "inputs": or_empty("inputs"),
            "tags": or_empty("tags"),
            "created_time": now,
            "last_update_time": now,
        });
        match self.fields.get("outputs") {
            Some(Value::Null) => {}
            Some(outputs) => body["outputs"] = outputs.clone(),
            None => body["outputs"] = json!({}),
        }
        if let Some(expectations) = self.given("expectations") {
            body["expectations"] = expectations.clone();
        }
        if let Some(source) = self.given("source") {
            let kind = source["source_type"].as_str().unwrap_or("UNSPECIFIED").to_uppercase();
            let data = source.get("source_data").filter(|data| data.is_object()).cloned().unwrap_or_else(|| json!({}));
            let key = if kind == "TRACE" { "trace_id" } else { "source_id" };
            if let Some(id) = data[key].as_str() {
                body["source_id"] = id.into();
            }
            body["source"] = json!({"source_type": kind, "source_data": data});
            body["source_type"] = kind.into();
        }
        if let Some(user) = self.user() {
            body["created_by"] = user.into();
            body["last_updated_by"] = user.into();
        }
        body
    }

    /// Adds what it says to a record with the same inputs.
    pub(super) fn merge_into(&self, body: &mut Value, now: i64) {
        match self.fields.get("outputs") {
            None => {}
            Some(Value::Null) => drop(body.as_object_mut().map(|body| body.remove("outputs"))),
            Some(outputs) => body["outputs"] = outputs.clone(),
        }
        for name in ["expectations", "tags"] {
            if let Some(Value::Object(new)) = self.given(name) {
                let mut merged = body[name].as_object().cloned().unwrap_or_default();
                merged.extend(new.clone());
                body[name] = merged.into();
            }
        }
        body["last_update_time"] = now.into();
        if let Some(user) = self.user() {
            body["last_updated_by"] = user.into();
        }
    }
}

/// The fields that records have had and the type that each had first.
pub(super) fn schema(known: Option<&str>, records: &[NewRecord]) -> Option<String> {
    if records.is_empty() && known.is_none() {
        return None;
    }
    let empty = || json!({"inputs": {}, "outputs": {}, "expectations": {}, "version": "1.0"});
    let mut schema: Value = known.and_then(|known| serde_json::from_str(known).ok()).unwrap_or_else(empty);
    for record in records {
        for part in ["inputs", "outputs", "expectations"] {
            match record.given(part) {
                Some(Value::Object(fields)) if schema[part].is_object() => {
                    for (key, value) in fields {
                        if schema[part].get(key).is_none() {
                            schema[part][key.as_str()] = kind(value).into();
                        }
                    }
                }
                Some(value) if !value.is_object() && schema[part].as_object().is_some_and(Map::is_empty) => {
                    schema[part] = kind(value).into();
                }
                _ => {}
            }
        }
    }
    Some(python_json(&schema))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The digest of a dataset in a state.
pub(super) fn digest(name: &str, updated_at: i64) -> String {
    let mut digest = hex(&Sha256::digest(format!("{name}:{updated_at}")));
    digest.truncate(8);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_known_by_their_inputs() {
        let text = r#"[{"inputs": {"q": "a", "n": 1}, "expectations": {"r": "x"}}, {"inputs": {"n": 1, "q": "a"}, "expectations": {"z": 2.5}, "outputs": "o", "tags": {"mlflow.user": "ann"}}]"#;
        let records = read(text).unwrap();
        assert_eq!(records[0].hash, records[1].hash);
        let mut body = records[0].body("d-1", "dr-1", 5);
        assert_eq!((&body["outputs"], &body["tags"]), (&json!({}), &json!({})));
        records[1].merge_into(&mut body, 9);
        assert_eq!(body["expectations"], json!({"r": "x", "z": 2.5}));
        assert_eq!(
            (&body["outputs"], &body["last_updated_by"], &body["created_time"]),
            (&json!("o"), &json!("ann"), &json!(5))
        );
        let schema: Value = serde_json::from_str(&schema(None, &records).unwrap()).unwrap();
        assert_eq!(
            schema,
            json!({"inputs": {"q": "string", "n": "integer"}, "outputs": "string", "expectations": {"r": "string", "z": "float"}, "version": "1.0"})
        );
    }

    #[test]
    fn bad_records_are_refused() {
        for bad in ["{}", "[1]", r#"[{"inputs": 5}]"#, r#"[{"source": {"source_type": "MOON"}}]"#, "nonsense"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
