//! What a list or watch selects: labels and fields.

use std::borrow::Cow;

use mcplane_apimachinery::selector::{FieldSelector, LabelSelector};
use mcplane_core::{Error, Result};
use serde_json::Value;

use crate::kind::Kind;
use crate::object::{self, Head};

const ALWAYS_SELECTABLE: [&str; 2] = ["metadata.name", "metadata.namespace"];

/// A label and a field selector, checked against the kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    /// Parses both selectors; empty texts select everything.
    ///
    /// # Errors
    /// `BadRequest` for malformed selectors and for fields that the kind does not offer.
    pub(crate) fn parse(kind: &Kind, labels: &str, fields: &str) -> Result<Self> {
        let labels: LabelSelector = labels
            .parse()
            .map_err(|error| Error::bad_request(format!("unable to parse the label selector {labels:?}: {error}")))?;
        let fields: FieldSelector = fields
            .parse()
            .map_err(|error| Error::bad_request(format!("unable to parse the field selector {fields:?}: {error}")))?;
        for requirement in fields.requirements() {
            let field = requirement.field();
            if !ALWAYS_SELECTABLE.contains(&field) && !kind.selectable.contains(&field) {
                let known = [&ALWAYS_SELECTABLE[..], kind.selectable].concat().join(", ");
                return Err(Error::bad_request(format!(
                    "field label not supported: {field}; {} can be selected by {known}",
                    kind.plural
                )));
            }
        }
        Ok(Self { labels, fields })
    }

    /// Whether everything is selected.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The one name that can match, if there is but one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.fields.name()
    }

    /// The one namespace that can match, if there is but one.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.fields.namespace()
    }

    /// Whether the object in stored text is selected.
    pub(crate) fn matches(&self, stored: &str) -> Result<bool> {
        if self.is_empty() {
            return Ok(true);
        }
        let metadata = Head::of(stored)?.metadata;
        if !self.labels.matches_labels(&metadata.labels) {
            return Ok(false);
        }
        let beyond = |field: &str| !ALWAYS_SELECTABLE.contains(&field);
        let whole = match self.fields.requirements().any(|requirement| beyond(requirement.field())) {
            true => object::parse(stored)?,
            false => Value::Null,
        };
        Ok(self.fields.matches(|field| match field {
            "metadata.name" => Some(Cow::Borrowed(metadata.name.as_str())),
            "metadata.namespace" => Some(Cow::Borrowed(metadata.namespace.as_str())),
            path => Some(value_at(&whole, path)),
        }))
    }
}

/// The text of the value at a dotted path; empty if there is none, as Kubernetes compares.
fn value_at<'a>(object: &'a Value, path: &str) -> Cow<'a, str> {
    match path.split('.').try_fold(object, |value, field| value.get(field)) {
        None | Some(Value::Null) => Cow::Borrowed(""),
        Some(Value::String(text)) => Cow::Borrowed(text),
        Some(other) => Cow::Owned(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind { selectable: &["type"], ..Kind::namespaced("", &["v1"], "Secret", "secrets", "secret") };
    const STORED: &str =
        r#"{"metadata":{"resourceVersion":"1","name":"a","namespace":"b","labels":{"x":"1"}},"type":"Opaque"}"#;

    #[test]
    fn labels_and_fields_select() {
        for (labels, fields, expected) in [
            ("", "", true),
            ("x=1", "metadata.name=a", true),
            ("x=2", "", false),
            ("!y", "metadata.namespace!=b", false),
            ("", "type=Opaque", true),
            ("", "type=", false),
        ] {
            let selection = Selection::parse(&KIND, labels, fields).unwrap();
            assert_eq!(selection.matches(STORED).unwrap(), expected, "{labels} {fields}");
        }
        assert_eq!(Selection::parse(&KIND, "", "spec.x=1").unwrap_err().http_status(), 400);
        assert_eq!(Selection::parse(&KIND, "a b", "").unwrap_err().http_status(), 400);
    }
}
