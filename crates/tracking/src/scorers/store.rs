//! The tables of scorers.

use mcplane_core::Result;
use mcplane_db::{Arg, Db, Row, Tx};

use super::ScorerVersion;
use crate::experiments::ExperimentId;

const COLUMNS: &str = "e.id, s.id, s.name, v.version, v.content, v.created_at";
const FROM: &str =
    "scorer_versions v JOIN scorers s ON s.no = v.scorer JOIN experiments e ON e.no = s.experiment AND e.deleted = 0";

fn read(row: &Row) -> Result<ScorerVersion> {
    Ok(ScorerVersion {
        experiment: ExperimentId(row.int(0)?),
        id: row.text(1)?.to_owned(),
        name: row.text(2)?.to_owned(),
        version: row.int(3)?,
        content: row.text(4)?.to_owned(),
        created_at: row.int(5)?,
    })
}

/// The latest versions of all scorers, or of those of some experiments.
pub(super) async fn latest(
    db: &Db,
    namespace: &str,
    experiments: Option<&[ExperimentId]>,
) -> Result<Vec<ScorerVersion>> {
    let mut args = vec![Arg::from(namespace)];
    let among = match experiments {
        None => String::new(),
        Some(experiments) => {
            args.push(Arg::list(&experiments.iter().map(|id| id.0).collect::<Vec<_>>()));
            format!("AND e.id IN {}", db.dialect().numbers(2))
        }
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM {FROM} WHERE e.namespace = $1 {among} \
         AND v.version = (SELECT max(version) FROM scorer_versions WHERE scorer = s.no) ORDER BY e.id, s.name"
    );
    db.fetch(sql, args).await?.iter().map(read).collect()
}

/// All versions of a scorer, the first first.
pub(super) async fn versions(
    db: &Db,
    namespace: &str,
    experiment: ExperimentId,
    name: &str,
) -> Result<Vec<ScorerVersion>> {
    let sql =
        format!("SELECT {COLUMNS} FROM {FROM} WHERE e.namespace = $1 AND e.id = $2 AND s.name = $3 ORDER BY v.version");
    let args = vec![namespace.into(), experiment.0.into(), name.into()];
    db.fetch(sql, args).await?.iter().map(read).collect()
}

/// Number and id of a scorer.
pub(super) async fn find(tx: &mut Tx, experiment: i64, name: &str) -> Result<Option<(i64, String)>> {
    let sql = "SELECT no, id FROM scorers WHERE experiment = $1 AND name = $2";
    let rows = tx.fetch(sql, vec![experiment.into(), name.into()]).await?;
    rows.first().map(|row| Ok((row.int(0)?, row.text(1)?.to_owned()))).transpose()
}

/// Adds a scorer without versions.
pub(super) async fn insert(tx: &mut Tx, namespace: &str, experiment: i64, id: &str, name: &str) -> Result<()> {
    let sql = "INSERT INTO scorers (namespace, experiment, id, name) VALUES ($1, $2, $3, $4)";
    tx.execute(sql, vec![namespace.into(), experiment.into(), id.into(), name.into()]).await.map(drop)
}

/// The highest version of a scorer.
pub(super) async fn highest(tx: &mut Tx, scorer: i64) -> Result<Option<i64>> {
    let rows = tx.fetch("SELECT max(version) FROM scorer_versions WHERE scorer = $1", vec![scorer.into()]).await?;
    rows.first().map_or(Ok(None), |row| row.optional_int(0))
}

/// Adds a version.
pub(super) async fn add(tx: &mut Tx, scorer: i64, version: i64, content: &str, now: i64) -> Result<()> {
    let sql = "INSERT INTO scorer_versions (scorer, version, content, created_at) VALUES ($1, $2, $3, $4)";
    tx.execute(sql, vec![scorer.into(), version.into(), content.into(), now.into()]).await.map(drop)
}

/// Deletes a version, or all; tells how many.
pub(super) async fn remove(tx: &mut Tx, scorer: i64, version: Option<i64>) -> Result<u64> {
    let (sql, args): (_, Vec<Arg>) = match version {
        Some(version) => {
            ("DELETE FROM scorer_versions WHERE scorer = $1 AND version = $2", vec![scorer.into(), version.into()])
        }
        None => ("DELETE FROM scorer_versions WHERE scorer = $1", vec![scorer.into()]),
    };
    tx.execute(sql, args).await
}

/// Deletes a scorer that has no versions.
pub(super) async fn forget(tx: &mut Tx, scorer: i64) -> Result<()> {
    tx.execute("DELETE FROM scorers WHERE no = $1", vec![scorer.into()]).await.map(drop)
}
