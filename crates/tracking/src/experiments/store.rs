//! The tables `experiments` and `experiment_tags`.

use std::collections::HashMap;

use mcplane_core::Result;
use mcplane_db::{Arg, Db, Row, Tx};

use super::types::{Experiment, ExperimentId};
use crate::tags::Tag;

pub(crate) const COLUMNS: &str = "no, namespace, id, name, artifact_location, deleted, created_at, updated_at";
/// The counter of ids in a namespace.
const LAST_ID: &str = "experiments.tracking.mcplane.io/last-id";

/// Reads [`COLUMNS`].
pub(crate) fn read(row: &Row) -> Result<Experiment> {
    Ok(Experiment {
        no: row.int(0)?,
        namespace: row.text(1)?.to_owned(),
        id: ExperimentId(row.int(2)?),
        name: row.text(3)?.to_owned(),
        artifact_location: row.text(4)?.to_owned(),
        deleted: row.int(5)? != 0,
        created_at: row.int(6)?,
        updated_at: row.int(7)?,
        tags: vec![],
    })
}

fn by_id(namespace: &str, id: ExperimentId) -> (String, Vec<Arg>) {
    let sql = format!("SELECT {COLUMNS} FROM experiments WHERE namespace = $1 AND id = $2");
    (sql, vec![namespace.into(), id.0.into()])
}

/// The experiment, without its tags.
pub(crate) async fn find(tx: &mut Tx, namespace: &str, id: ExperimentId) -> Result<Option<Experiment>> {
    let (sql, args) = by_id(namespace, id);
    tx.fetch(sql, args).await?.first().map(read).transpose()
}

/// The experiment with its tags.
pub(crate) async fn get(db: &Db, namespace: &str, id: ExperimentId) -> Result<Option<Experiment>> {
    let (sql, args) = by_id(namespace, id);
    with_tags(db, db.fetch(sql, args).await?.iter().map(read).collect::<Result<_>>()?).await.map(one)
}

/// The experiment of that name with its tags.
pub(crate) async fn get_by_name(db: &Db, namespace: &str, name: &str) -> Result<Option<Experiment>> {
    let sql = format!("SELECT {COLUMNS} FROM experiments WHERE namespace = $1 AND name = $2");
    let rows = db.fetch(sql, vec![namespace.into(), name.into()]).await?;
    with_tags(db, rows.iter().map(read).collect::<Result<_>>()?).await.map(one)
}

fn one(mut found: Vec<Experiment>) -> Option<Experiment> {
    found.pop()
}

/// Adds the tags of experiments.
pub(crate) async fn with_tags(db: &Db, mut experiments: Vec<Experiment>) -> Result<Vec<Experiment>> {
    if experiments.is_empty() {
        return Ok(experiments);
    }
    let numbers: Vec<i64> = experiments.iter().map(|experiment| experiment.no).collect();
    let list = db.dialect().numbers(1);
    let sql = format!(
        "SELECT experiment, key, value FROM experiment_tags WHERE experiment IN {list} ORDER BY experiment, key"
    );
    let places: HashMap<i64, usize> = numbers.iter().enumerate().map(|(at, no)| (*no, at)).collect();
    for row in db.fetch(sql, vec![Arg::list(&numbers)]).await? {
        let (no, tag) = (row.int(0)?, Tag::new(row.text(1)?, row.text(2)?));
        if let Some(experiment) = places.get(&no).and_then(|at| experiments.get_mut(*at)) {
            experiment.tags.push(tag);
        }
    }
    Ok(experiments)
}

/// Whether the name is taken, by a deleted experiment too.
pub(crate) async fn name_exists(tx: &mut Tx, namespace: &str, name: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM experiments WHERE namespace = $1 AND name = $2";
    Ok(!tx.fetch(sql, vec![namespace.into(), name.into()]).await?.is_empty())
}

/// An id that was never given in the namespace.
pub(crate) async fn next_id(tx: &mut Tx, namespace: &str) -> Result<ExperimentId> {
    let sql = "INSERT INTO counters (namespace, name, value) VALUES ($1, $2, 1) \
               ON CONFLICT (namespace, name) DO UPDATE SET value = counters.value + 1 RETURNING value";
    let rows = tx.fetch(sql, vec![namespace.into(), LAST_ID.into()]).await?;
    rows.first().map_or(Ok(ExperimentId(1)), |row| row.int(0).map(ExperimentId))
}

/// Adds an experiment, unless its id is there. The database gives its number.
pub(crate) async fn insert(tx: &mut Tx, experiment: &Experiment) -> Result<()> {
    let sql = "INSERT INTO experiments (namespace, id, name, artifact_location, deleted, created_at, updated_at) \
               VALUES ($1, $2, $3, $4, 0, $5, $5) ON CONFLICT (namespace, id) DO NOTHING RETURNING no";
    let args = vec![
        experiment.namespace.as_str().into(),
        experiment.id.0.into(),
        experiment.name.as_str().into(),
        experiment.artifact_location.as_str().into(),
        experiment.created_at.into(),
    ];
    if let Some(row) = tx.fetch(sql, args).await?.first() {
        let no = row.int(0)?;
        for tag in &experiment.tags {
            put_tag(tx, no, tag).await?;
        }
    }
    Ok(())
}

/// Sets a tag.
pub(crate) async fn put_tag(tx: &mut Tx, no: i64, tag: &Tag) -> Result<()> {
    let sql = "INSERT INTO experiment_tags (experiment, key, value) VALUES ($1, $2, $3) \
               ON CONFLICT (experiment, key) DO UPDATE SET value = excluded.value";
    tx.execute(sql, vec![no.into(), tag.key.as_str().into(), tag.value.as_str().into()]).await.map(drop)
}

/// Removes a tag; tells whether it was there.
pub(crate) async fn remove_tag(tx: &mut Tx, no: i64, key: &str) -> Result<bool> {
    let sql = "DELETE FROM experiment_tags WHERE experiment = $1 AND key = $2";
    Ok(tx.execute(sql, vec![no.into(), key.into()]).await? > 0)
}

/// Deletes or restores an experiment and all its runs.
pub(crate) async fn set_deleted(tx: &mut Tx, no: i64, deleted: bool) -> Result<()> {
    let now = tx.now();
    let sql = "UPDATE experiments SET deleted = $2, updated_at = $3 WHERE no = $1";
    tx.execute(sql, vec![no.into(), deleted.into(), now.into()]).await?;
    let sql = "UPDATE runs SET deleted_at = $2 WHERE experiment = $1";
    tx.execute(sql, vec![no.into(), deleted.then_some(now).into()]).await.map(drop)
}

/// Gives an experiment another name.
pub(crate) async fn rename(tx: &mut Tx, no: i64, name: &str) -> Result<()> {
    let sql = "UPDATE experiments SET name = $2, updated_at = $3 WHERE no = $1";
    let now = tx.now();
    tx.execute(sql, vec![no.into(), name.into(), now.into()]).await.map(drop)
}
