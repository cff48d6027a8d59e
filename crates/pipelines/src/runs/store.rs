//! The SQL of runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use mcplane_core::{Error, Result, Timestamp};
use mcplane_db::{Arg, Db, Row, Tx};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::types::{RunRow, StepRow};
use crate::run::{NodeId, Record, State};
use crate::values::Bindings;

const RUN: &str = "uid, namespace, name, pipeline, spec, asked, state, error, canceling, experiment, tracked, created_at, \
    finished_at";

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(Error::internal)
}

fn parse<T: DeserializeOwned>(row: &Row, column: usize) -> Result<T> {
    serde_json::from_str(row.text(column)?).map_err(Error::internal)
}

/// The word of a state in its column.
pub(crate) fn word(state: State) -> String {
    serde_json::to_value(state).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

fn read_state(text: &str) -> Result<Option<State>> {
    if text.is_empty() {
        return Ok(None);
    }
    serde_json::from_value(text.into()).map(Some).map_err(Error::internal)
}

fn read_run(row: &Row) -> Result<RunRow> {
    Ok(RunRow {
        uid: row.text(0)?.to_owned(),
        namespace: row.text(1)?.to_owned(),
        name: row.text(2)?.to_owned(),
        pipeline: row.text(3)?.to_owned(),
        spec: row.text(4)?.into(),
        asked: parse(row, 5)?,
        state: read_state(row.text(6)?)?,
        error: row.text(7)?.to_owned(),
        canceling: row.int(8)? != 0,
        experiment: row.text(9)?.to_owned(),
        tracked: row.text(10)?.to_owned(),
        created_at: row.int(11)?,
        finished_at: row.optional_int(12)?,
    })
}

/// Makes a run, unless there is one.
pub(crate) async fn insert(tx: &mut Tx, run: &RunRow) -> Result<()> {
    let sql = format!(
        "INSERT INTO pipeline_runs ({RUN}, published) VALUES ($1, $2, $3, $4, $5, $6, '', '', 0, '', '', $7, NULL, 0) \
         ON CONFLICT (uid) DO NOTHING"
    );
    let args = vec![
        run.uid.as_str().into(),
        run.namespace.as_str().into(),
        run.name.as_str().into(),
        run.pipeline.as_str().into(),
        Arc::clone(&run.spec).into(),
        json(&run.asked)?.into(),
        run.created_at.into(),
    ];
    tx.execute(sql, args).await.map(drop)
}

/// A run by its uid.
pub(crate) async fn get(db: &Db, uid: &str) -> Result<Option<RunRow>> {
    let sql = format!("SELECT {RUN} FROM pipeline_runs WHERE uid = $1");
    db.fetch(sql, vec![uid.into()]).await?.first().map(read_run).transpose()
}

/// Uids of runs that have not ended, or whose end their objects do not tell yet.
pub(crate) async fn open(db: &Db) -> Result<Vec<String>> {
    let sql = "SELECT uid FROM pipeline_runs WHERE published = 0 ORDER BY created_at";
    db.fetch(sql, vec![]).await?.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
}

/// Those of these uids that are runs.
pub(crate) async fn known(db: &Db, uids: &[&str]) -> Result<Vec<String>> {
    let sql = format!("SELECT uid FROM pipeline_runs WHERE uid IN {}", db.dialect().texts(1));
    db.fetch(sql, vec![Arg::list(uids)]).await?.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
}

/// Keeps what the run is tracked as.
pub(crate) async fn set_tracked(tx: &mut Tx, uid: &str, experiment: &str, run: &str) -> Result<()> {
    let sql = "UPDATE pipeline_runs SET experiment = $2, tracked = $3 WHERE uid = $1";
    tx.execute(sql, vec![uid.into(), experiment.into(), run.into()]).await.map(drop)
}

/// Notes that somebody wants the run to end.
pub(crate) async fn set_canceling(tx: &mut Tx, uid: &str) -> Result<()> {
    let sql = "UPDATE pipeline_runs SET canceling = 1 WHERE uid = $1";
    tx.execute(sql, vec![uid.into()]).await.map(drop)
}

/// Moves a run on; the end is noted with its time.
pub(crate) async fn set_state(tx: &mut Tx, uid: &str, state: State, error: &str) -> Result<()> {
    let finished = state.is_final().then(|| tx.now());
    let sql = "UPDATE pipeline_runs SET state = $2, error = $3, finished_at = $4 WHERE uid = $1";
    let error = error.replace('\0', " ");
    tx.execute(sql, vec![uid.into(), word(state).into(), error.into(), finished.into()]).await.map(drop)
}

/// The object of the run tells how it ended.
pub(crate) async fn set_published(tx: &mut Tx, uid: &str) -> Result<()> {
    tx.execute("UPDATE pipeline_runs SET published = 1 WHERE uid = $1", vec![uid.into()]).await.map(drop)
}

/// Forgets a run; what it left behind for others, such as its artifacts and what it saved them, stays.
pub(crate) async fn delete(tx: &mut Tx, uid: &str) -> Result<()> {
    for sql in [
        "DELETE FROM pipeline_steps WHERE run = $1",
        "DELETE FROM pipeline_transitions WHERE run = $1",
        "DELETE FROM pipeline_runs WHERE uid = $1",
    ] {
        tx.execute(sql, vec![uid.into()]).await?;
    }
    Ok(())
}

/// Keeps transitions: each in the history, and the newest of each node in its row.
pub(crate) async fn record(tx: &mut Tx, uid: &str, records: &[Record]) -> Result<()> {
    let now = tx.now();
    let mut newest: BTreeMap<&NodeId, &Record> = BTreeMap::new();
    let mut history = Vec::with_capacity(records.len() * 6);
    for record in records {
        newest.insert(&record.node, record);
        // A program may write anything, and PostgreSQL takes no NUL.
        let message = record.error.as_deref().unwrap_or_default().replace('\0', " ");
        history.extend([
            uid.into(),
            i64::try_from(record.sequence).map_err(Error::internal)?.into(),
            record.node.as_str().into(),
            word(record.state).into(),
            message.into(),
            now.into(),
        ]);
    }
    let columns = "INSERT INTO pipeline_transitions (run, sequence, node, state, message, at)";
    tx.execute_rows(columns, 6, history, "ON CONFLICT DO NOTHING").await?;
    let mut steps: Vec<Arg> = Vec::with_capacity(newest.len() * 10);
    for record in newest.into_values() {
        let began = matches!(record.state, State::Running | State::Canceling).then_some(now);
        let ended = record.state.is_final().then_some(now);
        steps.extend([
            uid.into(),
            record.node.as_str().into(),
            i64::try_from(record.sequence).map_err(Error::internal)?.into(),
            word(record.state).into(),
            json(record)?.into(),
            "".into(),
            "".into(),
            "{}".into(),
            began.into(),
            ended.into(),
        ]);
    }
    let columns = "INSERT INTO pipeline_steps (run, node, sequence, state, record, task, tracked, digests, started_at, finished_at)";
    let merge = "ON CONFLICT (run, node) DO UPDATE SET sequence = excluded.sequence, state = excluded.state, \
        record = excluded.record, started_at = coalesce(pipeline_steps.started_at, excluded.started_at), \
        finished_at = excluded.finished_at";
    tx.execute_rows(columns, 10, steps, merge).await
}

/// Keeps which task does a node's work.
pub(crate) async fn set_task(tx: &mut Tx, uid: &str, node: &NodeId, task: &str, tracked: &str) -> Result<()> {
    let sql = "UPDATE pipeline_steps SET task = $3, tracked = $4 WHERE run = $1 AND node = $2";
    tx.execute(sql, vec![uid.into(), node.as_str().into(), task.into(), tracked.into()]).await.map(drop)
}

/// Keeps digests of a node's output artifacts.
pub(crate) async fn set_digests(
    tx: &mut Tx,
    uid: &str,
    node: &NodeId,
    digests: &BTreeMap<String, String>,
) -> Result<()> {
    let sql = "UPDATE pipeline_steps SET digests = $3 WHERE run = $1 AND node = $2";
    tx.execute(sql, vec![uid.into(), node.as_str().into(), json(digests)?.into()]).await.map(drop)
}

/// The nodes of a run, in the order of their newest transitions.
pub(crate) async fn steps(db: &Db, uid: &str) -> Result<Vec<StepRow>> {
    let sql = "SELECT record, task, tracked, digests, started_at, finished_at FROM pipeline_steps WHERE run = $1 \
        ORDER BY sequence, node";
    let read = |row: &Row| {
        Ok(StepRow {
            record: parse(row, 0)?,
            task: row.text(1)?.to_owned(),
            tracked: row.text(2)?.to_owned(),
            digests: parse(row, 3)?,
            started_at: row.optional_int(4)?,
            finished_at: row.optional_int(5)?,
        })
    };
    db.fetch(sql, vec![uid.into()]).await?.iter().map(read).collect()
}

/// A transition of a node.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Transition {
    pub(crate) node: String,
    pub(crate) state: String,
    pub(crate) message: String,
    pub(crate) at: Timestamp,
}

/// The newest transitions of a node, or of all if none is named; oldest first.
pub(crate) async fn transitions(db: &Db, uid: &str, node: Option<&str>, most: i64) -> Result<Vec<Transition>> {
    let sql = "SELECT node, state, message, at FROM pipeline_transitions WHERE run = $1 AND ($2 = '' OR node = $2) \
        ORDER BY sequence DESC LIMIT $3";
    let rows = db.fetch(sql, vec![uid.into(), node.unwrap_or_default().into(), most.into()]).await?;
    let read = |row: &Row| {
        let [node, state, message] = [row.text(0)?, row.text(1)?, row.text(2)?].map(str::to_owned);
        Ok(Transition { node, state, message, at: row.int(3)? })
    };
    let mut found: Vec<Transition> = rows.iter().map(read).collect::<Result<_>>()?;
    found.reverse();
    Ok(found)
}

/// Work that was done before.
#[derive(Debug, Clone)]
pub(crate) struct Cached {
    pub(crate) outputs: Bindings,
    pub(crate) digests: BTreeMap<String, String>,
}

/// The newest outputs of this work.
pub(crate) async fn cached(db: &Db, namespace: &str, pipeline: &str, fingerprint: &str) -> Result<Option<Cached>> {
    let sql = "SELECT outputs, digests FROM pipeline_cache WHERE namespace = $1 AND pipeline = $2 AND fingerprint = $3";
    let rows = db.fetch(sql, vec![namespace.into(), pipeline.into(), fingerprint.into()]).await?;
    rows.first().map(|row| Ok(Cached { outputs: parse(row, 0)?, digests: parse(row, 1)? })).transpose()
}

/// Keeps outputs for later runs.
pub(crate) async fn cache(tx: &mut Tx, run: &RunRow, node: &NodeId, fingerprint: &str, work: &Cached) -> Result<()> {
    let sql = "INSERT INTO pipeline_cache (namespace, pipeline, fingerprint, outputs, digests, run, node, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (namespace, pipeline, fingerprint) DO UPDATE SET \
        outputs = excluded.outputs, digests = excluded.digests, run = excluded.run, node = excluded.node, \
        created_at = excluded.created_at";
    let args = vec![
        run.namespace.as_str().into(),
        run.pipeline.as_str().into(),
        fingerprint.into(),
        json(&work.outputs)?.into(),
        json(&work.digests)?.into(),
        run.uid.as_str().into(),
        node.as_str().into(),
        tx.now().into(),
    ];
    tx.execute(sql, args).await.map(drop)
}
