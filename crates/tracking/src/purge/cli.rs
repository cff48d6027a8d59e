//! `POST /tracking/v1/namespaces/{namespace}/gc`, which `mcplane gc` asks until there is no more.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use mcplane_core::{Error, authz};
use mcplane_objects::audit::record_failure;
use mcplane_objects::http::{Failure, Routes, context_of};
use serde::Deserialize;

use super::types::{Choice, Kind};
use crate::mlflow::Door;
use crate::scope::RUNS;

pub(crate) fn routes(door: Door) -> Routes {
    Routes::default().post("/tracking/v1/namespaces/{namespace}/gc", collect).with_state(door)
}

/// What the command sends.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Asked {
    older_than_ms: i64,
    run_ids: Vec<String>,
    experiment_ids: Vec<String>,
    logged_model_ids: Vec<String>,
    dry_run: bool,
    /// Only go on with what earlier purges have left.
    resume: bool,
}

impl From<Asked> for Choice {
    fn from(asked: Asked) -> Self {
        let named = [
            (Kind::Run, asked.run_ids),
            (Kind::Experiment, asked.experiment_ids),
            (Kind::Model, asked.logged_model_ids),
        ];
        let named: Vec<_> = named.into_iter().filter(|(_, ids)| !ids.is_empty()).collect();
        let named = (asked.resume || !named.is_empty()).then_some(named);
        Self { older_than: asked.older_than_ms, named, dry_run: asked.dry_run }
    }
}

async fn collect(
    State(door): State<Door>,
    Path(namespace): Path<String>,
    parts: Parts,
    body: Bytes,
) -> Result<Response, Failure> {
    let context = context_of(&parts);
    let attributes = RUNS.attributes("deletecollection", &namespace);
    let grant = match authz::authorize(&*door.authorizer, &context, attributes.clone()) {
        Ok(grant) => grant,
        Err(error) => {
            record_failure(&door.tracking.db, &context, &attributes, &error).await?;
            return Err(error.into());
        }
    };
    if !door.tracking.has_workspace(&namespace) {
        return Err(Error::Missing(format!("namespaces {namespace:?} not found")).into());
    }
    let asked: Asked = match body.len() {
        0 => Asked::default(),
        _ => serde_json::from_slice(&body).map_err(|error| Error::bad_request(error.to_string()))?,
    };
    if asked.older_than_ms < 0 {
        return Err(Error::bad_request("olderThanMs must not be negative").into());
    }
    Ok(Json(door.tracking.purge(&grant, asked.into()).await?).into_response())
}
