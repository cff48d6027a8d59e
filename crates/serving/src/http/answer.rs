//! Answers in JSON.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mcplane_core::Error;
use serde::Serialize;

/// An error as the protocol has it.
#[derive(Debug)]
pub(super) struct Failure(pub(super) Error);

#[derive(Serialize)]
struct Body {
    error: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::warn!(error = ?self.0, "a request for inference failed");
        }
        (status, json(&Body { error: self.0.to_string() })).into_response()
    }
}

pub(super) type Answer = Result<Response, Failure>;

/// A value as JSON.
pub(super) fn json(value: &impl Serialize) -> Response {
    // What is shown here has no maps with keys that are not strings, which is all that can't be written.
    written(serde_json::to_vec(value).unwrap_or_default())
}

/// JSON that is already written.
pub(super) fn written(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}
