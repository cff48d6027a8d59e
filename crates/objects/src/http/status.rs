//! Errors as Kubernetes' `Status`: the one place where they become HTTP.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mcplane_core::{Error, FieldError, Subject};
use serde_json::{Map, Value, json};

/// An error on its way to the client.
#[derive(Debug)]
pub struct Failure(pub Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(error) = self;
        log(&error);
        let code = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response =
            (code, [(header::CONTENT_TYPE, "application/json")], status(&error).to_string()).into_response();
        if let Some(seconds) = retry_after(&error) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if code == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// What the operator should know and the client should not.
fn log(error: &Error) {
    match error {
        Error::Internal(source) => {
            tracing::error!(error.message = ?source, "a request failed for a fault of the server")
        }
        Error::Unavailable { source: Some(source), .. } => {
            tracing::warn!(error.message = ?source, "a request failed for something that is away");
        }
        _ => {}
    }
}

/// The `Status` object of an error.
pub fn status(error: &Error) -> Value {
    let mut status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": error.to_string(), "reason": reason(error), "code": error.http_status(),
    });
    let details = details(error);
    if !details.is_empty() {
        status["details"] = details.into();
    }
    status
}

fn reason(error: &Error) -> &'static str {
    match error {
        Error::BadRequest(_) => "BadRequest",
        Error::Unauthorized(_) => "Unauthorized",
        Error::Forbidden { .. } => "Forbidden",
        Error::NotFound(_) | Error::NoSuchPath => "NotFound",
        Error::MethodNotAllowed(_) => "MethodNotAllowed",
        Error::NotAcceptable(_) => "NotAcceptable",
        Error::AlreadyExists(_) => "AlreadyExists",
        Error::Conflict { .. } => "Conflict",
        Error::Expired(_) => "Expired",
        Error::TooLarge(_) => "RequestEntityTooLarge",
        Error::UnsupportedMediaType(_) => "UnsupportedMediaType",
        Error::Invalid { .. } => "Invalid",
        Error::TooManyRequests { .. } => "TooManyRequests",
        Error::Internal(_) => "InternalError",
        Error::Unavailable { .. } => "ServiceUnavailable",
        Error::Timeout(_) => "Timeout",
    }
}

fn retry_after(error: &Error) -> Option<u32> {
    match error {
        Error::TooManyRequests { retry_after_s, .. } => Some(*retry_after_s),
        Error::Unavailable { .. } | Error::Timeout(_) => Some(1),
        _ => None,
    }
}

fn details(error: &Error) -> Map<String, Value> {
    let mut details = Map::new();
    let (subject, causes): (Option<&Subject>, &[FieldError]) = match error {
        Error::Invalid { subject, causes } => (Some(subject), causes),
        Error::Forbidden { subject, .. } | Error::Conflict { subject, .. } => (Some(subject), &[]),
        Error::NotFound(subject) | Error::AlreadyExists(subject) => (Some(subject), &[]),
        _ => (None, &[]),
    };
    if let Some(subject) = subject {
        for (key, value) in [("name", &subject.name), ("group", &subject.group), ("kind", &subject.resource)] {
            if !value.is_empty() {
                details.insert(key.to_owned(), value.as_str().into());
            }
        }
    }
    if !causes.is_empty() {
        details.insert("causes".to_owned(), causes.iter().map(cause).collect());
    }
    if let Error::Timeout(message) = error
        && message.starts_with("Too large resource version")
    {
        // Clients recognise this case by its cause and retry with an older revision.
        let cause = json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
        details.insert("causes".to_owned(), json!([cause]));
    }
    if let Some(seconds) = retry_after(error) {
        details.insert("retryAfterSeconds".to_owned(), seconds.into());
    }
    details
}

fn cause(error: &FieldError) -> Value {
    json!({"reason": error.reason.cause(), "message": error.message(), "field": error.field})
}
