//! `/tasks/v1/namespaces/{namespace}/tasks`, and the list of all namespaces.

use axum::extract::{Path, Query};
use mcplane_core::{Error, Result};
use mcplane_objects::http::Failure;
use mcplane_objects::http::namespaced::{Answer, OptionalBody, reply};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::request::{Asked, Shown};
use super::store::Filter;
use super::types::{State, Task};
use crate::http::{Admitted, MOST_BYTES, Paths};
use crate::scope::TASKS;

/// Tasks of a page that asks for no number.
const PAGE: i64 = 100;

pub(crate) fn routes(paths: Paths) -> Paths {
    paths
        .post("tasks", ("create", TASKS), submit)
        .get("tasks", ("list", TASKS), list)
        .get_all("tasks", ("list", TASKS), list)
        .get("tasks/{id}", ("get", TASKS), get)
        .post("tasks/{id}/cancel", ("update", TASKS), cancel)
        .post("tasks/{id}/retry", ("update", TASKS), retry)
        .put("tasks/{id}/progress", ("update", TASKS), progress)
        .get("tasks/{id}/logs", ("get", TASKS), crate::logs::http::read)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'t> {
    tasks: Vec<Shown<'t>>,
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl<'t> Listed<'t> {
    fn new(tasks: &'t [Task], next: Option<i64>) -> Self {
        Self { tasks: tasks.iter().map(Shown::from).collect(), next: next.map(|no| no.to_string()) }
    }
}

async fn submit(
    Admitted { service: scheduler, grant }: Admitted,
    OptionalBody(body): OptionalBody<Value, MOST_BYTES>,
) -> Answer {
    // Read in two steps, because an error of an untagged choice tells nothing.
    let many = body.get("tasks").is_some();
    let read =
        |value: Value| serde_json::from_value::<Asked>(value).map_err(|error| Error::bad_request(error.to_string()));
    let asked = match body {
        Value::Object(mut body) if many => match body.remove("tasks") {
            Some(Value::Array(tasks)) => tasks.into_iter().map(read).collect::<Result<Vec<_>>>()?,
            _ => return Err(Error::bad_request("tasks: must be a list").into()),
        },
        one => vec![read(one)?],
    };
    let now = scheduler.now();
    let new = asked.into_iter().map(|asked| asked.into_task(now)).collect::<Result<Vec<_>>>()?;
    let tasks = scheduler.submit_tasks(&grant, new).await?;
    if many { reply(&Listed::new(&tasks, None)) } else { one(tasks.first()) }
}

fn one(task: Option<&Task>) -> Answer {
    reply(&Shown::from(task.ok_or_else(|| Error::internal("a task that was made is not there"))?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    queue: Option<String>,
    /// States, between commas.
    state: Option<String>,
    limit: Option<i64>,
    #[serde(rename = "continue")]
    after: Option<String>,
}

impl Wanted {
    fn filter(self) -> Result<Filter> {
        let state = |name: &str| {
            let found = State::ALL.into_iter().find(|state| state.name() == name);
            let known = State::ALL.map(State::name).join(", ");
            found.ok_or_else(|| Error::bad_request(format!("state: {name:?} is none of {known}")))
        };
        let states =
            self.state.as_deref().map_or(Ok(vec![]), |text| text.split(',').map(state).collect::<Result<_>>())?;
        let before = match self.after {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| Error::bad_request("continue: not a token of a list"))?),
        };
        Ok(Filter { queue: self.queue, states, before, limit: self.limit.unwrap_or(PAGE) })
    }
}

async fn list(
    Admitted { service: scheduler, grant }: Admitted,
    query: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let Query(wanted) = query.map_err(|error| Failure(Error::bad_request(error.body_text())))?;
    let filter = wanted.filter()?;
    let limit = filter.limit;
    let tasks = scheduler.tasks(&grant, filter).await?;
    let full = i64::try_from(tasks.len()).is_ok_and(|count| count >= limit);
    let next = tasks.last().filter(|_| full).map(|task| task.no);
    reply(&Listed::new(&tasks, next))
}

type Named = Path<(String, String)>;

async fn get(Admitted { service: scheduler, grant }: Admitted, Path((_, id)): Named) -> Answer {
    one(Some(&scheduler.task(&grant, &id).await?))
}

async fn cancel(Admitted { service: scheduler, grant }: Admitted, Path((_, id)): Named) -> Answer {
    one(Some(&scheduler.cancel_task(&grant, &id).await?))
}

async fn retry(Admitted { service: scheduler, grant }: Admitted, Path((_, id)): Named) -> Answer {
    one(Some(&scheduler.retry_task(&grant, &id).await?))
}

/// What an attempt says of how far it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Progress {
    attempt: i64,
    progress: Value,
}

async fn progress(
    Admitted { service: scheduler, grant }: Admitted,
    Path((_, id)): Named,
    OptionalBody(body): OptionalBody<Progress, MOST_BYTES>,
) -> Answer {
    one(Some(&scheduler.report_progress(&grant, &id, body.attempt, &body.progress).await?))
}
