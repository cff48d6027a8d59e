//! What goes back: JSON, or the one mapping of errors to the dialect's.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use mcplane_core::{Error, Result};
use serde::Serialize;
use serde_json::json;

/// What a handler gives.
pub(crate) type Answer = Result<Response, Refusal>;

/// `value` as JSON.
pub(crate) fn reply<T: Serialize>(value: &T) -> Answer {
    let body = serde_json::to_vec(value).map_err(Error::internal)?;
    Ok(json_response(StatusCode::OK, Body::from(body)))
}

/// A message that is written while it is sent, part by part.
pub(crate) fn reply_parts(parts: impl Iterator<Item = serde_json::Result<Bytes>> + Send + 'static) -> Response {
    json_response(StatusCode::OK, Body::from_stream(stream::iter(parts)))
}

/// A message without fields.
pub(crate) fn reply_empty() -> Answer {
    Ok(json_response(StatusCode::OK, Body::from("{}")))
}

fn json_response(status: StatusCode, body: Body) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// An error on its way to the client.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// A name of the protocol's error, its HTTP status and its class. Clients choose their exception by the name.
const fn code(error: &Error) -> (&'static str, u16, &'static str) {
    match error {
        Error::BadRequest(_) | Error::Invalid { .. } | Error::TooLarge(_) | Error::UnsupportedMediaType(_) => {
            ("INVALID_PARAMETER_VALUE", 400, "INVALID_PARAMETER_VALUE")
        }
        Error::NotAcceptable(_) => ("BAD_REQUEST", 400, "INVALID_PARAMETER_VALUE"),
        Error::Unauthorized(_) => ("UNAUTHENTICATED", 401, ""),
        Error::Forbidden { .. } => ("PERMISSION_DENIED", 403, "PERMISSION_DENIED"),
        Error::NotFound(_) | Error::Missing(_) => ("RESOURCE_DOES_NOT_EXIST", 404, "RESOURCE_NOT_FOUND"),
        Error::NoSuchPath | Error::MethodNotAllowed(_) => ("ENDPOINT_NOT_FOUND", 404, "RESOURCE_NOT_FOUND"),
        Error::AlreadyExists(_) | Error::Exists(_) => ("RESOURCE_ALREADY_EXISTS", 400, "RESOURCE_ALREADY_EXISTS"),
        Error::Conflict { .. } => ("RESOURCE_CONFLICT", 409, ""),
        Error::WrongState(_) => ("INVALID_STATE", 500, "CLIENT_INTERNAL_ERROR"),
        Error::Expired(_) => ("INVALID_PARAMETER_VALUE", 400, "INVALID_PARAMETER_VALUE"),
        Error::TooManyRequests { .. } => ("REQUEST_LIMIT_EXCEEDED", 429, ""),
        Error::Unsupported(_) => ("NOT_IMPLEMENTED", 501, ""),
        Error::Unavailable { .. } => ("TEMPORARILY_UNAVAILABLE", 503, "CLIENT_INTERNAL_ERROR"),
        Error::Timeout(_) => ("DEADLINE_EXCEEDED", 504, ""),
        Error::Internal(_) => ("INTERNAL_ERROR", 500, "CLIENT_INTERNAL_ERROR"),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(error) = self;
        log(&error);
        let (name, status, class) = code(&error);
        let mut body = json!({"error_code": name, "message": error.to_string()});
        if !class.is_empty() {
            body["error_class"] = class.into();
            body["sqlstate"] = if class == "CLIENT_INTERNAL_ERROR" { "XXM00" } else { "KAM00" }.into();
        }
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = json_response(status, Body::from(body.to_string()));
        if status == StatusCode::UNAUTHORIZED {
            let basic = HeaderValue::from_static("Basic realm=\"mcplane\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
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

/// The page of a path that leads nowhere; clients look for HTML.
pub(super) async fn no_such_path() -> Response {
    page(StatusCode::NOT_FOUND, "Not Found", "The requested URL was not found on the server.")
}

/// Where a path leads that begins with two slashes: the same with one.
pub(super) async fn merged(uri: Uri) -> Response {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let merged = format!("/{}", target.trim_start_matches('/'));
    match HeaderValue::from_str(&merged) {
        Ok(location) => (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, location)]).into_response(),
        Err(_) => no_such_path().await,
    }
}

/// The page of a method that a path does not take.
pub(super) async fn no_such_method() -> Response {
    page(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed", "The method is not allowed for the requested URL.")
}

fn page(status: StatusCode, title: &str, text: &str) -> Response {
    let code = status.as_u16();
    let html =
        format!("<!doctype html>\n<html lang=en>\n<title>{code} {title}</title>\n<h1>{title}</h1>\n<p>{text}</p>\n");
    (status, Html(html)).into_response()
}
