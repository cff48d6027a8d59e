//! Errors as Kubernetes' `Status`: the one place where they become HTTP.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mcplane_core::error::MOST_CAUSES;
use mcplane_core::{Error, FieldError, Subject};
use serde_json::{Map, Value, json};

/// Bytes of a message, and of a name or a field beside it. What a client sent is quoted, and may be of any length.
const LONGEST_MESSAGE: usize = 16 << 10;
const LONGEST_DETAIL: usize = 1 << 10;

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
        "message": cut(&error.to_string(), LONGEST_MESSAGE), "reason": reason(error), "code": error.http_status(),
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
        Error::NotFound(_) | Error::Missing(_) | Error::NoSuchPath => "NotFound",
        Error::MethodNotAllowed(_) => "MethodNotAllowed",
        Error::NotAcceptable(_) => "NotAcceptable",
        Error::AlreadyExists(_) | Error::Exists(_) => "AlreadyExists",
        Error::Conflict { .. } | Error::WrongState(_) => "Conflict",
        Error::Unsupported(_) => "NotImplemented",
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
                details.insert(key.to_owned(), cut(value, LONGEST_DETAIL).into());
            }
        }
    }
    if !causes.is_empty() {
        details.insert("causes".to_owned(), causes.iter().take(MOST_CAUSES).map(cause).collect());
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
    let (message, field) = (cut(&error.message(), LONGEST_DETAIL), cut(&error.field, LONGEST_DETAIL));
    json!({"reason": error.reason.cause(), "message": message, "field": field})
}

fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(longest)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_sent_is_quoted_up_to_a_length() {
        let long = "ä".repeat(1 << 14);
        let subject = Subject::new(&long, &long, &long);
        let causes = vec![FieldError::required(&long, &long); 1000];
        for error in [
            Error::Invalid { subject: subject.clone(), causes },
            Error::NotFound(subject),
            Error::BadRequest(long.clone()),
        ] {
            let answer = status(&error);
            assert!(answer.to_string().len() < 512 << 10, "{}", answer["reason"]);
            assert!(answer["message"].as_str().is_some_and(|text| text.ends_with('…')));
        }
        assert_eq!(status(&Error::BadRequest("short".to_owned()))["message"], "short");
    }
}
