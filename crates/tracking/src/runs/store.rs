//! The tables `runs`, `run_params` and `run_tags`.

use mcplane_core::{Error, Result};
use mcplane_db::{Arg, Row, Tx};

use super::types::{RunInfo, RunStatus, RunUpdate};
use crate::experiments::ExperimentId;
use crate::tags::{Tag, hash};

/// The columns of a run, of `runs r` joined with its `experiments e`.
pub(crate) const COLUMNS: &str = "r.no, r.id, e.id, r.experiment, r.name, r.user_id, r.status, r.started_at, r.ended_at, \
                                  r.deleted_at, r.artifact_uri";

/// Reads [`COLUMNS`].
pub(crate) fn read(row: &Row) -> Result<RunInfo> {
    Ok(RunInfo {
        no: row.int(0)?,
        id: row.text(1)?.to_owned(),
        experiment: ExperimentId(row.int(2)?),
        experiment_no: row.int(3)?,
        name: row.text(4)?.to_owned(),
        user_id: row.text(5)?.to_owned(),
        status: RunStatus::from_number(row.int(6)?).ok_or_else(|| Error::internal("a run in an unknown status"))?,
        started_at: row.int(7)?,
        ended_at: row.optional_int(8)?,
        deleted_at: row.optional_int(9)?,
        artifact_uri: row.text(10)?.to_owned(),
    })
}

/// Query for a run by its id.
pub(crate) fn by_id(namespace: &str, id: &str) -> (String, Vec<Arg>) {
    let sql = format!(
        "SELECT {COLUMNS} FROM runs r JOIN experiments e ON e.no = r.experiment WHERE r.id = $1 AND r.namespace = $2"
    );
    (sql, vec![id.into(), namespace.into()])
}

/// A run as writes need it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunKey {
    pub(crate) no: i64,
    pub(crate) experiment_no: i64,
    started_at: i64,
    deleted: bool,
}

impl From<&RunInfo> for RunKey {
    fn from(run: &RunInfo) -> Self {
        let RunInfo { no, experiment_no, started_at, deleted_at, .. } = *run;
        Self { no, experiment_no, started_at, deleted: deleted_at.is_some() }
    }
}

impl RunKey {
    /// # Errors
    /// [`Error::BadRequest`] unless the run is active.
    pub(crate) fn check_active(&self, id: &str) -> Result<()> {
        if self.deleted {
            let message = format!("The run {id} must be in the 'active' state. Current state is deleted.");
            return Err(Error::bad_request(message));
        }
        Ok(())
    }
}

/// Finds a run that may be written to.
///
/// # Errors
/// [`Error::Missing`] if there is none, [`Error::BadRequest`] if it is deleted.
pub(crate) async fn find_active(tx: &mut Tx, namespace: &str, id: &str) -> Result<RunKey> {
    let key = find(tx, namespace, id).await?;
    key.check_active(id)?;
    Ok(key)
}

/// Finds a run.
///
/// # Errors
/// [`Error::Missing`] if there is none.
pub(crate) async fn find(tx: &mut Tx, namespace: &str, id: &str) -> Result<RunKey> {
    let sql = "SELECT no, experiment, started_at, deleted_at FROM runs WHERE id = $1 AND namespace = $2";
    let rows = tx.fetch(sql, vec![id.into(), namespace.into()]).await?;
    let row = rows.first().ok_or_else(|| missing(id))?;
    Ok(RunKey {
        no: row.int(0)?,
        experiment_no: row.int(1)?,
        started_at: row.int(2)?,
        deleted: row.optional_int(3)?.is_some(),
    })
}

/// There is no such run in the namespace.
pub(crate) fn missing(id: &str) -> Error {
    Error::Missing(format!("Run with id={id} not found"))
}

/// Adds a run; the database gives its number.
pub(crate) async fn insert(tx: &mut Tx, namespace: &str, run: &RunInfo) -> Result<i64> {
    let sql = "INSERT INTO runs (id, namespace, experiment, name, user_id, status, started_at, artifact_uri) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING no";
    let args = vec![
        run.id.as_str().into(),
        namespace.into(),
        run.experiment_no.into(),
        run.name.as_str().into(),
        run.user_id.as_str().into(),
        (run.status as i64).into(),
        run.started_at.into(),
        run.artifact_uri.as_str().into(),
    ];
    let rows = tx.fetch(sql, args).await?;
    rows.first().ok_or_else(|| Error::internal("an insert without a number"))?.int(0)
}

/// Changes a run itself.
pub(crate) async fn update(tx: &mut Tx, run: i64, change: &RunUpdate) -> Result<()> {
    let sql = "UPDATE runs SET status = coalesce($2, status), ended_at = coalesce($3, ended_at), name = coalesce($4, name) \
               WHERE no = $1";
    let name = change.name.as_deref().map(std::sync::Arc::from);
    let args = vec![
        run.into(),
        change.status.map(|status| status as i64).into(),
        change.ended_at.into(),
        Arg::OptionalText(name),
    ];
    tx.execute(sql, args).await.map(drop)
}

/// Deletes or restores a run.
pub(crate) async fn set_deleted(tx: &mut Tx, run: i64, deleted_at: Option<i64>) -> Result<()> {
    let sql = "UPDATE runs SET deleted_at = $2 WHERE no = $1";
    tx.execute(sql, vec![run.into(), deleted_at.into()]).await.map(drop)
}

/// What [`rows_of`] gives: experiment and start are those of the run, which its indexes are ordered by.
const ENTRY: &str = "(run, key, value, hash, experiment, started_at)";

fn rows_of(run: RunKey, tags: &[Tag]) -> Vec<Arg> {
    let row = |tag: &Tag| {
        let (key, value) = (tag.key.as_str().into(), tag.value.as_str().into());
        [run.no.into(), key, value, hash(&tag.value).into(), run.experiment_no.into(), run.started_at.into()]
    };
    tags.iter().flat_map(row).collect()
}

/// Sets tags, whose keys must differ.
pub(crate) async fn put_tags(tx: &mut Tx, run: RunKey, tags: &[Tag]) -> Result<()> {
    let replace = "ON CONFLICT (run, key) DO UPDATE SET value = excluded.value, hash = excluded.hash";
    tx.execute_rows(&format!("INSERT INTO run_tags {ENTRY}"), 6, rows_of(run, tags), replace).await
}

/// Removes a tag; tells whether it was there.
pub(crate) async fn remove_tag(tx: &mut Tx, run: i64, key: &str) -> Result<bool> {
    let sql = "DELETE FROM run_tags WHERE run = $1 AND key = $2";
    Ok(tx.execute(sql, vec![run.into(), key.into()]).await? > 0)
}

/// The value of a tag.
pub(crate) async fn tag(tx: &mut Tx, run: i64, key: &str) -> Result<Option<String>> {
    let sql = "SELECT value FROM run_tags WHERE run = $1 AND key = $2";
    let rows = tx.fetch(sql, vec![run.into(), key.into()]).await?;
    rows.first().map(|row| row.text(0).map(str::to_owned)).transpose()
}

/// Those of the keys that are parameters already, with their values.
pub(crate) async fn params(tx: &mut Tx, run: i64, keys: &[&str]) -> Result<Vec<Tag>> {
    let list = tx.dialect().texts(2);
    let sql = format!("SELECT key, value FROM run_params WHERE run = $1 AND key IN {list}");
    let rows = tx.fetch(sql, vec![run.into(), Arg::list(keys)]).await?;
    rows.iter().map(|row| Ok(Tag::new(row.text(0)?, row.text(1)?))).collect()
}

/// Adds parameters that are not there.
pub(crate) async fn insert_params(tx: &mut Tx, run: RunKey, params: &[Tag]) -> Result<()> {
    tx.execute_rows(&format!("INSERT INTO run_params {ENTRY}"), 6, rows_of(run, params), "").await
}
