//! `POST /auth/login`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use mcplane_core::{Context, Error, Result, clock};
use mcplane_objects::http::Failure;
use serde::Deserialize;
use serde_json::json;

use super::{Door, context};

/// Enough for the longest name and password.
const MOST_BYTES: usize = 16 << 10;

/// Not printable: it holds a password.
#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
}

/// Gives a token for a name and a password.
pub(super) async fn login(
    State(door): State<Door>,
    extension: Option<Extension<Arc<Context>>>,
    body: Body,
) -> Result<Response, Failure> {
    let Credentials { username, password } = read(body).await?;
    let issued = door.logins.login(&context(extension), &username, password).await?;
    let answer = json!({"token": issued.token, "expires": clock::rfc3339(issued.expires)}).to_string();
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, answer).into_response())
}

async fn read(body: Body) -> Result<Credentials> {
    let too_large = |_| Error::TooLarge(format!("a login takes at most {MOST_BYTES} bytes"));
    let bytes = axum::body::to_bytes(body, MOST_BYTES).await.map_err(too_large)?;
    // Serde's message could quote the password.
    serde_json::from_slice(&bytes)
        .map_err(|_| Error::bad_request(r#"a login must be JSON: {"username": "NAME", "password": "PASSWORD"}"#))
}
