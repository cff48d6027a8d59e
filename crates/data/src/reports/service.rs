//! The rules of reports.

use std::path::Path;

use futures::future::BoxFuture;
use mcplane_core::{Error, Grant, Result, Timestamp};
use mcplane_db::Tx;
use mcplane_objects::audit;
use serde::Deserialize;
use serde_json::Value;

use super::event;
use super::store::{self, Filter, Insert};
use crate::contracts::Report;
use crate::data::Data;

/// Reports of a page.
pub(crate) const MOST_LISTED: i64 = 1000;
/// Bytes of a report.
pub(crate) const LARGEST: usize = 1 << 20;
/// Characters of a digest.
const DIGEST: usize = 64;
/// Bytes of a file's name and path, as lineage takes them.
const LONGEST_PATH: usize = 900;

/// A report of a contract, as clients send it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewReport {
    /// The contract's name.
    pub contract: String,
    /// What the check came to.
    pub report: Report,
}

/// A report that is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredReport {
    /// Its place among all.
    pub no: i64,
    /// Its id.
    pub id: String,
    /// Where it is.
    pub namespace: String,
    /// The contract's name.
    pub contract: String,
    /// `Passed`, `Warned` or `Failed`.
    pub outcome: String,
    /// Digest of the file; empty if it could not be read to its end.
    pub sha256: String,
    /// What the check came to.
    pub report: Report,
    /// Who reported.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
}

/// Who keeps what was made from what: another crate.
pub trait Lineage: Send + Sync + std::fmt::Debug {
    /// Takes in an OpenLineage event in the unit that it tells of. `by` is whoever caused it.
    fn record<'a>(
        &'a self,
        tx: &'a mut Tx,
        namespace: &'a str,
        by: &'a str,
        event: &'a Value,
    ) -> BoxFuture<'a, Result<()>>;
}

impl Data {
    /// Keeps a report of a contract that is there.
    ///
    /// # Errors
    /// `NotFound` for the contract, `BadRequest` for a report that can't be.
    pub async fn report(&self, grant: &Grant, new: NewReport) -> Result<StoredReport> {
        let namespace = grant.namespace()?.to_owned();
        let NewReport { contract, mut report } = new;
        self.contract(grant, &namespace, &contract).await?;
        // What it comes to follows from what it says.
        report.outcome = report.judged();
        let digest = &report.sha256;
        let hex = digest.len() == DIGEST && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !(hex || digest.is_empty() && report.fault.is_some()) {
            return Err(Error::bad_request("report.sha256: must be 64 hexadecimal digits in lower case"));
        }
        check_place(&report)?;
        let text = serde_json::to_string(&report).map_err(Error::internal)?;
        if text.contains("\\u0000") {
            return Err(Error::bad_request("report: text may not contain the character NUL"));
        }
        let insert = Insert {
            id: uuid::Uuid::new_v4().to_string(),
            namespace: namespace.clone(),
            contract: contract.clone(),
            outcome: report.outcome.name(),
            sha256: report.sha256.clone(),
            report: text,
            by: grant.context().caller.name.clone(),
        };
        let id = insert.id.clone();
        let detail = format!("{}: {}", report.outcome.name(), report.sha256);
        let entry = audit::entry(grant, "create", &contract, "allowed", 201, &detail);
        let lineage = self.lineage.clone();
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.audit(entry);
                    let at = store::insert(tx, &insert).await?;
                    let Insert { id, namespace, contract, by, .. } = &insert;
                    match event::event(namespace, contract, id, &report, at) {
                        Some(event) => lineage.record(tx, namespace, by, &event).await,
                        None => Ok(()),
                    }
                })
            })
            .await?;
        let stored = self.stored(&namespace, &id).await?;
        // Whatever fails here is tried again in the background.
        if let Err(error) = self.tell(&stored).await {
            tracing::warn!(%error, contract = stored.contract, "what a report says could not be shown yet");
        }
        Ok(stored)
    }

    async fn stored(&self, namespace: &str, id: &str) -> Result<StoredReport> {
        store::get(&self.db, namespace, id).await?.ok_or_else(|| Error::Missing(format!("report {id:?} not found")))
    }

    /// Reports of the grant's namespace.
    pub async fn reports(&self, grant: &Grant, filter: &Filter) -> Result<Vec<StoredReport>> {
        if !(1..=MOST_LISTED).contains(&filter.limit) {
            return Err(Error::bad_request(format!("limit: must be from 1 to {MOST_LISTED}")));
        }
        store::list(&self.db, grant.namespace()?, filter).await
    }

    /// One report.
    ///
    /// # Errors
    /// `Missing`.
    pub async fn one_report(&self, grant: &Grant, id: &str) -> Result<StoredReport> {
        self.stored(grant.namespace()?, id).await
    }
}

/// What the file is called must be fit for lineage.
fn check_place(report: &Report) -> Result<()> {
    // Lineage writes some characters as three.
    let fits = |text: &str| {
        let escaped = text.bytes().filter(|byte| matches!(byte, b'@' | b'%')).count() * 2;
        !text.is_empty() && text.len() + escaped <= LONGEST_PATH
    };
    if !fits(&report.file) {
        return Err(Error::bad_request(format!("report.file: must have 1 to {LONGEST_PATH} bytes")));
    }
    if report.path.as_deref().is_some_and(|path| !fits(path) || !Path::new(path).is_absolute()) {
        return Err(Error::bad_request(format!(
            "report.path: must be a path from the root, of at most {LONGEST_PATH} bytes"
        )));
    }
    Ok(())
}
