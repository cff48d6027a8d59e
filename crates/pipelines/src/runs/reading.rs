//! `pipelineruns/steps`: all nodes of a run with their inputs and outputs, which would be too much for a status.

use axum::body::Body;
use futures::future::BoxFuture;
use mcplane_core::authz::Target;
use mcplane_core::clock::rfc3339;
use mcplane_core::{Error, Grant, Result, Subject};
use mcplane_db::Db;
use mcplane_objects::subresource::Read;
use serde_json::{Value, json};

use super::store;
use super::types::{RunRow, StepRow};
use crate::kinds::{GROUP, RUNS};

/// Transitions that an answer tells, the newest.
const MOST_TRANSITIONS: i64 = 10_000;

/// Answers for a run by its name.
#[derive(Debug, Clone)]
pub struct Steps {
    db: Db,
}

impl Steps {
    /// The runs in `db`.
    pub fn new(db: &Db) -> Self {
        Self { db: db.clone() }
    }
}

impl Read for Steps {
    fn read<'a>(&'a self, grant: &'a Grant, _: &'a str) -> BoxFuture<'a, Result<Body>> {
        Box::pin(async move {
            let Target::Resource { namespace, name, .. } = &grant.attributes().target else {
                return Err(Error::NoSuchPath);
            };
            let missing = || Error::NotFound(Subject::new(GROUP, RUNS, name.as_str()));
            let run = store::by_name(&self.db, namespace, name).await?.ok_or_else(missing)?;
            let steps = store::steps(&self.db, &run.uid).await?;
            let transitions = store::transitions(&self.db, &run.uid, None, MOST_TRANSITIONS).await?;
            let transitions: Vec<Value> = transitions
                .into_iter()
                .map(|t| json!({"node": t.node, "state": t.state, "message": t.message, "at": rfc3339(t.at)}))
                .collect();
            let body = json!({
                "run": shown(&run),
                "steps": steps.iter().map(step).collect::<Vec<_>>(),
                "transitions": transitions,
            });
            Ok(Body::from(body.to_string()))
        })
    }
}

fn shown(run: &RunRow) -> Value {
    json!({
        "uid": run.uid,
        "name": run.name,
        "pipeline": run.pipeline,
        "state": run.state,
        "error": run.error,
        "parameters": run.asked.parameters,
        "experimentId": run.experiment,
        "runId": run.tracked,
        "createdAt": rfc3339(run.created_at),
        "finishedAt": run.finished_at.map(rfc3339),
    })
}

fn step(step: &StepRow) -> Value {
    let mut shown = json!(step.record);
    shown["taskId"] = step.task.as_str().into();
    shown["runId"] = step.tracked.as_str().into();
    shown["digests"] = json!(step.digests);
    shown["startedAt"] = json!(step.started_at.map(rfc3339));
    shown["finishedAt"] = json!(step.finished_at.map(rfc3339));
    shown
}
