//! Request bodies: read within the limit, decoded once.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use mcplane_apimachinery::codec::{self, Decoded, TypeMeta};
use mcplane_core::{Error, Result};
use serde_json::Value;

use crate::service::Patch;

/// A body as bytes.
pub(super) async fn read(body: Body, limit: usize) -> Result<Bytes> {
    axum::body::to_bytes(body, limit).await.map_err(|error| {
        // The limit's error is the innermost of a chain of wrappers.
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(inner) = source {
            if inner.is::<http_body_util::LengthLimitError>() {
                return Error::TooLarge(format!("Request entity too large: limit is {limit}"));
            }
            source = inner.source();
        }
        Error::bad_request("the request body could not be read")
    })
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok())
}

/// Bodies above this are decoded beside the asynchronous threads: YAML can be written to take seconds.
const LARGE: usize = 64 << 10;

/// The object in a body.
pub(super) async fn object(headers: &HeaderMap, bytes: Bytes, api_version: &str, kind: &str) -> Result<Decoded> {
    if bytes.is_empty() {
        return Err(Error::bad_request("the request needs a body"));
    }
    let content_type = content_type(headers);
    if bytes.len() <= LARGE {
        return codec::decode(content_type, &bytes, Some(TypeMeta { api_version, kind }));
    }
    let (content_type, api_version, kind) = (content_type.map(str::to_owned), api_version.to_owned(), kind.to_owned());
    let decode = move || {
        let meta = TypeMeta { api_version: &api_version, kind: &kind };
        codec::decode(content_type.as_deref(), &bytes, Some(meta))
    };
    tokio::task::spawn_blocking(decode).await.map_err(Error::internal)?
}

/// The options in the body of a deletion, if it has one.
pub(super) fn delete_options(headers: &HeaderMap, bytes: &[u8]) -> Result<Option<Value>> {
    const KIND: &str = "DeleteOptions";
    if bytes.is_empty() {
        return Ok(None);
    }
    let meta = TypeMeta { api_version: "meta.k8s.io/v1", kind: KIND };
    let options = codec::decode(content_type(headers), bytes, Some(meta))?.value;
    if options["kind"] != KIND {
        return Err(Error::bad_request(format!("the body of a deletion is {KIND}, not {}", options["kind"])));
    }
    Ok(Some(options))
}

/// The patch in a body, and the keys that occur twice in it; its content type says of which kind it is.
pub(super) fn patch(headers: &HeaderMap, bytes: &[u8]) -> Result<(Patch, Vec<String>)> {
    const JSON: &str = "application/json-patch+json";
    const MERGE: &str = "application/merge-patch+json";
    const STRATEGIC: &str = "application/strategic-merge-patch+json";
    let essence = content_type(headers).unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let wrap = match essence.as_str() {
        JSON => Patch::Json,
        MERGE => Patch::Merge,
        STRATEGIC => Patch::Strategic,
        _ => return Err(codec::unsupported(&[JSON, MERGE, STRATEGIC])),
    };
    let Decoded { value, duplicates } = codec::json::decode(bytes)?;
    Ok((wrap(value), duplicates))
}
