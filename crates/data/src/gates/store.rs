//! The SQL of decisions.

use mcplane_core::{Error, Result};
use mcplane_db::{Arg, Db, Row, Tx};
use serde::de::DeserializeOwned;

use super::decide::Verdict;
use super::service::{Decision, Override};

const COLUMNS: &str = "no, id, namespace, gate, model, version, verdict, policy, evaluation, reasons, created_by, created_at, \
                       overridden_by, overridden_at, override_reason";

/// Which decisions are listed: newest first.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// On this model.
    pub model: Option<String>,
    /// On this version.
    pub version: Option<String>,
    /// Of this gate.
    pub gate: Option<String>,
    /// Older than this one.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: i64,
}

fn json<T: DeserializeOwned>(row: &Row, column: usize) -> Result<T> {
    serde_json::from_str(row.text(column)?).map_err(Error::internal)
}

fn read(row: &Row) -> Result<Decision> {
    let text = |column| row.text(column).map(str::to_owned);
    let overridden = match (row.optional_text(12)?, row.optional_int(13)?, row.optional_text(14)?) {
        (Some(by), Some(at), Some(reason)) => Some(Override { by: by.to_owned(), at, reason: reason.to_owned() }),
        _ => None,
    };
    let verdict = match row.text(6)? {
        "Pass" => Verdict::Pass,
        "Refuse" => Verdict::Refuse,
        _ => Verdict::Inconclusive,
    };
    Ok(Decision {
        no: row.int(0)?,
        id: text(1)?,
        namespace: text(2)?,
        gate: text(3)?,
        model: text(4)?,
        version: text(5)?,
        verdict,
        policy: json(row, 7)?,
        evaluation: json(row, 8)?,
        reasons: json(row, 9)?,
        created_by: text(10)?,
        created_at: row.int(11)?,
        overridden,
    })
}

pub(super) async fn insert(tx: &mut Tx, new: &Decision) -> Result<()> {
    let json = |value: Result<String, serde_json::Error>| value.map_err(Error::internal);
    let policy = json(serde_json::to_string(&new.policy))?;
    let evaluation = json(serde_json::to_string(&new.evaluation))?;
    let reasons = json(serde_json::to_string(&new.reasons))?;
    let texts = [
        new.id.as_str(),
        &new.namespace,
        &new.gate,
        &new.model,
        &new.version,
        new.verdict.name(),
        &new.evaluation.sha256,
        &policy,
        &evaluation,
        &reasons,
        &new.created_by,
    ];
    let mut args: Vec<Arg> = texts.iter().map(|text| Arg::from(*text)).collect();
    args.push(tx.now().into());
    let sql = "INSERT INTO gate_decisions (id, namespace, gate, model, version, verdict, sha256, policy, evaluation, reasons, \
               created_by, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    tx.execute(sql, args).await.map(drop)
}

/// Lets a version on that was not passed; tells whether there was such a decision that nobody had overridden yet.
pub(super) async fn let_on(tx: &mut Tx, namespace: &str, id: &str, by: &str, reason: &str) -> Result<bool> {
    let sql = "UPDATE gate_decisions SET overridden_by = $3, overridden_at = $4, override_reason = $5 \
               WHERE namespace = $1 AND id = $2 AND verdict <> 'Pass' AND overridden_by IS NULL";
    let args = vec![namespace.into(), id.into(), by.into(), tx.now().into(), reason.into()];
    Ok(tx.execute(sql, args).await? == 1)
}

pub(super) async fn list(db: &Db, namespace: &str, filter: &Filter) -> Result<Vec<Decision>> {
    let mut sql = format!("SELECT {COLUMNS} FROM gate_decisions WHERE namespace = $1");
    let mut args: Vec<Arg> = vec![namespace.into()];
    for (column, value) in [("model", &filter.model), ("version", &filter.version), ("gate", &filter.gate)] {
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

/// The newest decision of each gate on a version.
pub(super) async fn newest(db: &Db, namespace: &str, model: &str, version: &str) -> Result<Vec<Decision>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM gate_decisions WHERE no IN (SELECT max(no) FROM gate_decisions \
         WHERE namespace = $1 AND model = $2 AND version = $3 GROUP BY gate) ORDER BY gate"
    );
    db.fetch(sql, vec![namespace.into(), model.into(), version.into()]).await?.iter().map(read).collect()
}

pub(super) async fn get(db: &Db, namespace: &str, id: &str) -> Result<Option<Decision>> {
    let sql = format!("SELECT {COLUMNS} FROM gate_decisions WHERE namespace = $1 AND id = $2");
    db.fetch(sql, vec![namespace.into(), id.into()]).await?.first().map(read).transpose()
}
