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
                let row = table::row(&self.kind, &self.api_version, object, self.include)?;
                let revision = json!({"resourceVersion": object.revision.to_string()});
                table::render(&self.kind, &revision, Some(&row), true)
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
        let row = table::row(&self.kind, &self.api_version, object, self.include)?;
        Ok(table::render(&self.kind, &json!({"resourceVersion": object.revision.to_string()}), Some(&row), first))
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
            Accept::Table => return table::render(&self.kind, &metadata, None, false),
            _ => (self.api_version.as_str(), self.kind.kind),
        };
        json!({"apiVersion": api_version, "kind": kind, "metadata": metadata}).to_string()
    }

    /// The text of a list up to its items; of `listed`, they alone do not matter.
    pub(super) fn begin_list(&self, text: &mut String, listed: &Listed) -> Result<()> {
        let mut metadata = Map::from_iter([("resourceVersion".to_owned(), listed.revision.to_string().into())]);
        if let Some(token) = &listed.continue_token {
            metadata.insert("continue".to_owned(), token.as_str().into());
        }
        if let Some(remaining) = listed.remaining {
            metadata.insert("remainingItemCount".to_owned(), remaining.into());
        }
        let metadata = Value::Object(metadata);
        let list = format!("{}List", self.kind.kind);
        let (kind, api_version) = match self.accept {
            Accept::Table => {
                table::begin(text, &self.kind, &metadata, true);
                return Ok(());
            }
            Accept::Yaml => {
                let head = json!({"kind": list, "apiVersion": self.api_version, "metadata": metadata});
                text.push_str(&serde_norway::to_string(&head).map_err(Error::internal)?);
                text.push_str("items:");
                return Ok(());
            }
            Accept::PartialObjectMetadata | Accept::PartialObjectMetadataList => {
                ("PartialObjectMetadataList", "meta.k8s.io/v1")
            }
            _ => (list.as_str(), self.api_version.as_str()),
        };
        text.push_str(&format!(
            "{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{metadata},\"items\":["
        ));
        Ok(())
    }

    /// Adds items to a list; `first` if there are none yet.
    pub(super) fn list_items(&self, text: &mut String, items: &[Stored], first: bool) -> Result<()> {
        if self.accept == Accept::Yaml {
            let parse = |item: &Stored| object::parse_as(&self.api_version, self.kind.kind, &item.body);
            let objects = items.iter().map(parse).collect::<Result<Vec<Value>>>()?;
            if first && !objects.is_empty() {
                text.push('\n');
            }
            if !objects.is_empty() {
                text.push_str(&serde_norway::to_string(&objects).map_err(Error::internal)?);
            }
            return Ok(());
        }
        for (index, item) in items.iter().enumerate() {
            if index > 0 || !first {
                text.push(',');
            }
            match self.accept {
                Accept::Table => {
                    let row = table::row(&self.kind, &self.api_version, item, self.include)?;
                    text.push_str(&row.to_string());
                }
                Accept::PartialObjectMetadata | Accept::PartialObjectMetadataList => partial(text, &item.body)?,
                _ => object::serve_into(text, &self.api_version, self.kind.kind, &item.body),
            }
        }
        Ok(())
    }

    /// Ends a list.
    pub(super) fn end_list(&self, text: &mut String, empty: bool) {
        text.push_str(match (self.accept, empty) {
            (Accept::Yaml, true) => " []\n",
            (Accept::Yaml, false) => "",
            _ => "]}",
        });
    }

    fn respond(&self, code: StatusCode, text: String) -> Result<Response> {
        if self.accept != Accept::Yaml {
            return self.stream(code, text.into());
        }
        let value: Value = serde_json::from_str(&text).map_err(Error::internal)?;
        self.stream(code, serde_norway::to_string(&value).map_err(Error::internal)?.into())
    }

    /// A response with this body, which is in the chosen representation.
    pub(super) fn stream(&self, code: StatusCode, body: Body) -> Result<Response> {
        let response = Response::builder().status(code).header(header::CONTENT_TYPE, self.accept.content_type());
        response.body(body).map_err(Error::internal)
    }
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
