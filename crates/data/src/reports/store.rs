//! The SQL of reports.

use mcplane_core::{Result, Timestamp};
use mcplane_db::{Arg, Db, Row, Tx};

use super::service::StoredReport;

const COLUMNS: &str = "no, id, namespace, contract, outcome, sha256, report, created_by, created_at";

/// Which reports are listed: newest first.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this contract.
    pub contract: Option<String>,
    /// Of a file with this digest.
    pub sha256: Option<String>,
    /// Older than this one.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: i64,
}

fn read(row: &Row) -> Result<StoredReport> {
    let text = |column| row.text(column).map(str::to_owned);
    Ok(StoredReport {
        no: row.int(0)?,
        id: text(1)?,
        namespace: text(2)?,
        contract: text(3)?,
        outcome: text(4)?,
        sha256: text(5)?,
        report: serde_json::from_str(row.text(6)?).map_err(mcplane_core::Error::internal)?,
        created_by: text(7)?,
        created_at: row.int(8)?,
    })
}

/// A report to be stored.
pub(super) struct Insert {
    pub(super) id: String,
    pub(super) namespace: String,
    pub(super) contract: String,
    pub(super) outcome: &'static str,
    pub(super) sha256: String,
    pub(super) report: String,
    pub(super) by: String,
}

pub(super) async fn insert(tx: &mut Tx, new: &Insert) -> Result<Timestamp> {
    let now = tx.now();
    let sql = "INSERT INTO contract_reports (id, namespace, contract, outcome, sha256, report, created_by, created_at, told) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)";
    let texts = [&*new.id, &new.namespace, &new.contract, new.outcome, &new.sha256, &new.report, &new.by];
    let mut args: Vec<Arg> = texts.map(Arg::from).into();
    args.push(now.into());
    tx.execute(sql, args).await?;
    Ok(now)
}

pub(super) async fn list(db: &Db, namespace: &str, filter: &Filter) -> Result<Vec<StoredReport>> {
    let mut sql = format!("SELECT {COLUMNS} FROM contract_reports WHERE namespace = $1");
    let mut args: Vec<Arg> = vec![namespace.into()];
    for (column, value) in [("contract", &filter.contract), ("sha256", &filter.sha256)] {
        if let Some(value) = value {
            args.push(value.as_str().into());
            sql += &format!(" AND {column} = ${}", args.len());
        }
    }
    if let Some(before) = filter.before {
        args.push(before.into());
        sql += &format!(" AND no < ${}", args.len());
    }
    args.push(filter.limit.into());
    sql += &format!(" ORDER BY no DESC LIMIT ${}", args.len());
    db.fetch(sql, args).await?.iter().map(read).collect()
}

pub(super) async fn get(db: &Db, namespace: &str, id: &str) -> Result<Option<StoredReport>> {
    let sql = format!("SELECT {COLUMNS} FROM contract_reports WHERE namespace = $1 AND id = $2");
    db.fetch(sql, vec![namespace.into(), id.into()]).await?.first().map(read).transpose()
}

/// Reports that were not told of yet, oldest first.
pub(super) async fn untold(db: &Db, most: i64) -> Result<Vec<StoredReport>> {
    let sql = format!("SELECT {COLUMNS} FROM contract_reports WHERE told = 0 ORDER BY no LIMIT $1");
    db.fetch(sql, vec![most.into()]).await?.iter().map(read).collect()
}

pub(super) async fn mark_told(db: &Db, no: i64) -> Result<()> {
    let sql = "UPDATE contract_reports SET told = 1 WHERE no = $1";
    db.write(move |tx| Box::pin(async move { tx.execute(sql, vec![no.into()]).await.map(drop) })).await
}
