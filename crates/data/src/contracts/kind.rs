//! `DataContract`: a contract as an object.

use std::sync::Arc;

use mcplane_apimachinery::schema::Schema;
use mcplane_core::FieldError;
use mcplane_objects::http::AGE;
use mcplane_objects::schemas::{OwnSchema, count, list, text};
use mcplane_objects::storage::Storage;
use mcplane_objects::{Column, Kind, RegisteredKind, Registry, Resource};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Spec;
use crate::scope::{OBJECT_GROUP, VERSION};

/// A contract as an object.
#[derive(Debug, Deserialize)]
pub struct DataContract {
    /// What it says.
    pub spec: Spec,
}

/// Adds the kind, which is kept in `storage`.
pub fn register(registry: &mut Registry, storage: Arc<dyn Storage>) {
    registry.add(RegisteredKind::new::<DataContract>(storage));
}

/// What is said of the newest report.
fn passing(contract: &Value) -> Value {
    let conditions = contract["status"]["conditions"].as_array();
    let condition = conditions.and_then(|all| all.iter().find(|condition| condition["type"] == "Passing"));
    condition.map_or_else(|| "Unknown".into(), |condition| condition["status"].clone())
}

static SCHEMA: OwnSchema = OwnSchema::new(schema);

impl Resource for DataContract {
    const KIND: Kind = Kind {
        status: true,
        generation: true,
        strategic_merge: false,
        short_names: &["dc"],
        columns: &[
            Column { name: "Passing", format: "string", priority: 0, cell: passing },
            Column {
                name: "Outcome",
                format: "string",
                priority: 0,
                cell: |contract| contract["status"]["lastReport"]["outcome"].clone(),
            },
            Column {
                name: "Rows",
                format: "integer",
                priority: 0,
                cell: |contract| contract["status"]["lastReport"]["rows"].clone(),
            },
            AGE,
            Column {
                name: "File",
                format: "string",
                priority: 1,
                cell: |contract| contract["status"]["lastReport"]["file"].clone(),
            },
        ],
        ..Kind::namespaced(OBJECT_GROUP, &[VERSION], "DataContract", "datacontracts", "datacontract")
    };

    fn schema(_: &str) -> Option<&'static Schema> {
        SCHEMA.compiled()
    }

    fn openapi(version: &str) -> Option<Value> {
        Some(SCHEMA.component(&Self::KIND, version))
    }

    fn validate(new: &Self, _: Option<&Self>) -> Vec<FieldError> {
        new.spec.faults()
    }
}

fn choice(about: &str, choices: &[&str]) -> Value {
    json!({"type": "string", "description": about, "enum": choices})
}

fn any(about: &str) -> Value {
    json!({"description": about, "x-kubernetes-preserve-unknown-fields": true})
}

fn flag(about: &str) -> Value {
    json!({"type": "boolean", "description": about})
}

const SEVERITIES: &[&str] = &["hard", "soft"];

fn column() -> Value {
    let expectations = ["columns", "type", "nulls", "range", "values", "unique", "pattern", "length"];
    json!({
        "type": "object",
        "required": ["name", "type"],
        "properties": {
            "name": text("Its name."),
            "type": choice("What its values are.", &["integer", "number", "boolean", "string", "date", "timestamp"]),
            "optional": flag("It may be missing altogether."),
            "nullable": flag("It may have nulls."),
            "maxNullFraction": {"type": "number", "description": "If it may have nulls: no larger a part of the rows, from 0 to 1."},
            "min": any("Smallest value: a number, or a date or timestamp as text."),
            "max": any("Largest value."),
            "values": list("The only values.", any("A value.")),
            "unique": flag("No value is in two rows."),
            "pattern": text("Regular expression that is found in every text; ^ and $ bind it to the whole."),
            "minLength": count("Fewest characters of a text."),
            "maxLength": count("Most characters of a text."),
            "severity": choice("What a broken expectation of this column means.", SEVERITIES),
            "soft": list("Expectations of this column that are soft whatever the rest is.", choice("One.", &expectations)),
            "sensitive": flag("Its values are not shown in reports."),
        },
    })
}

fn schema() -> Value {
    let compare = json!({
        "type": "object",
        "required": ["left", "is", "right"],
        "properties": {
            "left": text("One column."),
            "is": choice("How it compares.", &["<", "<=", "==", "!="]),
            "right": text("The other one."),
            "severity": choice("What it means if it does not.", SEVERITIES),
        },
    });
    json!({
        "type": "object",
        "description": "What data must be like. `mcplane contract check` checks files against it.",
        "required": ["spec"],
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "description": text("What the data is."),
                    "csv": {
                        "type": "object",
                        "description": "How CSV files of it are written.",
                        "properties": {
                            "delimiter": text("One character between fields; a comma if left out."),
                            "nullValues": list("Texts that stand for nothing; the empty one if left out.", text("One.")),
                        },
                    },
                    "severity": choice("What a broken expectation means that does not say; hard if left out.", SEVERITIES),
                    "rows": {
                        "type": "object",
                        "description": "How many rows there may be.",
                        "properties": {"min": count("No fewer."), "max": count("No more.")},
                    },
                    "columns": list("The columns.", column()),
                    "otherColumns": choice("What it means that there are columns besides.", &["allow", "deny"]),
                    "keys": list(
                        "Sets of columns whose values, together, are in no two rows.",
                        list("Names of columns.", text("A name.")),
                    ),
                    "compare": list("What must be true between two columns of each row.", compare),
                },
            },
            "status": {
                "type": "object",
                "description": "What the newest report says.",
                "properties": {
                    "lastReport": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    "conditions": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                },
            },
        },
    })
}
