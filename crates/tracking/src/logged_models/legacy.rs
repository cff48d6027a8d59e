//! The tag `mlflow.log-model.history`, in which clients before logged models keep what a run logged.

use std::collections::BTreeMap;

use mcplane_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tags::Tag;

pub(super) const HISTORY_TAG: &str = "mlflow.log-model.history";
const REQUIRED: [&str; 4] = ["artifact_path", "flavors", "run_id", "utc_time_created"];

/// What the tag keeps of a model's description.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LegacyModel {
    run_id: Value,
    artifact_path: Value,
    utc_time_created: Value,
    #[serde(default)]
    model_uuid: Value,
    flavors: BTreeMap<String, Value>,
}

impl LegacyModel {
    /// Reads a description.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for what is no JSON object with the fields that every model has.
    pub fn parse(json: &str) -> Result<Self> {
        let malformed = || Error::bad_request(format!("Malformed model info. \n {json} \n is not a valid JSON."));
        let value: Value = serde_json::from_str(json).map_err(|_| malformed())?;
        let missing: Vec<String> =
            REQUIRED.into_iter().filter(|name| value.get(name).is_none()).map(|name| format!("'{name}'")).collect();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            return Err(Error::bad_request(format!("Model json is missing mandatory fields: {{{missing}}}")));
        }
        let mut model: Self = serde_json::from_value(value).map_err(|_| malformed())?;
        for flavor in model.flavors.values_mut().filter_map(Value::as_object_mut) {
            flavor.remove("config");
        }
        Ok(model)
    }

    /// The tag with this model behind those that it had.
    pub(super) fn after(self, history: &str) -> Tag {
        let mut models: Vec<Value> = serde_json::from_str(history).unwrap_or_default();
        models.extend(serde_json::to_value(self));
        Tag::new(HISTORY_TAG, Value::Array(models).to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_tag_grows() {
        let model = json!({
            "artifact_path": "model", "run_id": "r", "utc_time_created": "t", "signature": null,
            "flavors": {"sklearn": {"version": "1", "config": {}}},
        });
        let model = LegacyModel::parse(&model.to_string()).unwrap();
        let once = model.clone().after("");
        let kept = json!({
            "artifact_path": "model", "run_id": "r", "utc_time_created": "t", "model_uuid": null,
            "flavors": {"sklearn": {"version": "1"}},
        });
        assert_eq!(serde_json::from_str::<Value>(&once.value).unwrap(), json!([kept]));
        assert_eq!(serde_json::from_str::<Value>(&model.after(&once.value).value).unwrap(), json!([kept, kept]));
    }

    #[test]
    fn descriptions_are_checked() {
        let message = |json: &str| LegacyModel::parse(json).unwrap_err().to_string();
        assert_eq!(message("{"), "Malformed model info. \n { \n is not a valid JSON.");
        assert!(message("[]").starts_with("Model json is missing mandatory fields: {'artifact_path', 'flavors'"));
        let odd = json!({"artifact_path": 1, "run_id": 1, "utc_time_created": 1, "flavors": 1});
        assert!(message(&odd.to_string()).starts_with("Malformed"));
    }
}
