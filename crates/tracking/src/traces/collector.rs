//! `POST /v1/traces`: OpenTelemetry's protocol over HTTP, as its exporters speak it.

use std::io::Read;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use flate2::read::{DeflateDecoder, GzDecoder, ZlibDecoder};
use mcplane_core::{Error, Result};
use serde_json::json;

use super::ingest::{Arrivals, arrivals};
use super::otlp::ExportRequest;
use super::store::RUN;
use super::{otlp, otlp_json};
use crate::mlflow::{Admitted, Answer, Dialect};
use crate::scope::TRACES;

/// Largest request, before and after it is inflated.
const MOST_BYTES: usize = 32 << 20;
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
const EXPERIMENT: &str = "x-mlflow-experiment-id";
const RUN_ID: &str = "x-mlflow-run-id";

pub(crate) fn routes(dialect: Dialect) -> Dialect {
    dialect.plain_post("/v1/traces", TRACES.to("create"), export)
}

async fn export(Admitted { door, grant }: Admitted, request: Request) -> Answer {
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    let Some(experiment) = text(&headers, EXPERIMENT) else { return Ok(no_experiment()) };
    let decode = match decoder(&headers) {
        Ok(decode) => decode,
        Err(message) => return Ok(refusal(StatusCode::BAD_REQUEST, &message)),
    };
    let too_large = |_| Error::TooLarge(format!("a request takes at most {MOST_BYTES} bytes"));
    let body = to_bytes(body, MOST_BYTES).await.map_err(too_large)?;
    let encoding = text(&headers, header::CONTENT_ENCODING.as_str()).unwrap_or_default().to_ascii_lowercase();
    // Inflating and decoding megabytes takes longer than others should wait.
    let read = tokio::task::spawn_blocking(move || read(&body, &encoding, decode)).await.map_err(Error::internal)?;
    let arrivals = match read {
        Ok(arrivals) => arrivals,
        Err((status, detail)) => return Ok(refusal(status, &detail)),
    };
    let traces = door.tracking.take_spans(&grant, experiment, arrivals).await?;
    if let Some(run) = text(&headers, RUN_ID) {
        for traces in traces.chunks(100) {
            door.tracking.link_traces(&grant, traces.to_vec(), RUN, vec![run.to_owned()]).await?;
        }
    }
    // The answer is a message without fields, which has no bytes.
    Ok(([(header::CONTENT_TYPE, PROTOBUF)], "").into_response())
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty())
}

type Decode = fn(&[u8]) -> Result<ExportRequest>;

/// What reads a body of the type that the headers tell.
fn decoder(headers: &HeaderMap) -> Result<Decode, String> {
    let given = text(headers, header::CONTENT_TYPE.as_str());
    match given.and_then(|given| given.split(';').next()).map(str::trim) {
        Some(PROTOBUF) => Ok(otlp::decode),
        Some(JSON) => Ok(otlp_json::decode),
        _ => Err(format!("Invalid Content-Type: {}. Expected: {PROTOBUF} or {JSON}", given.unwrap_or("None"))),
    }
}

/// The answers of this route that are no refusals of the rest of the dialect.
fn refusal(status: StatusCode, detail: &str) -> Response {
    (status, axum::Json(json!({"detail": detail}))).into_response()
}

fn no_experiment() -> Response {
    let missing = json!({"type": "missing", "loc": ["header", EXPERIMENT], "msg": "Field required", "input": null});
    (StatusCode::UNPROCESSABLE_ENTITY, axum::Json(json!({"detail": [missing]}))).into_response()
}

/// The spans of a body, or why there are none.
fn read(body: &[u8], encoding: &str, decode: Decode) -> Result<Arrivals, (StatusCode, String)> {
    let refused = |error: Error| match error {
        Error::TooLarge(message) => (StatusCode::PAYLOAD_TOO_LARGE, message),
        error => (StatusCode::BAD_REQUEST, error.to_string()),
    };
    let request = inflate(body, encoding).and_then(|body| decode(&body)).map_err(refused)?;
    if request.resource_spans.is_empty() {
        return Err((StatusCode::BAD_REQUEST, "Invalid OpenTelemetry format - no spans found".to_owned()));
    }
    arrivals(request).map_err(|error| (StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))
}

fn inflate(body: &[u8], encoding: &str) -> Result<Vec<u8>> {
    let broken = |_| Error::bad_request(format!("Failed to decompress {encoding} payload"));
    match encoding {
        "" | "identity" => Ok(body.to_vec()),
        "gzip" => bounded(GzDecoder::new(body))?.map_err(broken),
        // The name means zlib's format; some clients send what is in it.
        "deflate" => match bounded(ZlibDecoder::new(body))? {
            Ok(inflated) => Ok(inflated),
            Err(_) => bounded(DeflateDecoder::new(body))?.map_err(broken),
        },
        other => Err(Error::bad_request(format!("Unsupported Content-Encoding: {other}"))),
    }
}

/// What a decoder gives, unless that is too much.
fn bounded(decoder: impl Read) -> Result<std::io::Result<Vec<u8>>> {
    let mut inflated = Vec::new();
    let read = decoder.take(MOST_BYTES as u64 + 1).read_to_end(&mut inflated);
    if inflated.len() > MOST_BYTES {
        return Err(Error::TooLarge(format!("a request takes at most {MOST_BYTES} bytes when it is inflated")));
    }
    Ok(read.map(|_| inflated))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    #[test]
    fn all_encodings_are_inflated_up_to_the_limit() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
        for encoder in [&mut gzip as &mut dyn std::io::Write, &mut zlib, &mut raw] {
            encoder.write_all(b"spans").unwrap();
        }
        for (body, encoding) in
            [(gzip.finish().unwrap(), "gzip"), (zlib.finish().unwrap(), "deflate"), (raw.finish().unwrap(), "deflate")]
        {
            assert_eq!(inflate(&body, encoding).unwrap(), b"spans");
        }
        let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
        bomb.write_all(&vec![0; MOST_BYTES + 1]).unwrap();
        assert!(matches!(inflate(&bomb.finish().unwrap(), "gzip"), Err(Error::TooLarge(_))));
        assert_eq!(inflate(b"x", "br").unwrap_err().to_string(), "Unsupported Content-Encoding: br");
        assert_eq!(inflate(b"garbage", "gzip").unwrap_err().to_string(), "Failed to decompress gzip payload");
    }
}
