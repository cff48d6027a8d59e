//! The tables of evaluation datasets.

use std::collections::HashMap;
use std::sync::Arc;

use mcplane_core::{Error, Result};
use mcplane_db::{Arg, Db, Row, Tx};
use serde_json::Value;

use super::service::EvaluationDataset;
use crate::tags::Tag;

pub(super) const COLUMNS: &str =
    "d.no, d.id, d.name, d.fields, d.records, d.digest, d.created_at, d.updated_at, d.created_by, d.updated_by";

/// Reads [`COLUMNS`].
pub(super) fn read(row: &Row) -> Result<EvaluationDataset> {
    Ok(EvaluationDataset {
        no: row.int(0)?,
        id: row.text(1)?.to_owned(),
        name: row.text(2)?.to_owned(),
        schema: row.optional_text(3)?.map(str::to_owned),
        records: row.int(4)?,
        digest: row.text(5)?.to_owned(),
        created_at: row.int(6)?,
        updated_at: row.int(7)?,
        created_by: row.optional_text(8)?.map(str::to_owned),
        updated_by: row.optional_text(9)?.map(str::to_owned),
        tags: vec![],
    })
}

fn by_id(namespace: &str, id: &str) -> (String, Vec<Arg>) {
    let sql = format!("SELECT {COLUMNS} FROM evaluation_datasets d WHERE d.namespace = $1 AND d.id = $2");
    (sql, vec![namespace.into(), id.into()])
}

/// The dataset, without its tags.
pub(super) async fn find(tx: &mut Tx, namespace: &str, id: &str) -> Result<Option<EvaluationDataset>> {
    let (sql, args) = by_id(namespace, id);
    tx.fetch(sql, args).await?.first().map(read).transpose()
}

/// The dataset with its tags.
pub(super) async fn get(db: &Db, namespace: &str, id: &str) -> Result<Option<EvaluationDataset>> {
    let (sql, args) = by_id(namespace, id);
    let found = db.fetch(sql, args).await?.iter().map(read).collect::<Result<_>>()?;
    Ok(with_tags(db, found).await?.pop())
}

/// Adds the tags of datasets.
pub(super) async fn with_tags(db: &Db, mut datasets: Vec<EvaluationDataset>) -> Result<Vec<EvaluationDataset>> {
    if datasets.is_empty() {
        return Ok(datasets);
    }
    let numbers: Vec<i64> = datasets.iter().map(|dataset| dataset.no).collect();
    let list = db.dialect().numbers(1);
    let sql = format!(
        "SELECT dataset, key, value FROM evaluation_dataset_tags WHERE dataset IN {list} ORDER BY dataset, key"
    );
    let mut tags: HashMap<i64, Vec<Tag>> = HashMap::new();
    for row in db.fetch(sql, vec![Arg::list(&numbers)]).await? {
        tags.entry(row.int(0)?).or_default().push(Tag::new(row.text(1)?, row.text(2)?));
    }
    for dataset in &mut datasets {
        dataset.tags = tags.remove(&dataset.no).unwrap_or_default();
    }
    Ok(datasets)
}

fn optional(text: Option<&str>) -> Arg {
    Arg::OptionalText(text.map(Arc::from))
}

/// Adds a dataset; the database gives its number.
pub(super) async fn insert(tx: &mut Tx, namespace: &str, dataset: &EvaluationDataset) -> Result<i64> {
    let sql = "INSERT INTO evaluation_datasets (namespace, id, name, records, digest, created_at, updated_at, created_by, updated_by) \
               VALUES ($1, $2, $3, 0, $4, $5, $5, $6, $6) RETURNING no";
    let args = vec![
        namespace.into(),
        dataset.id.as_str().into(),
        dataset.name.as_str().into(),
        dataset.digest.as_str().into(),
        dataset.created_at.into(),
        optional(dataset.created_by.as_deref()),
    ];
    let rows = tx.fetch(sql, args).await?;
    rows.first().ok_or_else(|| Error::internal("an insert without a number"))?.int(0)
}

/// Writes what changes of a dataset, and counts its records.
pub(super) async fn update(tx: &mut Tx, dataset: &EvaluationDataset) -> Result<()> {
    let sql = "UPDATE evaluation_datasets SET fields = $2, digest = $3, updated_at = $4, updated_by = $5, \
               records = (SELECT count(*) FROM evaluation_records WHERE dataset = $1) WHERE no = $1";
    let args = vec![
        dataset.no.into(),
        optional(dataset.schema.as_deref()),
        dataset.digest.as_str().into(),
        dataset.updated_at.into(),
        optional(dataset.updated_by.as_deref()),
    ];
    tx.execute(sql, args).await.map(drop)
}

/// Deletes a dataset with all that belongs to it.
pub(super) async fn delete(tx: &mut Tx, dataset: i64) -> Result<()> {
    for table in ["evaluation_dataset_tags", "evaluation_dataset_experiments", "evaluation_records"] {
        tx.execute(format!("DELETE FROM {table} WHERE dataset = $1"), vec![dataset.into()]).await?;
    }
    tx.execute("DELETE FROM evaluation_datasets WHERE no = $1", vec![dataset.into()]).await.map(drop)
}

/// Sets tags, whose keys must differ.
pub(super) async fn put_tags(tx: &mut Tx, dataset: i64, tags: &[Tag]) -> Result<()> {
    let rows =
        tags.iter().flat_map(|tag| [dataset.into(), tag.key.as_str().into(), tag.value.as_str().into()]).collect();
    let replace = "ON CONFLICT (dataset, key) DO UPDATE SET value = excluded.value";
    tx.execute_rows("INSERT INTO evaluation_dataset_tags (dataset, key, value)", 3, rows, replace).await
}

/// Removes a tag, if it is there.
pub(super) async fn remove_tag(tx: &mut Tx, dataset: i64, key: &str) -> Result<()> {
    let sql = "DELETE FROM evaluation_dataset_tags WHERE dataset = $1 AND key = $2";
    tx.execute(sql, vec![dataset.into(), key.into()]).await.map(drop)
}

/// Adds a dataset to experiments.
pub(super) async fn add_experiments(tx: &mut Tx, dataset: i64, experiments: &[i64]) -> Result<()> {
    let rows = experiments.iter().flat_map(|id| [dataset.into(), (*id).into()]).collect();
    tx.execute_rows(
        "INSERT INTO evaluation_dataset_experiments (dataset, experiment)",
        2,
        rows,
        "ON CONFLICT DO NOTHING",
    )
    .await
}

/// Removes a dataset from experiments; tells from how many.
pub(super) async fn remove_experiments(tx: &mut Tx, dataset: i64, experiments: &[i64]) -> Result<u64> {
    let list = tx.dialect().numbers(2);
    let sql = format!("DELETE FROM evaluation_dataset_experiments WHERE dataset = $1 AND experiment IN {list}");
    tx.execute(sql, vec![dataset.into(), Arg::list(experiments)]).await
}

/// The experiments of a dataset.
pub(super) async fn experiments(db: &Db, namespace: &str, id: &str) -> Result<Vec<i64>> {
    let sql = "SELECT x.experiment FROM evaluation_dataset_experiments x JOIN evaluation_datasets d ON d.no = x.dataset \
               WHERE d.namespace = $1 AND d.id = $2 ORDER BY x.experiment";
    db.fetch(sql, vec![namespace.into(), id.into()]).await?.iter().map(|row| row.int(0)).collect()
}

fn body(row: &Row, column: usize) -> Result<Value> {
    serde_json::from_str(row.text(column)?).map_err(Error::internal)
}

/// Those of the records that are there, by the hashes of their inputs.
pub(super) async fn records_by_hash(tx: &mut Tx, dataset: i64, hashes: &[&str]) -> Result<HashMap<String, Value>> {
    let list = tx.dialect().texts(2);
    let sql = format!("SELECT input_hash, body FROM evaluation_records WHERE dataset = $1 AND input_hash IN {list}");
    let rows = tx.fetch(sql, vec![dataset.into(), Arg::list(hashes)]).await?;
    rows.iter().map(|row| Ok((row.text(0)?.to_owned(), body(row, 1)?))).collect()
}

/// Sets records, by the hashes of their inputs.
pub(super) async fn put_records(tx: &mut Tx, dataset: i64, records: &HashMap<String, Value>) -> Result<()> {
    let rows = records
        .iter()
        .flat_map(|(hash, body)| {
            let id = body["dataset_record_id"].as_str().unwrap_or_default();
            let at = body["created_time"].as_i64().unwrap_or_default();
            [dataset.into(), id.into(), hash.as_str().into(), at.into(), body.to_string().into()]
        })
        .collect();
    let before = "INSERT INTO evaluation_records (dataset, id, input_hash, created_at, body)";
    tx.execute_rows(before, 5, rows, "ON CONFLICT (dataset, input_hash) DO UPDATE SET body = excluded.body").await
}

/// Deletes records; tells how many there were.
pub(super) async fn remove_records(tx: &mut Tx, dataset: i64, ids: &[&str]) -> Result<u64> {
    let list = tx.dialect().texts(2);
    let sql = format!("DELETE FROM evaluation_records WHERE dataset = $1 AND id IN {list}");
    tx.execute(sql, vec![dataset.into(), Arg::list(ids)]).await
}

/// Records behind a place, in the order of their making.
pub(super) async fn records(db: &Db, dataset: i64, after: (i64, &str), most: i64) -> Result<Vec<Value>> {
    let sql = "SELECT body FROM evaluation_records WHERE dataset = $1 AND (created_at > $2 OR (created_at = $2 AND id > $3)) \
               ORDER BY created_at, id LIMIT $4";
    let args = vec![dataset.into(), after.0.into(), after.1.into(), most.into()];
    db.fetch(sql, args).await?.iter().map(|row| body(row, 0)).collect()
}
