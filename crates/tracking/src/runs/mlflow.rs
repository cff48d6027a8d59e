//! `/api/2.0/mlflow/runs/…`: runs, their parameters and tags.

use mcplane_core::{Error, Result};
use serde::Serialize;

use super::promptlab;
use super::search::RunSearch;
use super::types::{NewRun, Run, RunInfo, RunStatus, RunUpdate};
use crate::datasets::mlflow::{InputsMessage, OutputsMessage, messages};
use crate::experiments::ExperimentId;
use crate::filter::page::PageToken;
use crate::metrics::mlflow::MetricMessage;
use crate::mlflow::fields::{Fields, invalid};
use crate::mlflow::{Answer, Call, Dialect, reply, reply_empty};
use crate::query::{MOST_RESULTS, not_positive};
use crate::scope::RUNS;
use crate::tags::Tag;

pub(crate) fn routes(dialect: Dialect) -> Dialect {
    dialect
        .post("2.0/mlflow/runs/create", RUNS.to("create"), create)
        .get("2.0/mlflow/runs/get", RUNS.to("get"), get)
        .plain_post("/ajax-api/2.0/mlflow/runs/create-promptlab-run", RUNS.to("create"), promptlab::create)
        .post("2.0/mlflow/runs/search", RUNS.to("list"), search)
        .post("2.0/mlflow/runs/update", RUNS.to("update"), update)
        .post("2.0/mlflow/runs/delete", RUNS.to("delete"), delete)
        .post("2.0/mlflow/runs/restore", RUNS.to("delete"), restore)
        .post("2.0/mlflow/runs/log-parameter", RUNS.to("update"), log_param)
        .post("2.0/mlflow/runs/set-tag", RUNS.to("update"), set_tag)
        .post("2.0/mlflow/runs/delete-tag", RUNS.to("update"), delete_tag)
}

/// A run's own facts in the protocol's form.
#[derive(Debug, Serialize)]
pub(crate) struct InfoMessage {
    run_uuid: String,
    run_id: String,
    experiment_id: ExperimentId,
    run_name: String,
    user_id: String,
    status: RunStatus,
    start_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<i64>,
    artifact_uri: String,
    lifecycle_stage: &'static str,
}

impl From<RunInfo> for InfoMessage {
    fn from(info: RunInfo) -> Self {
        Self {
            run_uuid: info.id.clone(),
            run_id: info.id,
            experiment_id: info.experiment,
            run_name: info.name,
            user_id: info.user_id,
            status: info.status,
            start_time: info.started_at,
            end_time: info.ended_at.filter(|time| *time != 0),
            artifact_uri: info.artifact_uri,
            lifecycle_stage: if info.deleted_at.is_some() { "deleted" } else { "active" },
        }
    }
}

/// What was logged, in the protocol's form.
#[derive(Debug, Serialize)]
struct DataMessage {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<MetricMessage<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    params: Vec<Tag>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
}

/// A run in the protocol's form.
#[derive(Debug, Serialize)]
pub(crate) struct RunMessage {
    info: InfoMessage,
    data: DataMessage,
    inputs: InputsMessage,
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<OutputsMessage>,
}

impl From<Run> for RunMessage {
    fn from(run: Run) -> Self {
        let Run { info, metrics, params, tags, lineage } = run;
        let (inputs, outputs) = messages(lineage);
        let metrics = metrics.into_iter().map(MetricMessage::from).collect();
        Self { info: info.into(), data: DataMessage { metrics, params, tags }, inputs, outputs: Some(outputs) }
    }
}

#[derive(Serialize)]
pub(super) struct Found {
    pub(super) run: RunMessage,
}

#[derive(Serialize)]
struct Page {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    runs: Vec<RunMessage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

#[derive(Serialize)]
struct Updated {
    run_info: InfoMessage,
}

async fn create(Call { door, grant, fields }: Call) -> Answer {
    let new = NewRun {
        id: String::new(),
        experiment: fields.text("experiment_id")?.to_owned(),
        user_id: fields.text("user_id")?.to_owned(),
        started_at: fields.optional_int("start_time")?.unwrap_or_default(),
        name: fields.text("run_name")?.to_owned(),
        tags: Tag::read(&fields, "tags")?,
    };
    let run = RunMessage { outputs: None, ..door.tracking.create_run(&grant, new).await?.into() };
    reply(&Found { run })
}

async fn get(Call { door, grant, fields }: Call) -> Answer {
    reply(&Found { run: door.tracking.run(&grant, fields.run_id()?).await?.into() })
}

fn status(fields: &Fields) -> Result<Option<RunStatus>> {
    let Some(name) = fields.optional_text("status")? else { return Ok(None) };
    let invalid = || Error::bad_request(format!("Invalid run status {name:?}"));
    RunStatus::from_name(name).ok_or_else(invalid).map(Some)
}

async fn update(Call { door, grant, fields }: Call) -> Answer {
    let id = fields.run_id()?;
    let change = RunUpdate {
        ended_at: fields.optional_int("end_time")?,
        status: status(&fields)?,
        name: fields.optional_text("run_name")?.map(str::to_owned),
    };
    reply(&Updated { run_info: door.tracking.update_run(&grant, id, change).await?.into() })
}

/// Runs of a page unless the client says.
const PAGE: i64 = 1000;

async fn search(Call { door, grant, fields }: Call) -> Answer {
    let limit = fields.optional_int("max_results")?.unwrap_or(PAGE);
    if limit > MOST_RESULTS {
        return Err(invalid("max_results", &limit.into()).into());
    }
    let search = RunSearch {
        experiments: fields
            .texts("experiment_ids")?
            .into_iter()
            .map(ExperimentId::parse_given)
            .collect::<Result<_>>()?,
        filter: fields.text("filter")?.to_owned(),
        order_by: fields.texts("order_by")?.into_iter().map(str::to_owned).collect(),
        view: fields.view("run_view_type"),
        offset: PageToken::decode(fields.text("page_token")?)?.offset,
        limit: usize::try_from(limit).ok().filter(|limit| *limit > 0).ok_or_else(|| not_positive(limit))?,
    };
    let next = PageToken { offset: search.offset.saturating_add(search.limit as u64) };
    let (runs, more) = door.tracking.search_runs(&grant, search).await?;
    let runs = runs.into_iter().map(RunMessage::from).collect();
    reply(&Page { runs, next_page_token: more.then(|| next.encode()) })
}

async fn delete(Call { door, grant, fields }: Call) -> Answer {
    door.tracking.set_run_deleted(&grant, fields.run_id()?, true).await?;
    reply_empty()
}

async fn restore(Call { door, grant, fields }: Call) -> Answer {
    door.tracking.set_run_deleted(&grant, fields.run_id()?, false).await?;
    reply_empty()
}

async fn log_param(Call { door, grant, fields }: Call) -> Answer {
    let id = fields.run_id()?;
    let param = Tag::new(fields.required_text("key")?, fields.text("value")?);
    door.tracking.log_param(&grant, id, param).await?;
    reply_empty()
}

async fn set_tag(Call { door, grant, fields }: Call) -> Answer {
    let id = fields.run_id()?;
    let tag = Tag::new(fields.required_text("key")?, fields.text("value")?);
    door.tracking.set_run_tag(&grant, id, tag).await?;
    reply_empty()
}

async fn delete_tag(Call { door, grant, fields }: Call) -> Answer {
    let id = fields.run_id()?;
    door.tracking.remove_run_tag(&grant, id, fields.required_text("key")?).await?;
    reply_empty()
}
