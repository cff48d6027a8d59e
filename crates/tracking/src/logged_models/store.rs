//! The tables `logged_models`, `logged_model_params` and `logged_model_tags`, and what is read of `logged_model_metrics`.

use std::collections::HashMap;

use mcplane_core::{Error, Result};
use mcplane_db::{Arg, Row, Snapshot, Tx};

use super::types::{LoggedModel, ModelPoint, ModelStatus};
use crate::experiments::ExperimentId;
use crate::tags::Tag;

/// The columns of a model, of [`FROM`].
pub(crate) const COLUMNS: &str = "m.no, m.id, e.id, m.name, m.model_type, m.source_run, m.status, m.artifact_uri, \
                                  m.created_at, m.updated_at, m.deleted";
pub(crate) const FROM: &str = "logged_models m JOIN experiments e ON e.no = m.experiment";

/// Reads [`COLUMNS`].
pub(crate) fn read(row: &Row) -> Result<LoggedModel> {
    let text = |column| row.text(column).map(str::to_owned);
    Ok(LoggedModel {
        no: row.int(0)?,
        id: text(1)?,
        experiment: ExperimentId(row.int(2)?),
        name: text(3)?,
        model_type: text(4)?,
        source_run: text(5)?,
        status: ModelStatus::from_number(row.int(6)?).unwrap_or(ModelStatus::Unspecified),
        artifact_uri: text(7)?,
        created_at: row.int(8)?,
        updated_at: row.int(9)?,
        deleted: row.int(10)? != 0,
        tags: vec![],
        params: vec![],
        metrics: vec![],
    })
}

/// Query for a model by its id.
pub(crate) fn by_id(namespace: &str, id: &str) -> (String, Vec<Arg>) {
    let sql = format!("SELECT {COLUMNS} FROM {FROM} WHERE m.id = $1 AND m.namespace = $2");
    (sql, vec![id.into(), namespace.into()])
}

/// There is no such model in the namespace.
pub(crate) fn missing(id: &str) -> Error {
    Error::Missing(format!("Logged model with ID '{id}' not found."))
}

/// The number of a model, deleted or not.
pub(crate) async fn find(tx: &mut Tx, namespace: &str, id: &str) -> Result<i64> {
    let sql = "SELECT no FROM logged_models WHERE id = $1 AND namespace = $2";
    tx.fetch(sql, vec![id.into(), namespace.into()]).await?.first().ok_or_else(|| missing(id))?.int(0)
}

/// Adds a model; the database gives its number.
pub(crate) async fn insert(tx: &mut Tx, namespace: &str, experiment_no: i64, model: &LoggedModel) -> Result<i64> {
    let sql = "INSERT INTO logged_models \
               (id, namespace, experiment, name, model_type, source_run, status, artifact_uri, created_at, updated_at, deleted) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, 0) RETURNING no";
    let args = vec![
        model.id.as_str().into(),
        namespace.into(),
        experiment_no.into(),
        model.name.as_str().into(),
        model.model_type.as_str().into(),
        model.source_run.as_str().into(),
        (model.status as i64).into(),
        model.artifact_uri.as_str().into(),
        model.created_at.into(),
    ];
    let rows = tx.fetch(sql, args).await?;
    rows.first().ok_or_else(|| Error::internal("an insert without a number"))?.int(0)
}

/// Notes how far a model is.
pub(crate) async fn set_status(tx: &mut Tx, no: i64, status: ModelStatus) -> Result<()> {
    let now = tx.now();
    let sql = "UPDATE logged_models SET status = $2, updated_at = $3 WHERE no = $1";
    tx.execute(sql, vec![no.into(), (status as i64).into(), now.into()]).await.map(drop)
}

/// Deletes a model; its rows stay until it is purged.
pub(crate) async fn set_deleted(tx: &mut Tx, no: i64) -> Result<()> {
    let now = tx.now();
    let sql = "UPDATE logged_models SET deleted = 1, updated_at = $2 WHERE no = $1";
    tx.execute(sql, vec![no.into(), now.into()]).await.map(drop)
}

fn rows_of(model: i64, tags: &[Tag]) -> Vec<Arg> {
    tags.iter().flat_map(|tag| [model.into(), tag.key.as_str().into(), tag.value.as_str().into()]).collect()
}

/// Sets tags, whose keys must differ.
pub(crate) async fn put_tags(tx: &mut Tx, model: i64, tags: &[Tag]) -> Result<()> {
    let replace = "ON CONFLICT (model, key) DO UPDATE SET value = excluded.value";
    tx.execute_rows("INSERT INTO logged_model_tags (model, key, value)", 3, rows_of(model, tags), replace).await
}

/// Removes a tag; tells whether it was there.
pub(crate) async fn remove_tag(tx: &mut Tx, model: i64, key: &str) -> Result<bool> {
    let sql = "DELETE FROM logged_model_tags WHERE model = $1 AND key = $2";
    Ok(tx.execute(sql, vec![model.into(), key.into()]).await? > 0)
}

/// Those of the parameters that are there already.
pub(crate) async fn params(tx: &mut Tx, model: i64, keys: &[&str]) -> Result<Vec<Tag>> {
    let list = tx.dialect().texts(2);
    let sql = format!("SELECT key, value FROM logged_model_params WHERE model = $1 AND key IN {list}");
    let rows = tx.fetch(sql, vec![model.into(), Arg::list(keys)]).await?;
    rows.iter().map(|row| Ok(Tag::new(row.text(0)?, row.text(1)?))).collect()
}

/// Adds parameters that are not there.
pub(crate) async fn insert_params(tx: &mut Tx, model: i64, params: &[Tag]) -> Result<()> {
    tx.execute_rows("INSERT INTO logged_model_params (model, key, value)", 3, rows_of(model, params), "").await
}

/// Adds to models what belongs to them: a query for each kind of thing, however many models there are.
pub(crate) async fn assemble(view: &mut Snapshot, mut models: Vec<LoggedModel>) -> Result<Vec<LoggedModel>> {
    if models.is_empty() {
        return Ok(models);
    }
    let numbers: Vec<i64> = models.iter().map(|model| model.no).collect();
    let mut params = pairs(view, "logged_model_params", &numbers).await?;
    let mut tags = pairs(view, "logged_model_tags", &numbers).await?;
    let mut metrics = points(view, &numbers).await?;
    for model in &mut models {
        model.params = params.remove(&model.no).unwrap_or_default();
        model.tags = tags.remove(&model.no).unwrap_or_default();
        model.metrics = metrics.remove(&model.no).unwrap_or_default();
        for point in &mut model.metrics {
            point.model_id.clone_from(&model.id);
        }
    }
    Ok(models)
}

async fn pairs(view: &mut Snapshot, table: &str, models: &[i64]) -> Result<HashMap<i64, Vec<Tag>>> {
    let list = view.dialect().numbers(1);
    let sql = format!("SELECT model, key, value FROM {table} WHERE model IN {list} ORDER BY model, key");
    let mut found: HashMap<i64, Vec<Tag>> = HashMap::new();
    for row in view.fetch(sql, vec![Arg::list(models)]).await? {
        found.entry(row.int(0)?).or_default().push(Tag::new(row.text(1)?, row.text(2)?));
    }
    Ok(found)
}

async fn points(view: &mut Snapshot, models: &[i64]) -> Result<HashMap<i64, Vec<ModelPoint>>> {
    let list = view.dialect().numbers(1);
    let sql = format!(
        "SELECT p.model, p.key, p.value, p.recorded_at, p.step, p.dataset_name, p.dataset_digest, r.id \
         FROM logged_model_metrics p JOIN runs r ON r.no = p.run WHERE p.model IN {list} \
         ORDER BY p.model, p.key, p.recorded_at, p.step, p.run, p.dataset_name, p.dataset_digest, p.value"
    );
    let mut found: HashMap<i64, Vec<ModelPoint>> = HashMap::new();
    for row in view.fetch(sql, vec![Arg::list(models)]).await? {
        let text = |column| row.text(column).map(str::to_owned);
        found.entry(row.int(0)?).or_default().push(ModelPoint {
            key: text(1)?,
            value: row.float(2)?,
            timestamp: row.int(3)?,
            step: row.int(4)?,
            dataset_name: text(5)?,
            dataset_digest: text(6)?,
            model_id: String::new(),
            run_id: text(7)?,
        });
    }
    Ok(found)
}
