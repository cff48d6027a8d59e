//! How objects and lists are shown: as they are, in YAML, as a table, or by their metadata alone.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mcplane_apimachinery::codec::{self, Accept};
use mcplane_core::{Error, Result};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::table;
use crate::kind::RegisteredKind;
use crate::object::{self, ObjectExt as _};
use crate::service::Listed;
use crate::storage::Stored;

/// Clients read so many bytes of headers, and so many headers, and no more.
const MOST_WARNED: usize = 4096;
const LONGEST_WARNING: usize = 512;

/// How much of an object a table row carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Include {
    Nothing,
    Metadata,
    Object,
}

/// A chosen representation of a kind in a version.
#[derive(Debug, Clone)]
pub(super) struct Representation<'a> {
    kind: Cow<'a, Arc<RegisteredKind>>,
    api_version: String,
    accept: Accept,
    include: Include,
}

impl<'a> Representation<'a> {
    pub(super) fn new(
        kind: &'a Arc<RegisteredKind>,
        version: &str,
        accept: Option<&str>,
        include: &str,
    ) -> Result<Self> {
        let accept = codec::negotiate_among(accept, |accept| !matches!(accept, Accept::Discovery(_)))?;
        let include = match include {
            "" | "Metadata" => Include::Metadata,
            "None" => Include::Nothing,
            "Object" => Include::Object,
            other => {
                return Err(Error::bad_request(format!(
                    "includeObject={other:?}: it must be None, Metadata or Object"
                )));
            }
        };
        Ok(Self { kind: Cow::Borrowed(kind), api_version: kind.api_version(version), accept, include })
    }

    pub(super) fn into_owned(self) -> Representation<'static> {
        let Self { kind, api_version, accept, include } = self;
        Representation { kind: Cow::Owned(kind.into_owned()), api_version, accept, include }
    }

    pub(super) fn api_version(&self) -> &str {
        &self.api_version
    }

    pub(super) fn object(&self, code: StatusCode, object: &Stored, warnings: &[String]) -> Result<Response> {
        let text = match self.accept {
            Accept::Table => {
                let rows = table::rows(&self.kind, &self.api_version, std::slice::from_ref(object), self.include)?;
                let revision = json!({"resourceVersion": object.revision.to_string()});
                table::render(&self.kind, revision, &rows, true)
            }
            _ => self.text(object)?,
        };
        let mut response = self.respond(code, text)?;
        let mut left = MOST_WARNED;
        for warning in warnings {
            let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
            let quoted = &quoted[..quoted.floor_char_boundary(LONGEST_WARNING)];
            left = match left.checked_sub(quoted.len() + 64) {
                Some(left) => left,
                None => break,
            };
            if let Ok(value) = HeaderValue::try_from(format!("299 - \"{quoted}\"")) {
                response.headers_mut().append(HeaderName::from_static("warning"), value);
            }
        }
        Ok(response)
    }

    /// One object as JSON text; also what watches send.
    pub(super) fn text(&self, object: &Stored) -> Result<String> {
        match self.accept {
            Accept::PartialObjectMetadata | Accept::PartialObjectMetadataList => {
                let mut text = String::new();
                partial(&mut text, &object.body)?;
                Ok(text)
            }
            _ => Ok(object::serve(&self.api_version, self.kind.kind, &object.body)),
        }
    }

    /// The object of one watch event; `first` tells whether the client has yet to learn the columns.
    pub(super) fn event(&self, object: &Stored, first: bool) -> Result<String> {
        if self.accept != Accept::Table {
            return self.text(object);
        }
        let rows = table::rows(&self.kind, &self.api_version, std::slice::from_ref(object), self.include)?;
        Ok(table::render(&self.kind, json!({"resourceVersion": object.revision.to_string()}), &rows, first))
    }

    /// The object of a bookmark.
    pub(super) fn bookmark(&self, revision: i64, initial_events_end: bool) -> String {
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if initial_events_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let (api_version, kind) = match self.accept {
            Accept::PartialObjectMetadata | Accept::PartialObjectMetadataList => {
                ("meta.k8s.io/v1", "PartialObjectMetadata")
            }
            Accept::Table => return table::render(&self.kind, metadata, &[], false),
            _ => (self.api_version.as_str(), self.kind.kind),
        };
        json!({"apiVersion": api_version, "kind": kind, "metadata": metadata}).to_string()
    }

    pub(super) fn list(&self, listed: &Listed) -> Result<Response> {
        let mut metadata = Map::from_iter([("resourceVersion".to_owned(), listed.revision.to_string().into())]);
        if let Some(token) = &listed.continue_token {
            metadata.insert("continue".to_owned(), token.as_str().into());
        }
        if let Some(remaining) = listed.remaining {
            metadata.insert("remainingItemCount".to_owned(), remaining.into());
        }
        let metadata = Value::Object(metadata);
        let text = match self.accept {
            Accept::Table => {
                let rows = table::rows(&self.kind, &self.api_version, &listed.items, self.include)?;
                table::render(&self.kind, metadata, &rows, true)
            }
            Accept::PartialObjectMetadata | Accept::PartialObjectMetadataList => {
                items("meta.k8s.io/v1", "PartialObjectMetadataList", &metadata, listed, partial)?
            }
            _ => {
                let kind = format!("{}List", self.kind.kind);
                items(&self.api_version, &kind, &metadata, listed, |text, body| {
                    object::serve_into(text, &self.api_version, self.kind.kind, body);
                    Ok(())
                })?
            }
        };
        self.respond(StatusCode::OK, text)
    }

    fn respond(&self, code: StatusCode, text: String) -> Result<Response> {
        if self.accept == Accept::Yaml {
            let value: Value = serde_json::from_str(&text).map_err(Error::internal)?;
            let yaml = serde_norway::to_string(&value).map_err(Error::internal)?;
            return Ok((code, [(header::CONTENT_TYPE, codec::YAML)], yaml).into_response());
        }
        let response = Response::builder().status(code).header(header::CONTENT_TYPE, self.accept.content_type());
        response.body(Body::from(text)).map_err(Error::internal)
    }
}

fn items(
    api_version: &str,
    kind: &str,
    metadata: &Value,
    listed: &Listed,
    mut push: impl FnMut(&mut String, &str) -> Result<()>,
) -> Result<String> {
    let size: usize = listed.items.iter().map(|item| item.body.len() + 64).sum();
    let mut text = String::with_capacity(size + 256);
    text.push_str(&format!(
        "{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{metadata},\"items\":["
    ));
    for (index, item) in listed.items.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        push(&mut text, &item.body)?;
    }
    text.push_str("]}");
    Ok(text)
}

/// The metadata of stored text, as `PartialObjectMetadata`; the rest is skipped, not built.
fn partial(text: &mut String, stored: &str) -> Result<()> {
    #[derive(Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow)]
        metadata: &'a RawValue,
    }
    let parsed: Metadata<'_> = serde_json::from_str(stored).map_err(Error::internal)?;
    text.push_str("{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":");
    text.push_str(parsed.metadata.get());
    text.push('}');
    Ok(())
}

/// What a deletion that left nothing behind answers.
pub(super) fn gone(kind: &RegisteredKind, last: &Stored) -> Result<Response> {
    let object = object::parse(&last.body)?;
    let mut details = json!({"name": object.name(), "kind": kind.plural, "uid": object.uid()});
    if !kind.group.is_empty() {
        details["group"] = kind.group.into();
    }
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
    Ok(([(header::CONTENT_TYPE, codec::JSON)], status.to_string()).into_response())
}
