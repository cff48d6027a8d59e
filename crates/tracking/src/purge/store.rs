//! Statements over all tables.

use mcplane_core::Result;
use mcplane_db::{Arg, Db, Row, Tx};

use super::tables::Rows;
use super::types::Kind;

/// Rows that one statement deletes: other writers wait for it.
const BATCH: i64 = 1000;

/// A thing that can be purged.
#[derive(Debug, Clone)]
pub(super) struct Thing {
    pub(super) no: i64,
    pub(super) id: String,
    /// Since when it is deleted; `None` if it is not.
    pub(super) deleted_at: Option<i64>,
    /// Where its artifacts are; empty for none of its own.
    pub(super) artifacts: String,
}

impl Thing {
    fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            no: row.int(0)?,
            id: row.text(1)?.to_owned(),
            deleted_at: row.optional_int(2)?,
            artifacts: row.text(3)?.to_owned(),
        })
    }
}

impl Kind {
    const fn table(self) -> &'static str {
        match self {
            Self::Run => "runs",
            Self::Experiment => "experiments",
            Self::Model => "logged_models",
            Self::Trace => "traces",
        }
    }

    /// Reads of a [`Thing`].
    const fn columns(self) -> &'static str {
        match self {
            Self::Run => "no, id, deleted_at, artifact_uri",
            // The folder of an experiment is the client's choice, and may hold what is not its own.
            Self::Experiment => "no, CAST(id AS TEXT), CASE deleted WHEN 1 THEN updated_at END, ''",
            Self::Model => "no, id, CASE deleted WHEN 1 THEN updated_at END, artifact_uri",
            Self::Trace => {
                "no, id, requested_at, coalesce((SELECT value FROM trace_tags \
                 WHERE trace = traces.no AND key = 'mlflow.artifactLocation'), '')"
            }
        }
    }

    const fn deleted_at(self) -> &'static str {
        match self {
            Self::Run => "deleted_at",
            Self::Trace => "requested_at",
            Self::Experiment | Self::Model => "CASE deleted WHEN 1 THEN updated_at END",
        }
    }

    /// What puts a thing out of reach of all that is found by namespace, by experiment or by name.
    const fn removal(self) -> &'static str {
        match self {
            Self::Run | Self::Model => "experiment = 0",
            // Clients choose ids of traces, and may choose one again.
            Self::Trace => "experiment = 0, id = id || '~' || CAST(no AS TEXT)",
            Self::Experiment => "id = no, name = CAST(no AS TEXT), deleted = 1",
        }
    }
}

/// The namespace of what is purged in `namespace`: names can't have that letter.
pub(super) fn limbo(namespace: &str) -> String {
    format!("~{namespace}")
}

/// Deleted things, those that were deleted up to `until`.
pub(super) async fn deleted(db: &Db, kind: Kind, namespace: &str, until: i64, most: i64) -> Result<Vec<Thing>> {
    // Through experiments, whose numbers lead to runs and models by an index.
    let within = match kind {
        Kind::Experiment => "namespace = $1",
        Kind::Run | Kind::Model | Kind::Trace => "experiment IN (SELECT no FROM experiments WHERE namespace = $1)",
    };
    let (columns, table, deleted_at) = (kind.columns(), kind.table(), kind.deleted_at());
    let sql = format!("SELECT {columns} FROM {table} WHERE {within} AND {deleted_at} <= $2 ORDER BY no LIMIT $3");
    read(db.fetch(sql, vec![namespace.into(), until.into(), most.into()]).await?)
}

/// Things by their ids.
pub(super) async fn named(db: &Db, kind: Kind, namespace: &str, ids: &[String]) -> Result<Vec<Thing>> {
    let (columns, table, list) = (kind.columns(), kind.table(), db.dialect().texts(2));
    let id = if kind == Kind::Experiment { "CAST(id AS TEXT)" } else { "id" };
    let sql = format!("SELECT {columns} FROM {table} WHERE namespace = $1 AND {id} IN {list} ORDER BY no");
    read(db.fetch(sql, vec![namespace.into(), Arg::list(ids)]).await?)
}

fn read(rows: Vec<Row>) -> Result<Vec<Thing>> {
    rows.iter().map(Thing::read).collect()
}

/// Puts things out of reach that are still deleted; tells the numbers of those.
pub(super) async fn remove(tx: &mut Tx, kind: Kind, namespace: &str, numbers: &[i64]) -> Result<Vec<i64>> {
    let (table, removal, deleted_at, list) = (kind.table(), kind.removal(), kind.deleted_at(), tx.dialect().numbers(3));
    let sql = format!(
        "UPDATE {table} SET namespace = $2, {removal} \
         WHERE namespace = $1 AND {deleted_at} IS NOT NULL AND no IN {list} RETURNING no"
    );
    let rows = tx.fetch(sql, vec![namespace.into(), limbo(namespace).into(), Arg::list(numbers)]).await?;
    rows.iter().map(|row| row.int(0)).collect()
}

/// Puts all experiments of a namespace out of reach.
pub(super) async fn remove_all(tx: &mut Tx, namespace: &str) -> Result<()> {
    let removal = Kind::Experiment.removal();
    let sql = format!("UPDATE experiments SET namespace = $2, {removal} WHERE namespace = $1");
    tx.execute(sql, vec![namespace.into(), limbo(namespace).into()]).await.map(drop)
}

/// Puts some runs or models of experiments out of reach; tells how many.
pub(super) async fn remove_children(tx: &mut Tx, kind: Kind, namespace: &str, experiments: &[i64]) -> Result<u64> {
    let (table, removal, list) = (kind.table(), kind.removal(), tx.dialect().numbers(2));
    let sql = format!(
        "UPDATE {table} SET namespace = $1, {removal} \
         WHERE no IN (SELECT no FROM {table} WHERE experiment IN {list} LIMIT $3)"
    );
    tx.execute(sql, vec![limbo(namespace).into(), Arg::list(experiments), BATCH.into()]).await
}

/// Some things that are out of reach and not cleared away.
pub(super) async fn pending(db: &Db, kind: Kind, namespace: &str, most: i64) -> Result<Vec<Thing>> {
    let (columns, table) = (kind.columns(), kind.table());
    let within = if kind == Kind::Experiment { "" } else { "experiment = 0 AND " };
    let sql = format!("SELECT {columns} FROM {table} WHERE {within}namespace = $1 ORDER BY no LIMIT $2");
    read(db.fetch(sql, vec![limbo(namespace).into(), most.into()]).await?)
}

/// Namespaces in which something is out of reach and not cleared away.
pub(super) async fn unfinished(db: &Db) -> Result<Vec<String>> {
    let sql = "SELECT namespace FROM runs WHERE experiment = 0 UNION SELECT namespace FROM logged_models WHERE experiment = 0 \
               UNION SELECT namespace FROM traces WHERE experiment = 0 \
               UNION SELECT namespace FROM experiments WHERE namespace LIKE '~%'";
    let rows = db.fetch(sql, vec![]).await?;
    rows.iter().map(|row| Ok(row.text(0)?.trim_start_matches('~').to_owned())).collect()
}

/// Deletes all rows of `rows` that belong to `owners`, batch by batch.
pub(super) async fn clear(db: &Db, rows: Rows, owners: Arg, list: &str) -> Result<()> {
    loop {
        let (sql, args) = statement(rows, owners.clone(), list);
        if db.write(move |tx| Box::pin(async move { tx.execute(sql, args).await })).await? < BATCH as u64 {
            return Ok(());
        }
    }
}

fn statement(Rows { table, key, whose }: Rows, owners: Arg, list: &str) -> (String, Vec<Arg>) {
    let whose = whose.replace("{}", list);
    let sql = format!("DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {whose} LIMIT {BATCH})");
    (sql, vec![owners])
}

/// Deletes things themselves, with what has come to belong to them since they were cleared.
pub(super) async fn finish(tx: &mut Tx, kind: Kind, rows: &[Rows], numbers: &[i64]) -> Result<()> {
    let list = tx.dialect().numbers(1);
    for rows in rows {
        let (table, whose) = (rows.table, rows.whose.replace("{}", &list));
        tx.execute(format!("DELETE FROM {table} WHERE {whose}"), vec![Arg::list(numbers)]).await?;
    }
    let table = kind.table();
    tx.execute(format!("DELETE FROM {table} WHERE no IN {list}"), vec![Arg::list(numbers)]).await.map(drop)
}
