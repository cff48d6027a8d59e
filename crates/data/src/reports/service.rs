//! The rules of reports.

use futures::future::BoxFuture;
use mcplane_core::{Error, Grant, Result, Timestamp};
use mcplane_objects::audit;
use serde::Deserialize;

use super::store::{self, Filter, Insert};
use crate::contracts::Report;
use crate::data::Data;
use crate::scope::namespace;

/// Reports of a page.
pub(crate) const MOST_LISTED: i64 = 1000;
/// Bytes of a report.
pub(crate) const LARGEST: usize = 1 << 20;
/// Characters of a digest.
const DIGEST: usize = 64;

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

/// Who wants to know that a file with a digest was checked: lineage, which is another crate's.
pub trait Observed: Send + Sync + std::fmt::Debug {
    /// Is told of every report of a file that could be read, once at least.
    fn observed<'a>(&'a self, report: &'a StoredReport) -> BoxFuture<'a, Result<()>>;
}

impl Data {
    /// Keeps a report of a contract that is there.
    ///
    /// # Errors
    /// `NotFound` for the contract, `BadRequest` for a report that can't be.
    pub async fn report(&self, grant: &Grant, new: NewReport) -> Result<StoredReport> {
        let namespace = namespace(grant)?.to_owned();
        let NewReport { contract, mut report } = new;
        self.contract(grant, &namespace, &contract).await?;
        // What it comes to follows from what it says.
        report.outcome = report.judged();
        let digest = &report.sha256;
        let hex = digest.len() == DIGEST && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !(hex || digest.is_empty() && report.fault.is_some()) {
            return Err(Error::bad_request("report.sha256: must be 64 hexadecimal digits in lower case"));
        }
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
        let (id, name) = (insert.id.clone(), contract.clone());
        let detail = format!("{}: {}", report.outcome.name(), report.sha256);
        let entry = audit::entry(grant, "create", &name, "allowed", 201, &detail);
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.audit(entry);
                    store::insert(tx, insert).await
                })
            })
            .await?;
        let stored = self.stored(&namespace, &id).await?;
        // Whatever fails here is tried again in the background.
        if let Err(error) = self.tell(&stored).await {
            tracing::warn!(%error, contract, "what a report says could not be shown yet");
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
        store::list(&self.db, namespace(grant)?, filter).await
    }

    /// One report.
    ///
    /// # Errors
    /// `Missing`.
    pub async fn one_report(&self, grant: &Grant, id: &str) -> Result<StoredReport> {
        self.stored(namespace(grant)?, id).await
    }
}
