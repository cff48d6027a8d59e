//! The dialect of MLflow's REST API: what all nouns share of it. Each noun's `mlflow.rs` holds its routes.
//!
//! A route names the verb and the noun that roles speak of, so that none can be added without saying who may use it; the
//! caller is checked before anything of the request is read.

mod answer;
mod call;
pub(crate) mod fields;
mod routes;
mod server;

use std::sync::Arc;

use mcplane_core::Authorizer;
use mcplane_objects::Objects;
use mcplane_objects::http::Routes;

pub(crate) use answer::{Answer, Refusal, reply, reply_empty, reply_parts};
pub(crate) use call::{Admitted, Call, DEFAULT_WORKSPACE, Unread};
pub(crate) use routes::{Access, Dialect, Inner};

use crate::{
    Tracking, artifacts, datasets, evaluation_datasets, experiments, graphql, lineage, logged_models, metrics, models,
    outbox, purge, runs, scorers, traces, webhooks, workspaces,
};

/// How paths begin whose requests [`Call`] limits, because they may be larger than objects.
pub const OWN_BODY_LIMITS: &[&str] = &[
    "/api/2.0/mlflow",
    "/api/2.0mlflow",
    "/api/3.0/mlflow",
    "/ajax-api/",
    "/graphql",
    "/v1/traces",
    "/models/v1/",
    "/lineage/",
];
/// How paths begin whose bodies are files.
pub const STREAMS: &[&str] = &[
    "/api/2.0/mlflow-artifacts/artifacts/",
    "/ajax-api/2.0/mlflow-artifacts/artifacts/",
    "/get-artifact",
    "/model-versions/get-artifact",
];

/// What the door needs.
#[derive(Debug, Clone)]
pub struct Door {
    /// The services.
    pub tracking: Arc<Tracking>,
    /// The engine that workspaces are objects of.
    pub objects: Arc<Objects>,
    /// Who decides.
    pub authorizer: Arc<dyn Authorizer>,
}

/// All routes of the dialect, under `/api` and, for MLflow's own pages, `/ajax-api`.
pub fn routes(door: Door) -> Routes {
    let dialect = Dialect::default();
    let dialect = experiments::mlflow::routes(dialect);
    let dialect = runs::mlflow::routes(dialect);
    let dialect = artifacts::mlflow::routes(dialect);
    let dialect = metrics::mlflow::routes(dialect);
    let dialect = datasets::mlflow::routes(dialect);
    let dialect = logged_models::mlflow::routes(dialect);
    let dialect = traces::mlflow::routes(dialect);
    let dialect = traces::mlflow_v2::routes(dialect);
    let dialect = traces::collector::routes(dialect);
    let dialect = models::mlflow::routes(dialect);
    let dialect = models::rest::routes(dialect);
    let dialect = evaluation_datasets::mlflow::routes(dialect);
    let dialect = webhooks::mlflow::routes(dialect);
    let dialect = outbox::http::routes(dialect);
    let dialect = scorers::mlflow::routes(dialect);
    let dialect = lineage::api::routes(dialect);
    let dialect = server::routes(dialect);
    let dialect = workspaces::mlflow::routes(dialect);
    let dialect = graphql::routes(dialect, &door);
    dialect.into_routes(door.clone()).merge(purge::routes(door))
}
