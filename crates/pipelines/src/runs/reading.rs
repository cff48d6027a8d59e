//! `pipelineruns/steps`: all nodes of a run with their inputs and outputs, which would be too much for a status.

use std::sync::Arc;

use axum::body::Body;
use futures::future::BoxFuture;
use mcplane_core::authz::Target;
use mcplane_core::clock::rfc3339;
use mcplane_core::{Error, Grant, Result, Subject};
use mcplane_db::Db;
use mcplane_objects::object::{self, ObjectExt as _};
use mcplane_objects::storage::{Key, Storage};
use mcplane_objects::subresource::Read;
use serde_json::{Value, json};

use super::store;
use super::types::{RunRow, StepRow};
use crate::kinds::{GROUP, RUNS};

/// Transitions that an answer tells, the newest.
const MOST_TRANSITIONS: i64 = 10_000;

/// Answers for a run by its name.
#[derive(Clone)]
pub struct Steps {
    db: Db,
    /// Where the objects of runs are.
    objects: Arc<dyn Storage>,
}

impl Steps {
    /// The runs in `db`, whose objects are in `objects`.
    pub fn new(db: &Db, objects: Arc<dyn Storage>) -> Self {
        Self { db: db.clone(), objects }
    }
}

impl Read for Steps {
    fn read<'a>(&'a self, grant: &'a Grant, _: &'a str) -> BoxFuture<'a, Result<Body>> {
        Box::pin(async move {
            let Target::Resource { namespace, name, .. } = &grant.attributes().target else {
                return Err(Error::NoSuchPath);
            };
            let missing = || Error::NotFound(Subject::new(GROUP, RUNS, name.as_str()));
            let resource = Arc::from(format!("{RUNS}.{GROUP}"));
            let stored = self.objects.get(&Key::new(&resource, namespace, name)).await?.ok_or_else(missing)?;
            let object = object::parse(&stored.body)?;
            let Some(run) = store::get(&self.db, object.uid()).await? else {
                // It has not begun, or can't.
                let run =
                    json!({"name": name, "state": object["status"]["state"], "error": object["status"]["message"]});
                return Ok(Body::from(json!({"run": run, "steps": [], "transitions": []}).to_string()));
            };
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
