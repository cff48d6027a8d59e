//! Refusals that are made before any route is reached, as Kubernetes' `Status`, which every client of the port can read.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

/// A `Status` of a failure.
pub(crate) fn failure(code: StatusCode, reason: &str, message: &str) -> Response {
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code.as_u16(),
    });
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (code, json, status.to_string()).into_response()
}
