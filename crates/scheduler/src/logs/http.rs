//! Logs of a task's attempts: `/tasks/v1/namespaces/{namespace}/tasks/{id}/logs`.

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query};
use axum::http::header;
use axum::response::IntoResponse as _;
use mcplane_core::Error;
use mcplane_objects::http::Failure;
use mcplane_objects::http::namespaced::Answer;
use serde::Deserialize;

use super::LogOptions;
use crate::http::Admitted;
use crate::processes::attempt_id;

/// How a log is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Asked {
    follow: bool,
    tail_lines: Option<u64>,
    since_seconds: Option<i64>,
    timestamps: bool,
    limit_bytes: Option<u64>,
    attempt: Option<i64>,
}

pub(crate) async fn read(
    Admitted { service: scheduler, grant }: Admitted,
    Path((_, id)): Path<(String, String)>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Answer {
    let Query(asked) = query.map_err(|error| Failure(Error::bad_request(error.body_text())))?;
    let task = scheduler.task(&grant, &id).await?;
    let options = LogOptions {
        follow: asked.follow,
        tail_lines: asked.tail_lines,
        since: asked.since_seconds.map(|seconds| scheduler.now().saturating_sub(seconds.saturating_mul(1000))),
        limit_bytes: asked.limit_bytes,
        timestamps: asked.timestamps,
    };
    let attempt = asked.attempt.unwrap_or(task.attempt);
    let lines = scheduler.logs.read(attempt_id(&task.id, attempt), options).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain")], Body::from_stream(lines)).into_response())
}
