//! Objects as JSON values, and the text in which they are stored and served.
//!
//! Stored text begins with `{"metadata":{"resourceVersion":"N",` and leaves `apiVersion` and `kind` out, so that serving an
//! object in any version is putting a prefix before it: no read parses what it returns.

use std::sync::Arc;

use mcplane_core::{Error, Result};
use mcplane_db::Revision;
use serde::Deserialize;
use serde_json::{Map, Value};

const METADATA_START: &str = "{\"metadata\":{";
/// Bytes of one object. Requests are bounded already, but patches add up.
const LARGEST: usize = 3 << 20;

/// Text to be stored, complete but for its revision.
#[derive(Clone)]
pub struct Body {
    /// The fields of the metadata: `"name":"a",…`.
    metadata: String,
    /// The annotations, behind a comma, if there are any: `,"annotations":{…}`. They stand apart because they may repeat
    /// the whole object, as those of `kubectl apply` do, and are as secret as it is.
    annotations: String,
    /// All other fields, each behind a comma: `,"data":{…}`.
    rest: String,
}

/// What is to be stored may be secret.
impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

impl Body {
    /// Encodes `object`, of which `apiVersion`, `kind` and `metadata.resourceVersion` are left out.
    ///
    /// # Errors
    /// `TooLarge`; also when there is no metadata, but admission made sure of it.
    pub fn encode(object: &Value) -> Result<Self> {
        let map = object.as_object().ok_or_else(|| Error::internal("an object to be stored is not a map"))?;
        let fields = map.get("metadata").and_then(Value::as_object).ok_or_else(|| Error::internal("no metadata"))?;
        let (mut metadata, mut rest) = (String::with_capacity(256), String::with_capacity(256));
        let mut annotations = String::new();
        let apart = ["resourceVersion", "annotations"];
        push_fields(&mut metadata, fields.iter().filter(|(key, _)| !apart.contains(&key.as_str())));
        if let Some(field) = fields.get_key_value("annotations") {
            annotations.push(',');
            push_fields(&mut annotations, std::iter::once(field));
        }
        for (key, value) in map {
            if !matches!(key.as_str(), "apiVersion" | "kind" | "metadata") {
                rest.push(',');
                push_fields(&mut rest, std::iter::once((key, value)));
            }
        }
        if metadata.len() + annotations.len() + rest.len() > LARGEST {
            return Err(Error::TooLarge(format!("Request entity too large: an object may have {LARGEST} bytes")));
        }
        Ok(Self { metadata, annotations, rest })
    }

    /// The text at `revision`.
    pub fn at(&self, revision: Revision) -> Arc<str> {
        // Metadata always holds a name, so a comma always fits.
        let Self { metadata, annotations, rest } = self;
        format!("{METADATA_START}\"resourceVersion\":\"{revision}\",{metadata}{annotations}}}{rest}}}").into()
    }

    /// The text of an object that was never stored.
    pub fn unrevised(&self) -> Arc<str> {
        let Self { metadata, annotations, rest } = self;
        format!("{METADATA_START}{metadata}{annotations}}}{rest}}}").into()
    }

    /// The same with the annotations and all but the metadata replaced by the one text field `name`. What `seal` gets is
    /// the end of the text, from within the metadata, but for the last brace.
    pub(crate) fn sealed(self, name: &str, seal: impl FnOnce(&str) -> Result<String>) -> Result<Self> {
        let sealed = seal(&format!("{}}}{}", self.annotations, self.rest))?;
        Ok(Self { metadata: self.metadata, annotations: String::new(), rest: format!(",\"{name}\":\"{sealed}\"") })
    }
}

fn push_fields<'a>(text: &mut String, fields: impl Iterator<Item = (&'a String, &'a Value)>) {
    for (index, (key, value)) in fields.enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&Value::from(key.as_str()).to_string());
        text.push(':');
        text.push_str(&value.to_string());
    }
}

/// Stored text with another revision than the one that it begins with.
pub(crate) fn with_revision(stored: &str, revision: Revision) -> Arc<str> {
    match split_revision(stored) {
        Some((_, rest)) => format!("{METADATA_START}\"resourceVersion\":\"{revision}\"{rest}").into(),
        None => stored.into(),
    }
}

/// The revision with which stored text begins; the start of the text is enough.
pub(crate) fn revision_of(stored: &str) -> Option<Revision> {
    split_revision(stored)?.0.parse().ok()
}

fn split_revision(stored: &str) -> Option<(&str, &str)> {
    stored.strip_prefix(METADATA_START)?.strip_prefix("\"resourceVersion\":\"")?.split_once('"')
}

/// Stored text as served under `api_version` and `kind`.
pub fn serve(api_version: &str, kind: &str, stored: &str) -> String {
    let mut text = String::with_capacity(stored.len() + api_version.len() + kind.len() + 32);
    serve_into(&mut text, api_version, kind, stored);
    text
}

/// Appends [`serve`]'s text.
pub fn serve_into(text: &mut String, api_version: &str, kind: &str, stored: &str) {
    for part in ["{\"apiVersion\":\"", api_version, "\",\"kind\":\"", kind, "\",", &stored[1..]] {
        text.push_str(part);
    }
}

/// Stored text as a value, without `apiVersion` and `kind`.
pub fn parse(stored: &str) -> Result<Value> {
    serde_json::from_str(stored).map_err(Error::internal)
}

/// Stored text as a whole object.
pub fn parse_as(api_version: &str, kind: &str, stored: &str) -> Result<Value> {
    let mut object = parse(stored)?;
    set_type(&mut object, api_version, kind);
    Ok(object)
}

/// Sets `apiVersion` and `kind`.
pub fn set_type(object: &mut Value, api_version: &str, kind: &str) {
    if let Some(map) = object.as_object_mut() {
        map.insert("apiVersion".to_owned(), api_version.into());
        map.insert("kind".to_owned(), kind.into());
    }
}

/// The parts of stored text that lists and watches select by; the rest is skipped, not built.
#[derive(Debug, Default, Deserialize)]
pub struct Head {
    /// The object's metadata.
    pub metadata: HeadMetadata,
}

/// See [`Head`].
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeadMetadata {
    /// Name.
    pub name: String,
    /// Namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Unique id.
    pub uid: String,
    /// Revision of the last change.
    pub resource_version: String,
    /// Labels.
    pub labels: std::collections::BTreeMap<String, String>,
}

impl Head {
    /// Reads the head of stored text.
    pub fn of(stored: &str) -> Result<Self> {
        serde_json::from_str(stored).map_err(Error::internal)
    }
}

/// Short ways to what is in an object's metadata. Missing things read as empty.
pub trait ObjectExt {
    /// `metadata`, as a map; an empty one is put there if it is missing or no map.
    fn metadata_mut(&mut self) -> &mut Map<String, Value>;
    /// A text in the metadata.
    fn meta_text(&self, field: &str) -> &str;
    /// A field of the metadata.
    fn meta(&self, field: &str) -> Option<&Value>;
    /// `metadata.finalizers`.
    fn finalizers(&self) -> Vec<&str>;

    /// `metadata.name`.
    fn name(&self) -> &str {
        self.meta_text("name")
    }
    /// `metadata.namespace`.
    fn namespace(&self) -> &str {
        self.meta_text("namespace")
    }
    /// `metadata.uid`.
    fn uid(&self) -> &str {
        self.meta_text("uid")
    }
    /// Whether `metadata.deletionTimestamp` is set.
    fn is_deleting(&self) -> bool {
        self.meta("deletionTimestamp").is_some_and(|v| !v.is_null())
    }
    /// `metadata.resourceVersion` as a revision; `None` when absent, empty or 0, none of which names one.
    fn revision(&self) -> Result<Option<Revision>> {
        match self.meta_text("resourceVersion") {
            "" | "0" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                Error::bad_request(format!(
                    "metadata.resourceVersion: {text:?} is not a resource version of this server"
                ))
            }),
        }
    }
}

impl ObjectExt for Value {
    fn metadata_mut(&mut self) -> &mut Map<String, Value> {
        if !self.is_object() {
            *self = Value::Object(Map::new());
        }
        let slot = match self {
            Value::Object(map) => map.entry("metadata").or_insert_with(|| Value::Object(Map::new())),
            other => other,
        };
        if !slot.is_object() {
            *slot = Value::Object(Map::new());
        }
        match slot {
            Value::Object(map) => map,
            // Made an object just above.
            _ => unreachable!("metadata is an object"),
        }
    }

    fn meta_text(&self, field: &str) -> &str {
        self.meta(field).and_then(Value::as_str).unwrap_or("")
    }

    fn meta(&self, field: &str) -> Option<&Value> {
        self.get("metadata")?.get(field)
    }

    fn finalizers(&self) -> Vec<&str> {
        self.meta("finalizers").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stored_text_serves_as_the_same_object() {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "a", "namespace": "b", "resourceVersion": "1", "annotations": {"n": "}\""}},
            "data": {"k": "v\"\n"}, "binaryData": {},
        });
        let stored = Body::encode(&object).unwrap().at(42);
        assert!(stored.starts_with("{\"metadata\":{\"resourceVersion\":\"42\",\"name\""), "{stored}");
        let mut expected = object;
        expected["metadata"]["resourceVersion"] = "42".into();
        let served: Value = serde_json::from_str(&serve("v1", "ConfigMap", &stored)).unwrap();
        assert_eq!(served, expected);
        assert_eq!(parse_as("v1", "ConfigMap", &stored).unwrap(), expected);
        let head = Head::of(&stored).unwrap().metadata;
        assert_eq!((head.name.as_str(), head.resource_version.as_str()), ("a", "42"));
        assert_eq!(with_revision(&stored, 7), Body::encode(&expected).unwrap().at(7));
    }
}
