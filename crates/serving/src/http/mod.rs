//! The data plane: routes of the Open Inference Protocol and of MLflow's scoring server.
//!
//! Every error is `{"error": "…"}`; what the caller can mend is a 4xx. Nobody is asked who they are: the listener is for
//! model traffic, and what stands before it decides who may send some.

mod answer;
mod body;
mod infer;
mod metadata;
mod target;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use mcplane_core::Error;

use crate::models::Repository;
use answer::Failure;

/// What requests are held to.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest body in bytes, before and after it is unpacked.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: 64 << 20 }
    }
}

/// What the routes need.
#[derive(Debug, Clone)]
pub struct Door {
    /// All models.
    pub repository: Arc<Repository>,
    /// What requests are held to.
    pub limits: Limits,
}

/// All routes of the data plane.
pub fn routes(door: Door) -> Router {
    let model = Router::new()
        .route("/", get(metadata::model))
        .route("/ready", get(metadata::model_ready))
        .route("/infer", post(infer::infer))
        .route("/invocations", post(infer::invocations));
    Router::new()
        .route("/v2", get(metadata::server))
        .route("/v2/", get(metadata::server))
        .route("/v2/health/live", get(metadata::live))
        .route("/v2/health/ready", get(metadata::ready))
        .route("/v2/repository/index", post(metadata::index))
        .nest("/v2/models/{model}/versions/{version}", model.clone())
        .nest("/v2/models/{model}", model)
        .route("/invocations", post(infer::invocations))
        .route("/ping", get(metadata::ping))
        .route("/health", get(metadata::ping))
        .fallback(|| async { Failure(Error::NoSuchPath) })
        .method_not_allowed_fallback(|| async {
            Failure(Error::MethodNotAllowed("the path has no such method".to_owned()))
        })
        .with_state(door)
}
