//! The data plane: routes of the Open Inference Protocol and of MLflow's scoring server.
//!
//! Every error is `{"error": "…"}`; what the caller can mend is a 4xx. Nobody is asked who they are: the listener is for
//! model traffic, and what stands before it decides who may send some.

mod answer;
mod body;
mod infer;
mod metadata;
mod server;
mod target;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use mcplane_core::{Clock, Error, SystemClock};
use mcplane_monitoring::PredictionId;

use crate::models::{Loaded, Repository};
use crate::predictions::{Made, Predictions};
use crate::tensor::Tensor;
use answer::Failure;
pub use server::server_routes;

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
#[derive(Clone)]
pub struct Door {
    /// All models.
    pub repository: Arc<Repository>,
    /// What requests are held to.
    pub limits: Limits,
    /// Who hears of predictions.
    pub listeners: Arc<[Arc<dyn Predictions>]>,
    /// When predictions are made.
    pub clock: Arc<dyn Clock>,
}

impl Door {
    /// A door to models whose predictions nobody hears of.
    pub fn new(repository: Arc<Repository>, limits: Limits) -> Self {
        Self { repository, limits, listeners: Arc::new([]), clock: Arc::new(SystemClock) }
    }

    /// Tells of a prediction; gives its name, if a revision made it.
    fn predicted(&self, model: &Loaded, inputs: &[Tensor], outputs: &[Tensor]) -> Option<PredictionId> {
        let about = model.about()?;
        let at = self.clock.now();
        let id = PredictionId::generate(at, about.no);
        for listener in &*self.listeners {
            listener.made(Made {
                id,
                at,
                service: model.name(),
                number: model.version(),
                about,
                inputs: (model.inputs(), inputs),
                outputs: (model.outputs(), outputs),
            });
        }
        Some(id)
    }
}

/// Who answers a request, put into its extensions by whoever decided it.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The version.
    pub loaded: Arc<Loaded>,
    /// What paths may call the model, besides its own name: the first label of the host that was asked.
    pub alias: String,
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
