//! What follows from reports: the status of contracts, and events.

use std::sync::Arc;
use std::time::Duration;

use mcplane_core::{Context, Error, Result, authz, clock};
use mcplane_objects::service::{Patch, WriteOptions};
use serde_json::{Value, json};

use super::service::StoredReport;
use super::store::{self, Filter};
use crate::contracts::Outcome;
use crate::data::{COMPONENT, Data};
use crate::scope::{OBJECT_GROUP, VERSION};

/// How often what could not be told is looked for.
const RETRY: Duration = Duration::from_secs(30);
/// Reports that are looked at at a time.
const BATCH: i64 = 100;

impl Data {
    /// Tells of what was not told of yet, now and then, until it is dropped.
    pub async fn run(self: Arc<Self>) {
        loop {
            if let Err(error) = self.tell_rest().await {
                tracing::warn!(%error, "what reports say could not be shown; it will be tried again");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn tell_rest(&self) -> Result<()> {
        loop {
            let reports = store::untold(&self.db, BATCH).await?;
            for report in &reports {
                self.tell(report).await?;
            }
            if reports.is_empty() {
                return Ok(());
            }
        }
    }

    /// Shows what a report says, and notes that it was told of. Once more does no harm.
    pub(super) async fn tell(&self, report: &StoredReport) -> Result<()> {
        match self.show(report).await {
            // The contract is gone: there is nobody to tell.
            Ok(()) | Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        store::mark_told(&self.db, report.no).await
    }

    async fn show(&self, report: &StoredReport) -> Result<()> {
        let of_contract = Filter { contract: Some(report.contract.clone()), limit: 1, ..Filter::default() };
        let newest = store::list(&self.db, &report.namespace, &of_contract).await?;
        let newest = newest.first().unwrap_or(report);
        let (namespace, name) = (newest.namespace.as_str(), newest.contract.as_str());
        let contract = self.object("datacontracts", namespace, name).await?;
        let patch = json!({"status": status(newest, &contract)});
        let context = Arc::new(Context::system(COMPONENT));
        let attributes = mcplane_core::Attributes::resource("patch", OBJECT_GROUP, "datacontracts", namespace, name);
        let grant = authz::authorize(&*self.authorizer, &context, attributes.with_subresource("status"))?;
        self.objects.patch(&grant, VERSION, &Patch::Merge(patch), &[], &WriteOptions::default()).await?;
        if report.report.outcome == Outcome::Failed {
            let message = report.report.summary();
            self.warning(("DataContract", &contract), &report.id, "ContractBroken", &message, report.created_at)
                .await?;
        }
        Ok(())
    }
}

/// The status of `contract` after `report`.
fn status(report: &StoredReport, contract: &Value) -> Value {
    let passing = report.report.outcome != Outcome::Failed;
    let status = if passing { "True" } else { "False" };
    let at = clock::rfc3339(report.created_at);
    let before = contract["status"]["conditions"].as_array().and_then(|all| all.first());
    let since =
        before.filter(|before| before["status"] == status).and_then(|before| before["lastTransitionTime"].as_str());
    let mut condition = json!({
        "type": "Passing", "status": status, "reason": report.outcome, "message": report.report.summary(),
        "lastTransitionTime": since.unwrap_or(&at),
    });
    if let Some(generation) = report.report.generation {
        condition["observedGeneration"] = generation.into();
    }
    json!({
        "lastReport": {
            "id": report.id, "outcome": report.outcome, "file": report.report.file, "sha256": report.sha256,
            "rows": report.report.rows, "violations": report.report.violations.len(), "by": report.created_by, "at": at,
        },
        "conditions": [condition],
    })
}
