//! `/lineage/v1/…` for questions, and `/api/v1/lineage`, where clients of OpenLineage send events.

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, RawQuery};
use axum::http::StatusCode;
use axum::http::request::Parts;
use mcplane_core::{Error, Result};
use mcplane_objects::http::Failure;
use serde_json::{Value, json};

use super::service::{DEFAULT_DEPTH, MOST_DEPTH};
use super::{Direction, Graph, Node};
use crate::mlflow::fields::Fields;
use crate::mlflow::{Admitted, Dialect, Door, Refusal};
use crate::scope::LINEAGE;

/// Largest event in bytes.
const MOST_BYTES: usize = 2 << 20;

pub(crate) fn routes(dialect: Dialect) -> Dialect {
    dialect
        .plain("/lineage/v1/namespaces/{namespace}/graph", LINEAGE.to("get"), graph)
        .plain("/lineage/v1/namespaces/{namespace}/openlineage", LINEAGE.to("get"), events)
        .plain_post("/api/v1/lineage", LINEAGE.to("create"), take)
}

/// [`Admitted`], with errors as the object API has them: these routes are no part of MLflow's dialect.
struct Caller(Admitted);

impl FromRequestParts<Door> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Failure> {
        let admitted = Admitted::from_request_parts(parts, door).await;
        admitted.map(Self).map_err(|Refusal(error)| Failure(error))
    }
}

async fn graph(Caller(call): Caller, RawQuery(query): RawQuery) -> Result<Json<Graph>, Failure> {
    let query = Fields::from_query(&query.unwrap_or_default());
    let node: Node = query.text("node")?.parse()?;
    let direction: Direction = query.text("direction")?.parse()?;
    let depth = match query.text("depth")? {
        "" => DEFAULT_DEPTH,
        depth => {
            let wrong = |_| Error::bad_request(format!("depth must be a number from 0 to {MOST_DEPTH}"));
            depth.parse().map_err(wrong)?
        }
    };
    Ok(Json(call.door.tracking.lineage(&call.grant, &node, direction, depth).await?))
}

async fn events(Caller(call): Caller, RawQuery(query): RawQuery) -> Result<Json<Value>, Failure> {
    let query = Fields::from_query(&query.unwrap_or_default());
    let events = call.door.tracking.run_events(&call.grant, query.required_text("run")?).await?;
    Ok(Json(json!({"events": events})))
}

async fn take(Caller(call): Caller, body: Body) -> Result<StatusCode, Failure> {
    let too_large = |_| Error::TooLarge(format!("an event has at most {MOST_BYTES} bytes"));
    let body = to_bytes(body, MOST_BYTES).await.map_err(too_large)?;
    call.door.tracking.take_event(&call.grant, &body).await?;
    Ok(StatusCode::CREATED)
}
