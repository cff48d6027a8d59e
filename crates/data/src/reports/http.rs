//! `/data/v1/namespaces/{namespace}/reports`.

use axum::extract::{Path, Query};
use mcplane_core::{Error, clock};
use mcplane_objects::http::Failure;
use mcplane_objects::http::namespaced::{Answer, Body, created, reply};
use serde::Deserialize;
use serde_json::{Value, json};

use super::service::{LARGEST, NewReport, StoredReport};
use super::store::Filter;
use crate::http::{Admitted, Paths};
use crate::scope::REPORTS;

/// Reports of a page that asks for no number.
const PAGE: i64 = 100;

pub(crate) fn routes(paths: Paths) -> Paths {
    paths.post("reports", ("create", REPORTS), report).get("reports", ("list", REPORTS), list).get(
        "reports/{id}",
        ("get", REPORTS),
        get,
    )
}

fn shown(stored: &StoredReport) -> Value {
    json!({
        "id": stored.id, "contract": stored.contract, "outcome": stored.outcome, "sha256": stored.sha256,
        "report": stored.report, "by": stored.created_by, "at": clock::rfc3339(stored.created_at),
    })
}

async fn report(Admitted { service: data, grant }: Admitted, Body(new): Body<NewReport, LARGEST>) -> Answer {
    created(&shown(&data.report(&grant, new).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    contract: Option<String>,
    sha256: Option<String>,
    limit: Option<i64>,
    #[serde(rename = "continue")]
    before: Option<i64>,
}

async fn list(
    Admitted { service: data, grant }: Admitted,
    query: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let Query(Wanted { contract, sha256, limit, before }) =
        query.map_err(|error| Failure(Error::bad_request(error.body_text())))?;
    let limit = limit.unwrap_or(PAGE);
    let reports = data.reports(&grant, &Filter { contract, sha256, before, limit }).await?;
    let full = i64::try_from(reports.len()).is_ok_and(|count| count >= limit);
    let mut answer = json!({"reports": reports.iter().map(shown).collect::<Vec<_>>()});
    if let Some(last) = reports.last().filter(|_| full) {
        answer["continue"] = last.no.to_string().into();
    }
    reply(&answer)
}

async fn get(Admitted { service: data, grant }: Admitted, Path((_, id)): Path<(String, String)>) -> Answer {
    reply(&shown(&data.one_report(&grant, &id).await?))
}
