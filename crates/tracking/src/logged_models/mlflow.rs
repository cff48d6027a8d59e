//! `/api/2.0/mlflow/logged-models/…` and `runs/log-model`.

use axum::extract::Path;
use axum::http::HeaderMap;
use mcplane_core::{Error, Result};
use serde::Serialize;

use super::LegacyModel;
use super::types::{DatasetFilter, LoggedModel, ModelPoint, ModelSearch, ModelStatus, NewModel};
use crate::artifacts;
use crate::experiments::ExperimentId;
use crate::filter::logged_models::OrderBy;
use crate::mlflow::fields::{Fields, missing};
use crate::mlflow::{Answer, Call, Dialect, reply, reply_empty};
use crate::scope::{LOGGED_MODELS, RUNS};
use crate::tags::Tag;

pub(crate) fn routes(dialect: Dialect) -> Dialect {
    const ROOT: &str = "2.0/mlflow/logged-models";
    const ONE: &str = "2.0/mlflow/logged-models/{id}";
    dialect
        .post(ROOT, LOGGED_MODELS.to("create"), create)
        .post(&format!("{ROOT}/search"), LOGGED_MODELS.to("list"), search)
        .get(ONE, LOGGED_MODELS.to("get"), get)
        .patch(ONE, LOGGED_MODELS.to("update"), finalize)
        .delete(ONE, LOGGED_MODELS.to("delete"), delete)
        .patch(&format!("{ONE}/tags"), LOGGED_MODELS.to("update"), set_tags)
        .delete(&format!("{ONE}/tags/{{key}}"), LOGGED_MODELS.to("update"), delete_tag)
        .post(&format!("{ONE}/params"), LOGGED_MODELS.to("update"), log_params)
        .get(&format!("{ONE}/artifacts/directories"), LOGGED_MODELS.to("get"), list_artifacts)
        .get(&format!("{ONE}/artifacts/files"), LOGGED_MODELS.to("get"), artifact)
        .post("2.0/mlflow/runs/log-model", RUNS.to("update"), log_in_run)
}

#[derive(Debug, Serialize)]
struct InfoMessage {
    model_id: String,
    experiment_id: ExperimentId,
    name: String,
    creation_timestamp_ms: i64,
    last_updated_timestamp_ms: i64,
    artifact_uri: String,
    status: ModelStatus,
    model_type: String,
    source_run_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
}

#[derive(Debug, Serialize)]
struct DataMessage {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    params: Vec<Tag>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<ModelPoint>,
}

/// A model in the protocol's form.
#[derive(Debug, Serialize)]
pub(crate) struct ModelMessage {
    info: InfoMessage,
    data: DataMessage,
}

impl From<LoggedModel> for ModelMessage {
    fn from(model: LoggedModel) -> Self {
        Self {
            info: InfoMessage {
                model_id: model.id,
                experiment_id: model.experiment,
                name: model.name,
                creation_timestamp_ms: model.created_at,
                last_updated_timestamp_ms: model.updated_at,
                artifact_uri: model.artifact_uri,
                status: model.status,
                model_type: model.model_type,
                source_run_id: model.source_run,
                tags: model.tags,
            },
            data: DataMessage { params: model.params, metrics: model.metrics },
        }
    }
}

#[derive(Serialize)]
struct One {
    model: ModelMessage,
}

fn one(model: LoggedModel) -> Answer {
    reply(&One { model: model.into() })
}

#[derive(Serialize)]
struct Page {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    models: Vec<ModelMessage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

async fn create(Call { door, grant, fields }: Call) -> Answer {
    let new = NewModel {
        experiment: fields.required_text("experiment_id")?.to_owned(),
        name: fields.text("name")?.to_owned(),
        model_type: fields.text("model_type")?.to_owned(),
        source_run: fields.text("source_run_id")?.to_owned(),
        params: Tag::read(&fields, "params")?,
        tags: Tag::read(&fields, "tags")?,
    };
    one(door.tracking.create_logged_model(&grant, new).await?)
}

async fn get(Path(id): Path<String>, Call { door, grant, fields }: Call) -> Answer {
    let deleted = fields.text("allow_deleted")?.eq_ignore_ascii_case("true");
    one(door.tracking.logged_model(&grant, &id, deleted).await?)
}

/// The status, by name or number; what is neither is none.
fn status(fields: &Fields) -> Result<ModelStatus> {
    let status = fields.raw("status").ok_or_else(|| missing("status"))?;
    let named = status.as_str().and_then(ModelStatus::from_name);
    let numbered = || fields.optional_int("status").ok().flatten().and_then(ModelStatus::from_number);
    Ok(named.or_else(numbered).unwrap_or(ModelStatus::Unspecified))
}

async fn finalize(Path(id): Path<String>, Call { door, grant, fields }: Call) -> Answer {
    check_id(&id, &fields)?;
    one(door.tracking.finalize_logged_model(&grant, &id, status(&fields)?).await?)
}

/// The body repeats the id of the path.
fn check_id(id: &str, fields: &Fields) -> Result<()> {
    if fields.required_text("model_id")? == id {
        return Ok(());
    }
    Err(Error::bad_request("The model_id of the body is not that of the path."))
}

async fn delete(Path(id): Path<String>, Call { door, grant, .. }: Call) -> Answer {
    door.tracking.delete_logged_model(&grant, &id).await?;
    reply_empty()
}

async fn set_tags(Path(id): Path<String>, Call { door, grant, fields }: Call) -> Answer {
    door.tracking.set_logged_model_tags(&grant, &id, Tag::read(&fields, "tags")?).await?;
    reply_empty()
}

async fn delete_tag(Path((id, key)): Path<(String, String)>, Call { door, grant, .. }: Call) -> Answer {
    door.tracking.remove_logged_model_tag(&grant, &id, &key).await?;
    reply_empty()
}

async fn log_params(Path(id): Path<String>, Call { door, grant, fields }: Call) -> Answer {
    check_id(&id, &fields)?;
    door.tracking.log_logged_model_params(&grant, &id, Tag::read(&fields, "params")?).await?;
    reply_empty()
}

fn non_empty(fields: &Fields, name: &str) -> Result<Option<String>> {
    Ok(fields.optional_text(name)?.filter(|text| !text.is_empty()).map(str::to_owned))
}

fn order(fields: &Fields) -> Result<OrderBy> {
    Ok(OrderBy {
        field_name: fields.text("field_name")?.to_owned(),
        ascending: if fields.has("ascending") { fields.flag("ascending")? } else { true },
        dataset_name: non_empty(fields, "dataset_name")?,
        dataset_digest: non_empty(fields, "dataset_digest")?,
    })
}

fn dataset(fields: &Fields) -> Result<DatasetFilter> {
    Ok(DatasetFilter { name: fields.text("dataset_name")?.to_owned(), digest: non_empty(fields, "dataset_digest")? })
}

async fn search(Call { door, grant, fields }: Call) -> Answer {
    if !fields.has("experiment_ids") {
        return Err(missing("experiment_ids").into());
    }
    let orders: Vec<OrderBy> = fields.messages("order_by")?.iter().map(order).collect::<Result<_>>()?;
    let search = ModelSearch {
        experiments: fields.texts("experiment_ids")?.into_iter().map(str::to_owned).collect(),
        filter: non_empty(&fields, "filter")?,
        datasets: fields.messages("datasets")?.iter().map(dataset).collect::<Result<_>>()?,
        most: fields.optional_int("max_results")?.unwrap_or_default(),
        order_by: Some(orders).filter(|orders| !orders.is_empty()),
        page_token: fields.text("page_token")?.to_owned(),
    };
    let (models, next_page_token) = door.tracking.search_logged_models(&grant, search).await?;
    reply(&Page { models: models.into_iter().map(ModelMessage::from).collect(), next_page_token })
}

#[derive(Serialize)]
struct Listed {
    root_uri: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<artifacts::Artifact>,
}

async fn list_artifacts(Path(id): Path<String>, Call { door, grant, fields }: Call) -> Answer {
    let path = fields.text("artifact_directory_path")?;
    let root_uri = door.tracking.logged_model(&grant, &id, false).await?.artifact_uri;
    let place = door.tracking.place_below(&grant, &root_uri, path)?;
    let mut files = door.tracking.list_artifacts(&place).await?;
    artifacts::mlflow::below_path(&mut files, path);
    reply(&Listed { root_uri, files })
}

async fn artifact(Path(id): Path<String>, asked: HeaderMap, Call { door, grant, fields }: Call) -> Answer {
    let path = fields.text("artifact_file_path")?;
    if path.is_empty() {
        let message = "Request must include the \"artifact_file_path\" query parameter.";
        return Err(Error::NotAcceptable(message.to_owned()).into());
    }
    let model = door.tracking.logged_model(&grant, &id, false).await?;
    let place = door.tracking.place_below(&grant, &model.artifact_uri, path)?;
    artifacts::mlflow::send(&door.tracking, &place, path, &asked).await
}

async fn log_in_run(Call { door, grant, fields }: Call) -> Answer {
    let run = fields.required_text("run_id")?;
    let model = LegacyModel::parse(fields.required_text("model_json")?)?;
    door.tracking.log_model_in_run(&grant, run, model).await?;
    reply_empty()
}
