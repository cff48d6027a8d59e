//! What there is, and whether it is well.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use mcplane_core::Error;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, json};
use super::body::read;
use super::target::Target;
use super::{Door, Limits};
use crate::engine::TensorSpec;
use crate::models::Listed;

#[derive(Serialize)]
struct Server {
    name: &'static str,
    version: &'static str,
    extensions: [&'static str; 2],
}

/// `GET /v2`
pub(super) async fn server() -> Response {
    json(&Server {
        name: "mcplane",
        version: env!("CARGO_PKG_VERSION"),
        extensions: ["binary_tensor_data", "model_repository"],
    })
}

#[derive(Serialize)]
struct Live {
    live: bool,
}

/// `GET /v2/health/live`
pub(super) async fn live() -> Response {
    json(&Live { live: true })
}

#[derive(Serialize)]
struct Ready {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    ready: bool,
}

/// A service is ready when one of its versions is; a server, when all that it was told to load are.
fn is_ready(door: &Door, target: &Target) -> bool {
    target.chosen.is_some() || door.repository.is_ready()
}

/// `GET /v2/health/ready`
pub(super) async fn ready(State(door): State<Door>, target: Target) -> Response {
    readiness(is_ready(&door, &target))
}

pub(super) fn readiness(ready: bool) -> Response {
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, json(&Ready { name: None, ready })).into_response()
}

/// `GET /ping` and `GET /health`, as MLflow's scoring server has them.
pub(super) async fn ping(State(door): State<Door>, target: Target) -> StatusCode {
    if is_ready(&door, &target) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

#[derive(Serialize)]
struct ModelMetadata<'a> {
    name: &'a str,
    versions: Vec<String>,
    platform: &'static str,
    inputs: Vec<TensorMetadata<'a>>,
    outputs: Vec<TensorMetadata<'a>>,
}

#[derive(Serialize)]
struct TensorMetadata<'a> {
    name: &'a str,
    datatype: &'static str,
    /// -1 where any length will do.
    shape: Vec<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Parameters<'a>>,
}

#[derive(Serialize)]
struct Parameters<'a> {
    /// What the columns stand for.
    labels: &'a [String],
}

fn shown(spec: &TensorSpec) -> TensorMetadata<'_> {
    let length = |length: &Option<usize>| length.map_or(-1, |length| i64::try_from(length).unwrap_or(i64::MAX));
    TensorMetadata {
        name: &spec.name,
        datatype: spec.datatype.name(),
        shape: spec.shape.iter().map(length).collect(),
        parameters: (!spec.labels.is_empty()).then_some(Parameters { labels: &spec.labels }),
    }
}

/// `GET /v2/models/{model}[/versions/{version}]`
pub(super) async fn model(State(door): State<Door>, target: Target) -> Answer {
    let model = target.find(&door)?;
    let versions = match target.version {
        Some(version) => vec![version.to_string()],
        None => door.repository.versions(model.name()).iter().map(u64::to_string).collect(),
    };
    Ok(json(&ModelMetadata {
        name: model.name(),
        versions,
        platform: model.platform(),
        inputs: model.inputs().iter().map(shown).collect(),
        outputs: model.outputs().iter().map(shown).collect(),
    }))
}

/// `GET /v2/models/{model}[/versions/{version}]/ready`
pub(super) async fn model_ready(State(door): State<Door>, target: Target) -> Answer {
    let model = target.find(&door)?;
    Ok(json(&Ready { name: Some(model.name().to_owned()), ready: true }))
}

#[derive(Default, Deserialize)]
struct Filter {
    #[serde(default)]
    ready: bool,
}

#[derive(Serialize)]
struct Indexed {
    name: String,
    version: String,
    state: &'static str,
    reason: String,
}

/// `POST /v2/repository/index`
pub(super) async fn index(State(door): State<Door>, headers: HeaderMap, body: Body) -> Answer {
    indexed(door.repository.list(), &headers, body, door.limits).await
}

pub(super) async fn indexed(listed: Vec<Listed>, headers: &HeaderMap, body: Body, limits: Limits) -> Answer {
    let body = read(headers, body, limits.body.min(1 << 16)).await?;
    let filter = if body.is_empty() { Ok(Filter::default()) } else { serde_json::from_slice(&body) };
    let filter: Filter =
        filter.map_err(|error| Error::BadRequest(format!("the body is no filter of the index: {error}")))?;
    let listed = listed.into_iter().filter(|listed| listed.ready || !filter.ready);
    let shown = |listed: Listed| Indexed {
        name: listed.name,
        version: listed.version.to_string(),
        state: if listed.ready { "READY" } else { "UNAVAILABLE" },
        reason: listed.reason,
    };
    Ok(json(&listed.map(shown).collect::<Vec<_>>()))
}
