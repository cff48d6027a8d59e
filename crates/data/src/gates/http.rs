//! `/data/v1/namespaces/{namespace}/decisions`.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query};
use mcplane_core::{Error, Result};
use mcplane_objects::http::Failure;
use mcplane_objects::http::namespaced::{Answer, Body, created, reply};
use serde::Deserialize;
use serde_json::{Value, json};

use super::service::{NewDecision, shown};
use super::store::Filter;
use crate::http::{Admitted, Paths};
use crate::scope::DECISIONS;

/// Decisions of a page that asks for no number.
const PAGE: i64 = 100;
/// Bytes of a body.
const LARGEST: usize = 64 << 10;

pub(crate) fn routes(paths: Paths) -> Paths {
    paths
        .post("decisions", ("create", DECISIONS), decide)
        .get("decisions", ("list", DECISIONS), list)
        .get("decisions/{id}", ("get", DECISIONS), get)
        .post("decisions/{id}/override", ("override", DECISIONS), override_one)
        .get("models/{model}/versions/{version}/deployable", ("list", DECISIONS), deployable)
}

async fn decide(Admitted { service: data, grant }: Admitted, Body(new): Body<NewDecision, LARGEST>) -> Answer {
    created(&shown(&data.decide(&grant, new).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    model: Option<String>,
    version: Option<String>,
    gate: Option<String>,
    limit: Option<i64>,
    #[serde(rename = "continue")]
    before: Option<i64>,
}

async fn list(Admitted { service: data, grant }: Admitted, query: Result<Query<Wanted>, QueryRejection>) -> Answer {
    let Query(Wanted { model, version, gate, limit, before }) = query.map_err(refused)?;
    let limit = limit.unwrap_or(PAGE);
    let decisions = data.decisions(&grant, &Filter { model, version, gate, before, limit }).await?;
    let full = i64::try_from(decisions.len()).is_ok_and(|count| count >= limit);
    let mut answer = json!({"decisions": decisions.iter().map(shown).collect::<Vec<Value>>()});
    if let Some(last) = decisions.last().filter(|_| full) {
        answer["continue"] = last.no.to_string().into();
    }
    reply(&answer)
}

fn refused(rejection: QueryRejection) -> Failure {
    Failure(Error::bad_request(rejection.body_text()))
}

type Named = Path<(String, String)>;

async fn get(Admitted { service: data, grant }: Admitted, Path((_, id)): Named) -> Answer {
    reply(&shown(&data.decision(&grant, &id).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Overriding {
    reason: String,
}

async fn override_one(
    Admitted { service: data, grant }: Admitted,
    Path((_, id)): Named,
    Body(Overriding { reason }): Body<Overriding, LARGEST>,
) -> Answer {
    reply(&shown(&data.override_decision(&grant, &id, &reason).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Gates {
    /// Names, between commas; every gate that decided if left out.
    gates: Option<String>,
}

async fn deployable(
    Admitted { service: data, grant }: Admitted,
    Path((_, model, version)): Path<(String, String, String)>,
    query: Result<Query<Gates>, QueryRejection>,
) -> Answer {
    let Query(Gates { gates }) = query.map_err(refused)?;
    let gates: Vec<String> = gates.iter().flat_map(|all| all.split(',')).map(str::to_owned).collect();
    reply(&data.may_deploy(&grant, &model, &version, &gates).await?)
}
