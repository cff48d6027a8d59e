//! From a decoded body to an object that obeys its kind.

use mcplane_apimachinery::codec::Decoded;
use mcplane_core::{Error, FieldError, Result};
use serde_json::Value;

use super::{Call, FieldValidation, WriteOptions};
use crate::object::ObjectExt as _;

impl Call<'_> {
    /// Checks type, fields and defaults of a body. Returns the object and warnings about dropped fields.
    pub(super) fn intake(&self, decoded: Decoded, options: &WriteOptions) -> Result<(Value, Vec<String>)> {
        let Decoded { mut value, mut duplicates } = decoded;
        self.check_type(&value)?;
        strip_server_only(&mut value);
        let Some(schema) = self.kind.schema(self.version) else {
            return Err(Error::internal(format!("{} has no schema", self.kind.kind)));
        };
        schema.apply_defaults(&mut value);
        let unknown = schema.unknown_fields(&value);
        if !unknown.is_empty() {
            schema.prune(&mut value);
        }
        duplicates.extend(unknown);
        match options.field_validation {
            FieldValidation::Strict if !duplicates.is_empty() => Err(Error::bad_request(format!(
                "{} in version {:?} cannot be handled as a {}: strict decoding error: {}",
                self.kind.kind,
                self.version,
                self.kind.kind,
                duplicates.join(", ")
            ))),
            FieldValidation::Warn => Ok((value, duplicates)),
            FieldValidation::Strict | FieldValidation::Ignore => Ok((value, vec![])),
        }
    }

    fn check_type(&self, value: &Value) -> Result<()> {
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or("");
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        if api_version != self.api_version || kind != self.kind.kind {
            return Err(Error::bad_request(format!(
                "the object provided is {kind} of {api_version}, but this path takes {} of {}",
                self.kind.kind, self.api_version
            )));
        }
        match value.get("metadata") {
            None | Some(Value::Object(_) | Value::Null) => Ok(()),
            Some(_) => Err(Error::bad_request("metadata must be an object")),
        }
    }

    /// Rules of the kind, by schema and by code.
    pub(super) fn validate(&self, new: &Value, old: Option<&Value>, mut causes: Vec<FieldError>) -> Result<()> {
        if let Some(schema) = self.kind.schema(self.version) {
            causes.extend(schema.validate(new));
        }
        // Code may rely on the types that the schema promises.
        if causes.is_empty() {
            causes.extend((self.kind.validate)(new, old));
        }
        if causes.is_empty() { Ok(()) } else { Err(self.invalid(shown_name(new), causes)) }
    }
}

/// What errors call an object whose name may still be open.
fn shown_name(object: &Value) -> &str {
    match object.name() {
        "" => object.meta_text("generateName"),
        name => name,
    }
}

/// Drops what clients echo but only the server writes, and what is empty in the metadata: Kubernetes' types do not tell
/// an empty list from none.
fn strip_server_only(object: &mut Value) {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    let metadata = object.metadata_mut();
    metadata.retain(|key, value| !empty(value) && key != "managedFields" && key != "selfLink");
}
