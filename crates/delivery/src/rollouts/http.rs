//! What is said to rollouts, and what was decided of them.

use axum::extract::Path;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use mcplane_core::clock::rfc3339;
use mcplane_core::{Error, Result};
use mcplane_objects::http::Failure;
use mcplane_objects::http::namespaced::{Answer, reply};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Command;
use super::store::Decision;
use crate::http::{Admitted, Paths};
use crate::scope::ROLLOUTS;

/// Decisions of a page without another wish.
const PAGE: i64 = 100;

/// All routes of rollouts.
pub(crate) fn routes(paths: Paths) -> Paths {
    let paths = paths.get("rollouts/{name}/decisions", ("list", ROLLOUTS), decisions);
    [
        ("pause", Command::Pause),
        ("resume", Command::Resume),
        ("promote", Command::Promote),
        ("override", Command::Override),
        ("abort", Command::Abort),
        ("retry", Command::Retry),
    ]
    .into_iter()
    .fold(paths, |paths, (verb, command)| {
        let handler = move |admitted: Admitted, path: Path<(String, String)>| say(admitted, path, command);
        paths.post(&format!("rollouts/{{name}}/{verb}"), (verb, ROLLOUTS), handler)
    })
}

async fn say(
    Admitted { service, grant }: Admitted,
    Path((_, name)): Path<(String, String)>,
    command: Command,
) -> Answer {
    let going = service.rollouts.command(&grant, &name, command).await?;
    let state = &going.state;
    let stage = going.spec.stages.get(state.stage).map(|stage| stage.name.as_str());
    reply(&json!({
        "rollout": going.name, "phase": state.phase, "stage": state.stage, "stageName": stage, "version": state.version,
        "stable": state.stable, "message": state.message,
    }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    limit: Option<i64>,
    #[serde(rename = "continue")]
    before: Option<i64>,
}

async fn decisions(
    Admitted { service, grant }: Admitted,
    Path((_, name)): Path<(String, String)>,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Answer {
    let Query(Wanted { limit, before }) = query.map_err(|wrong| Failure(Error::bad_request(wrong.body_text())))?;
    let limit = limit.unwrap_or(PAGE);
    let decisions = service.rollouts.decisions(&grant, &name, before, limit).await?;
    let full = i64::try_from(decisions.len()).is_ok_and(|count| count >= limit);
    let mut answer = json!({"decisions": decisions.iter().map(shown).collect::<Vec<Value>>()});
    if let Some(last) = decisions.last().filter(|_| full) {
        answer["continue"] = last.no.to_string().into();
    }
    reply(&answer)
}

fn shown(decision: &Decision) -> Value {
    json!({
        "action": decision.action, "version": decision.version, "stable": decision.stable, "message": decision.message,
        "judgement": decision.judgement, "by": decision.actor, "at": rfc3339(decision.at),
    })
}
