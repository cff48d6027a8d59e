//! `LimitRange`.

use k8s_openapi::api::core::v1::LimitRange;
use mcplane_apimachinery::resources::limits;
use mcplane_core::FieldError;
use serde_json::Value;

use crate::kind::{Column, Kind, Resource};
use crate::object::ObjectExt as _;

/// The time of creation, in full.
pub const CREATED_AT: Column = Column {
    name: "Created At",
    format: "string",
    priority: 0,
    cell: |object| object.meta("creationTimestamp").cloned().unwrap_or(Value::Null),
};

impl Resource for LimitRange {
    const KIND: Kind = Kind {
        short_names: &["limits"],
        columns: &[CREATED_AT],
        ..Kind::namespaced("", &["v1"], "LimitRange", "limitranges", "limitrange")
    };

    fn prepare(new: &mut Value, _: Option<&Value>) {
        if let Some(spec) = new.get_mut("spec") {
            limits::set_defaults(spec);
        }
    }

    fn validate(new: &Self, _: Option<&Self>) -> Vec<FieldError> {
        match serde_json::to_value(&new.spec) {
            Ok(spec) => limits::validate_spec(&spec),
            Err(error) => vec![FieldError::invalid("spec", "", error.to_string())],
        }
    }
}
