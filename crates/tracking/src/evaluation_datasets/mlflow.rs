//! `/api/3.0/mlflow/datasets/…`: texts of JSON in messages of JSON, as the protocol has them.

use axum::extract::Path;
use mcplane_core::{Error, Result};
use serde_json::{Map, Value, json};

use super::records;
use super::service::{EvaluationDataset, Search};
use crate::experiments::ExperimentId;
use crate::mlflow::fields::Fields;
use crate::mlflow::{Answer, Call, Dialect, reply, reply_empty};
use crate::scope::EVALUATION_DATASETS;
use crate::tags::Tag;
use crate::traces::python_json;

pub(crate) fn routes(dialect: Dialect) -> Dialect {
    let noun = EVALUATION_DATASETS;
    dialect
        .post("3.0/mlflow/datasets/create", noun.to("create"), create)
        .post("3.0/mlflow/datasets/search", noun.to("list"), search)
        .get("3.0/mlflow/datasets/search", noun.to("list"), search)
        .get("3.0/mlflow/datasets/{id}", noun.to("get"), get)
        .delete("3.0/mlflow/datasets/{id}", noun.to("delete"), delete)
        .patch("3.0/mlflow/datasets/{id}/tags", noun.to("update"), set_tags)
        .delete("3.0/mlflow/datasets/{id}/tags/{key}", noun.to("update"), remove_tag)
        .post("3.0/mlflow/datasets/{id}/records", noun.to("update"), put_records)
        .get("3.0/mlflow/datasets/{id}/records", noun.to("get"), get_records)
        .delete("3.0/mlflow/datasets/{id}/records", noun.to("update"), remove_records)
        .get("3.0/mlflow/datasets/{id}/experiment-ids", noun.to("get"), experiment_ids)
        .post("3.0/mlflow/datasets/{id}/add-experiments", noun.to("update"), add_experiments)
        .post("3.0/mlflow/datasets/{id}/remove-experiments", noun.to("update"), remove_experiments)
}

/// A dataset in the protocol's form.
fn message(dataset: &EvaluationDataset) -> Value {
    let tags: Map<String, Value> =
        dataset.tags.iter().map(|tag| (tag.key.clone(), tag.value.as_str().into())).collect();
    let mut message = json!({
        "dataset_id": dataset.id,
        "name": dataset.name,
        "tags": python_json(&tags.into()),
        "digest": dataset.digest,
        "created_time": dataset.created_at,
        "last_update_time": dataset.updated_at,
    });
    for (name, text) in
        [("schema", &dataset.schema), ("created_by", &dataset.created_by), ("last_updated_by", &dataset.updated_by)]
    {
        if let Some(text) = text {
            message[name] = text.as_str().into();
        }
    }
    if dataset.records > 0 {
        message["profile"] = python_json(&json!({"num_records": dataset.records})).into();
    }
    message
}

fn texts(fields: &Fields, name: &str) -> Result<Vec<String>> {
    Ok(fields.texts(name)?.into_iter().map(str::to_owned).collect())
}

/// Tags as a text of JSON; those without a value are left out.
fn tags(text: &str) -> Result<Vec<Tag>> {
    if text.is_empty() {
        return Ok(vec![]);
    }
    let invalid = |error| Error::bad_request(format!("Invalid value for parameter 'tags': {error}"));
    let map: Map<String, Value> = serde_json::from_str(text).map_err(invalid)?;
    let tags = map.into_iter().filter(|(_, value)| !value.is_null());
    let plain = |value: Value| if let Value::String(text) = value { text } else { python_json(&value) };
    Ok(tags.map(|(key, value)| Tag::new(key, plain(value))).collect())
}

async fn create(Call { door, grant, fields }: Call) -> Answer {
    let (name, tags) = (fields.required_text("name")?, tags(fields.text("tags")?)?);
    let ids = fields.texts("experiment_ids")?;
    let ids = ids.into_iter().map(ExperimentId::parse).collect::<Result<Vec<_>>>()?;
    let dataset = door.tracking.create_evaluation_dataset(&grant, name, tags, &ids).await?;
    let mut message = message(&dataset);
    if !ids.is_empty() {
        message["experiment_ids"] = json!(ids);
    }
    reply(&json!({"dataset": message}))
}

async fn get(Path(id): Path<String>, Call { door, grant, .. }: Call) -> Answer {
    reply(&json!({"dataset": message(&door.tracking.evaluation_dataset(&grant, &id).await?)}))
}

async fn delete(Path(id): Path<String>, Call { door, grant, .. }: Call) -> Answer {
    door.tracking.delete_evaluation_dataset(&grant, &id).await?;
    reply_empty()
}

async fn search(Call { door, grant, fields }: Call) -> Answer {
    let search = Search {
        experiments: texts(&fields, "experiment_ids")?,
        filter: fields.text("filter_string")?.to_owned(),
        order_by: texts(&fields, "order_by")?,
        most: fields.optional_int("max_results")?.unwrap_or(1000),
        page_token: fields.text("page_token")?.to_owned(),
    };
    let (found, token) = door.tracking.search_evaluation_datasets(&grant, &search).await?;
    let mut shown = json!({});
    if !found.is_empty() {
        shown["datasets"] = found.iter().map(message).collect();
    }
    if let Some(token) = token {
        shown["next_page_token"] = token.into();
    }
    reply(&shown)
}

async fn set_tags(Path(id): Path<String>, Call { door, grant, fields }: Call) -> Answer {
    door.tracking.set_evaluation_dataset_tags(&grant, &id, tags(fields.required_text("tags")?)?).await?;
    reply_empty()
}

async fn remove_tag(Path((id, key)): Path<(String, String)>, Call { door, grant, .. }: Call) -> Answer {
    door.tracking.remove_evaluation_dataset_tag(&grant, &id, &key).await?;
    reply_empty()
}

async fn put_records(Path(id): Path<String>, Call { door, grant, fields }: Call) -> Answer {
    let records = records::read(fields.required_text("records")?)?;
    let (inserted, updated) = door.tracking.put_evaluation_records(&grant, &id, records).await?;
    reply(&json!({"inserted_count": inserted, "updated_count": updated}))
}

async fn get_records(Path(id): Path<String>, Call { door, grant, fields }: Call) -> Answer {
    let most = fields.optional_int("max_results")?.filter(|most| *most != 0).unwrap_or(1000);
    let (records, token) = door.tracking.evaluation_records(&grant, &id, most, fields.text("page_token")?).await?;
    let mut shown = json!({"records": Value::from(records).to_string()});
    if let Some(token) = token {
        shown["next_page_token"] = token.into();
    }
    reply(&shown)
}

async fn remove_records(Path(id): Path<String>, Call { door, grant, fields }: Call) -> Answer {
    let records = texts(&fields, "dataset_record_ids")?;
    let removed = door.tracking.remove_evaluation_records(&grant, &id, records).await?;
    reply(&json!({"deleted_count": removed}))
}

async fn experiment_ids(Path(id): Path<String>, Call { door, grant, .. }: Call) -> Answer {
    let found = door.tracking.experiments_of_dataset(&grant, &id).await?;
    let found: Vec<Value> = found.into_iter().map(|number| number.to_string().into()).collect();
    crate::traces::mlflow::list("experiment_ids", found)
}

async fn add_experiments(Path(id): Path<String>, Call { door, grant, fields }: Call) -> Answer {
    let ids = texts(&fields, "experiment_ids")?;
    reply(&json!({"dataset": message(&door.tracking.set_dataset_experiments(&grant, &id, &ids, true).await?)}))
}

async fn remove_experiments(Path(id): Path<String>, Call { door, grant, fields }: Call) -> Answer {
    let ids = texts(&fields, "experiment_ids")?;
    reply(&json!({"dataset": message(&door.tracking.set_dataset_experiments(&grant, &id, &ids, false).await?)}))
}
