//! The SQL of revisions.

use futures::future::BoxFuture;
use mcplane_core::{Error, Result};
use mcplane_db::{Db, Row, Tx};
use mcplane_objects::controllers::Content;

use super::types::Revision;

const COLUMNS: &str =
    "no, namespace, service, uid, number, wanted, model, version, semantic, digest, created_at, ready_at";

fn number(row: &Row, column: usize) -> Result<u64> {
    u64::try_from(row.int(column)?).map_err(Error::internal)
}

fn read(row: &Row) -> Result<Revision> {
    let text = |column| row.text(column).map(str::to_owned);
    Ok(Revision {
        no: number(row, 0)?,
        namespace: text(1)?,
        service: text(2)?,
        uid: text(3)?,
        number: number(row, 4)?,
        wanted: text(5)?,
        model: text(6)?,
        version: row.int(7)?,
        semantic: text(8)?,
        digest: text(9)?,
        created_at: row.int(10)?,
        ready_at: row.optional_int(11)?,
    })
}

/// Adds a revision unless the newest is for the same already; gives the newest. Numbers follow each other.
pub(super) async fn add(tx: &mut Tx, new: Revision) -> Result<Revision> {
    tx.lock().await?;
    let newest = format!("SELECT {COLUMNS} FROM serving_revisions WHERE uid = $1 ORDER BY number DESC LIMIT 1");
    let known = tx.fetch(newest, vec![new.uid.as_str().into()]).await?.first().map(read).transpose()?;
    let number = match known {
        Some(known) if known.wanted == new.wanted => return Ok(known),
        Some(known) => known.number + 1,
        None => 1,
    };
    let sql = "INSERT INTO serving_revisions (namespace, service, uid, number, wanted, model, version, semantic, digest, \
               created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING no";
    let now = tx.now();
    let args = vec![
        new.namespace.as_str().into(),
        new.service.as_str().into(),
        new.uid.as_str().into(),
        i64::try_from(number).map_err(Error::internal)?.into(),
        new.wanted.as_str().into(),
        new.model.as_str().into(),
        new.version.into(),
        new.semantic.as_str().into(),
        new.digest.as_str().into(),
        now.into(),
    ];
    let rows = tx.fetch(sql, args).await?;
    let row = rows.first().ok_or_else(|| Error::internal("a revision without a number"))?;
    Ok(Revision { no: self::number(row, 0)?, number, created_at: now, ready_at: None, ..new })
}

/// Notes that a revision answers.
pub(super) async fn ready(tx: &mut Tx, no: u64) -> Result<()> {
    let no = i64::try_from(no).map_err(Error::internal)?;
    let now = tx.now();
    let sql = "UPDATE serving_revisions SET ready_at = $2 WHERE no = $1 AND ready_at IS NULL";
    tx.execute(sql, vec![no.into(), now.into()]).await.map(drop)
}

/// What was served, for those who ask of the past.
#[derive(Debug, Clone)]
pub struct Revisions(Db);

impl Revisions {
    /// The revisions of a database.
    pub fn new(db: &Db) -> Self {
        Self(db.clone())
    }

    /// Those of one service that is there now, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn of(&self, uid: &str) -> Result<Vec<Revision>> {
        let sql = format!("SELECT {COLUMNS} FROM serving_revisions WHERE uid = $1 ORDER BY number");
        self.0.fetch(sql, vec![uid.into()]).await?.iter().map(read).collect()
    }

    /// The one that an identifier of a prediction holds, also of a service that is gone.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn by_no(&self, no: u64) -> Result<Option<Revision>> {
        let Ok(no) = i64::try_from(no) else { return Ok(None) };
        let sql = format!("SELECT {COLUMNS} FROM serving_revisions WHERE no = $1");
        self.0.fetch(sql, vec![no.into()]).await?.first().map(read).transpose()
    }
}

/// Revisions go with their namespace, and not before: identifiers of predictions are read with them.
impl Content for Revisions {
    fn empty<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, Result<Option<String>>> {
        let namespace = namespace.to_owned();
        Box::pin(self.0.write(move |tx| {
            Box::pin(async move {
                let sql = "DELETE FROM serving_revisions WHERE namespace = $1";
                tx.execute(sql, vec![namespace.as_str().into()]).await.map(|_| None)
            })
        }))
    }
}
