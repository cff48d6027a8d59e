//! Who may ask a service for predictions, where not everybody may.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http::Extensions;
use mcplane_access::{Access, Anonymous};
use mcplane_core::{Authorizer, Context, Error, Result, authz};
use mcplane_serving::services;
use serde_json::Value;

use super::door::failure;

/// Asks whether callers may.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    pub(super) authorizer: Arc<dyn Authorizer>,
}

impl Guard {
    /// Whether the caller may ask that service.
    pub(super) fn check(&self, extensions: &Extensions, namespace: &str, service: &str) -> Result<()> {
        let context = extensions.get::<Arc<Context>>().ok_or_else(|| Error::internal("a request of nobody"))?;
        authz::authorize(&*self.authorizer, context, services::attributes(namespace, service)).map(drop)
    }
}

/// Marks answers that passed authentication.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed;

/// Lets nobody in without a good token.
pub(super) fn demand(access: &Access, router: Router) -> Router {
    let marked = router.layer(from_fn(async |request: Request, next: Next| {
        let mut response = next.run(request).await;
        response.extensions_mut().insert(Passed);
        response
    }));
    access.authenticate(marked, Anonymous::Nobody).layer(from_fn(reworded))
}

/// Refusals of the authentication are Kubernetes'; here they are in the words of this protocol.
async fn reworded(request: Request, next: Next) -> Response {
    const LONGEST: usize = 64 << 10;
    let response = next.run(request).await;
    if response.extensions().get::<Passed>().is_some() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, LONGEST).await.unwrap_or_default();
    let status: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let mut reworded = failure(parts.status, status["message"].as_str().unwrap_or("the request was refused"));
    if let Some(challenge) = parts.headers.get(http::header::WWW_AUTHENTICATE) {
        reworded.headers_mut().insert(http::header::WWW_AUTHENTICATE, challenge.clone());
    }
    reworded.map(Body::new)
}
