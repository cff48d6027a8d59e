//! What older clients say of traces: `/api/2.0/mlflow/traces/…`, with metadata and tags as lists.

use axum::extract::Path;
use mcplane_core::Result;
use serde_json::{Value, json};

use super::mlflow::{LONGEST_SHOWN, page, search_in, short};
use super::types::{TraceInfo, TraceState};
use crate::mlflow::fields::{Fields, invalid, missing};
use crate::mlflow::{Answer, Call, Dialect, reply};
use crate::scope::TRACES;
use crate::tags::Tag;

const UNSPECIFIED: &str = "TRACE_STATUS_UNSPECIFIED";

pub(crate) fn routes(dialect: Dialect) -> Dialect {
    dialect
        .get("2.0/mlflow/traces", TRACES.to("list"), search)
        .post("2.0/mlflow/traces", TRACES.to("create"), start)
        .patch("2.0/mlflow/traces/{trace_id}", TRACES.to("update"), end)
        .get("2.0/mlflow/traces/{trace_id}/info", TRACES.to("get"), get)
}

/// A trace in the form of version 2.
fn info(trace: &TraceInfo) -> Value {
    let pairs = |tags: &[Tag], most| -> Value {
        tags.iter().map(|tag| json!({"key": tag.key, "value": short(tag, most)})).collect()
    };
    let status = if trace.state == TraceState::Unspecified { UNSPECIFIED } else { trace.state.name() };
    let mut shown = json!({
        "request_id": trace.id,
        "experiment_id": trace.experiment,
        "timestamp_ms": trace.requested_at,
        "execution_time_ms": trace.duration.unwrap_or_default(),
        "status": status,
    });
    for (name, tags, most) in
        [("request_metadata", &trace.metadata, LONGEST_SHOWN.0), ("tags", &trace.tags, LONGEST_SHOWN.1)]
    {
        if !tags.is_empty() {
            shown[name] = pairs(tags, most);
        }
    }
    shown
}

/// A list of keys and values.
fn pairs(fields: &Fields, name: &str) -> Result<Vec<Tag>> {
    let pair = |pair: &Fields| match pair.optional_text("key")? {
        Some(key) => Ok(Tag::new(key, pair.text("value")?)),
        None => Err(invalid(name, fields.raw(name).unwrap_or(&Value::Null))),
    };
    fields.messages(name)?.iter().map(pair).collect()
}

async fn start(Call { door, grant, fields }: Call) -> Answer {
    let at = fields.optional_int("timestamp_ms")?.unwrap_or_default();
    let (metadata, tags) = (pairs(&fields, "request_metadata")?, pairs(&fields, "tags")?);
    let trace = door.tracking.begin_trace(&grant, fields.text("experiment_id")?, at, metadata, tags).await?;
    reply(&json!({"trace_info": info(&trace)}))
}

async fn end(Path(id): Path<String>, Call { door, grant, fields }: Call) -> Answer {
    let at = fields.optional_int("timestamp_ms")?.unwrap_or_default();
    let state = TraceState::from_name(fields.text("status")?);
    let (metadata, tags) = (pairs(&fields, "request_metadata")?, pairs(&fields, "tags")?);
    let trace = door.tracking.end_trace(&grant, &id, at, state, metadata, tags).await?;
    reply(&json!({"trace_info": info(&trace)}))
}

async fn search(Call { door, grant, fields }: Call) -> Answer {
    if !fields.has("experiment_ids") {
        return Err(missing("experiment_ids").into());
    }
    let experiments = fields.texts("experiment_ids")?.into_iter().map(str::to_owned).collect();
    let (found, token) = door.tracking.search_traces(&grant, &search_in(&fields, experiments)?).await?;
    page(found.iter().map(info).collect(), token)
}

async fn get(Path(id): Path<String>, Call { door, grant, .. }: Call) -> Answer {
    let trace = door.tracking.trace(&grant, &id).await?;
    reply(&json!({"trace_info": info(&trace)}))
}
