//! `/api/2.0/mlflow/experiments/…`.

use mcplane_core::Error;
use serde::Serialize;

use super::search::ExperimentSearch;
use super::types::{Experiment, ExperimentId, NewExperiment};
use crate::filter::page::PageToken;
use crate::mlflow::fields::Fields;
use crate::mlflow::{Answer, Call, Dialect, reply, reply_empty};
use crate::query::{MOST_RESULTS, not_positive};
use crate::scope::EXPERIMENTS;
use crate::tags::Tag;

pub(crate) fn routes(dialect: Dialect) -> Dialect {
    dialect
        .post("2.0/mlflow/experiments/create", EXPERIMENTS.to("create"), create)
        .get("2.0/mlflow/experiments/get", EXPERIMENTS.to("get"), get)
        .get("2.0/mlflow/experiments/get-by-name", EXPERIMENTS.to("get"), get_by_name)
        .get("2.0/mlflow/experiments/search", EXPERIMENTS.to("list"), search)
        .post("2.0/mlflow/experiments/search", EXPERIMENTS.to("list"), search)
        .post("2.0/mlflow/experiments/delete", EXPERIMENTS.to("delete"), delete)
        .post("2.0/mlflow/experiments/restore", EXPERIMENTS.to("delete"), restore)
        .post("2.0/mlflow/experiments/update", EXPERIMENTS.to("update"), update)
        .post("2.0/mlflow/experiments/set-experiment-tag", EXPERIMENTS.to("update"), set_tag)
        .post("2.0/mlflow/experiments/delete-experiment-tag", EXPERIMENTS.to("update"), delete_tag)
}

/// An experiment in the protocol's form.
#[derive(Debug, Serialize)]
pub(crate) struct ExperimentMessage {
    experiment_id: ExperimentId,
    name: String,
    artifact_location: String,
    lifecycle_stage: &'static str,
    last_update_time: i64,
    creation_time: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
    workspace: String,
}

impl From<Experiment> for ExperimentMessage {
    fn from(experiment: Experiment) -> Self {
        Self {
            lifecycle_stage: experiment.lifecycle_stage(),
            experiment_id: experiment.id,
            name: experiment.name,
            artifact_location: experiment.artifact_location,
            last_update_time: experiment.updated_at,
            creation_time: experiment.created_at,
            tags: experiment.tags,
            workspace: experiment.namespace,
        }
    }
}

#[derive(Serialize)]
struct Found {
    experiment: ExperimentMessage,
}

#[derive(Serialize)]
struct Page {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    experiments: Vec<ExperimentMessage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

#[derive(Serialize)]
struct Created {
    experiment_id: ExperimentId,
}

fn required_id(fields: &Fields) -> mcplane_core::Result<ExperimentId> {
    ExperimentId::parse(fields.required_text("experiment_id")?)
}

async fn create(Call { door, grant, fields }: Call) -> Answer {
    let new = NewExperiment {
        name: fields.required_text("name")?.to_owned(),
        artifact_location: fields.text("artifact_location")?.to_owned(),
        tags: Tag::read(&fields, "tags")?,
    };
    reply(&Created { experiment_id: door.tracking.create_experiment(&grant, new).await? })
}

async fn get(Call { door, grant, fields }: Call) -> Answer {
    let experiment = door.tracking.experiment(&grant, required_id(&fields)?).await?;
    reply(&Found { experiment: experiment.into() })
}

async fn get_by_name(Call { door, grant, fields }: Call) -> Answer {
    let name = fields.required_text("experiment_name")?;
    let experiment = door.tracking.experiment_by_name(&grant, name).await?;
    reply(&Found { experiment: experiment.into() })
}

async fn search(Call { door, grant, fields }: Call) -> Answer {
    let limit = fields.optional_int("max_results")?.unwrap_or_default();
    if limit > MOST_RESULTS {
        let message =
            format!("Invalid value {limit} for parameter 'max_results' supplied. It must be at most {MOST_RESULTS}");
        return Err(Error::bad_request(message).into());
    }
    let search = ExperimentSearch {
        filter: fields.text("filter")?.to_owned(),
        order_by: fields.texts("order_by")?.into_iter().map(str::to_owned).collect(),
        view: fields.view("view_type"),
        limit: usize::try_from(limit).ok().filter(|limit| *limit > 0).ok_or_else(|| not_positive(limit))?,
        offset: PageToken::decode(fields.text("page_token")?)?.offset,
    };
    let next = PageToken { offset: search.offset.saturating_add(search.limit as u64) };
    let (experiments, more) = door.tracking.search_experiments(&grant, search).await?;
    let experiments = experiments.into_iter().map(ExperimentMessage::from).collect();
    reply(&Page { experiments, next_page_token: more.then(|| next.encode()) })
}

async fn delete(Call { door, grant, fields }: Call) -> Answer {
    door.tracking.set_experiment_deleted(&grant, required_id(&fields)?, true).await?;
    reply_empty()
}

async fn restore(Call { door, grant, fields }: Call) -> Answer {
    door.tracking.set_experiment_deleted(&grant, required_id(&fields)?, false).await?;
    reply_empty()
}

async fn update(Call { door, grant, fields }: Call) -> Answer {
    let id = required_id(&fields)?;
    door.tracking.rename_experiment(&grant, id, fields.required_text("new_name")?).await?;
    reply_empty()
}

async fn set_tag(Call { door, grant, fields }: Call) -> Answer {
    let id = required_id(&fields)?;
    let tag = Tag::new(fields.required_text("key")?, fields.text("value")?);
    door.tracking.set_experiment_tag(&grant, id, tag).await?;
    reply_empty()
}

async fn delete_tag(Call { door, grant, fields }: Call) -> Answer {
    let id = required_id(&fields)?;
    door.tracking.remove_experiment_tag(&grant, id, fields.required_text("key")?).await?;
    reply_empty()
}
