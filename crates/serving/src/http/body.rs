//! Bodies of requests, unpacked within their limit.

use std::io::Read;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use mcplane_core::{Error, Result};

/// Reads a body. Compressed ones are unpacked; the limit holds for both forms, so that a small body can't become a
/// large one.
pub(super) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes> {
    let too_large = || Error::TooLarge(format!("the body is larger than the limit of {limit} bytes"));
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let packed = to_bytes(body, limit).await.map_err(|error| match is_limit(&error) {
        true => too_large(),
        false => Error::BadRequest("the body ended early".to_owned()),
    })?;
    let encoding = headers.get(header::CONTENT_ENCODING).map_or(&b""[..], |encoding| encoding.as_bytes());
    let mut unpacked = Vec::new();
    let most = limit as u64 + 1;
    let read = match encoding.to_ascii_lowercase().as_slice() {
        b"" | b"identity" => return Ok(packed),
        b"gzip" | b"x-gzip" => MultiGzDecoder::new(&*packed).take(most).read_to_end(&mut unpacked),
        b"deflate" => ZlibDecoder::new(&*packed).take(most).read_to_end(&mut unpacked),
        other => {
            let other = String::from_utf8_lossy(other);
            return Err(Error::UnsupportedMediaType(format!(
                "content encoding {other:?} is not supported: send gzip, deflate or none"
            )));
        }
    };
    read.map_err(|error| Error::BadRequest(format!("the body can't be unpacked: {error}")))?;
    if unpacked.len() > limit { Err(too_large()) } else { Ok(Bytes::from(unpacked)) }
}

fn is_limit(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        source = error.source();
    }
    false
}
