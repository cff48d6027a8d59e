//! What is asked of the server as a whole, where no service was named.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use mcplane_core::Error;

use super::Limits;
use super::answer::{Answer, Failure};
use super::metadata;
use crate::models::Listed;
use crate::services::Fleet;

/// Routes of the server as a whole.
pub fn server_routes(fleet: Arc<Fleet>) -> Router {
    Router::new()
        .route("/v2", get(metadata::server))
        .route("/v2/", get(metadata::server))
        .route("/v2/health/live", get(metadata::live))
        .route("/v2/health/ready", get(ready))
        .route("/v2/repository/index", post(index))
        .route("/invocations", post(invocations))
        .route("/ping", get(ping))
        .route("/health", get(ping))
        .fallback(async || {
            let message =
                "no service is named: send its host (NAME.NAMESPACE), or put /serving/NAMESPACE/NAME before the path";
            Failure(Error::Missing(message.to_owned()))
        })
        .method_not_allowed_fallback(async || {
            Failure(Error::MethodNotAllowed("the path has no such method".to_owned()))
        })
        .with_state(fleet)
}

fn is_ready(fleet: &Fleet) -> bool {
    fleet.all().iter().all(|service| service.newest().is_some())
}

async fn ready(State(fleet): State<Arc<Fleet>>) -> Response {
    metadata::readiness(is_ready(&fleet))
}

async fn ping(State(fleet): State<Arc<Fleet>>) -> StatusCode {
    if is_ready(&fleet) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn invocations(State(fleet): State<Arc<Fleet>>) -> Failure {
    let count = fleet.all().len();
    let message = format!("there are {count} services: name one, as in /serving/NAMESPACE/NAME/invocations");
    Failure(Error::BadRequest(message))
}

async fn index(State(fleet): State<Arc<Fleet>>, headers: HeaderMap, body: Body) -> Answer {
    let listed: Vec<Listed> = fleet.all().iter().flat_map(|service| service.repository().list()).collect();
    metadata::indexed(listed, &headers, body, Limits::default()).await.map(IntoResponse::into_response)
}
