//! What checks of data tell lineage.

use futures::future::BoxFuture;
use mcplane_core::Result;
use mcplane_data::reports;
use mcplane_db::Tx;
use mcplane_tracking::lineage;
use serde_json::Value;

/// Lineage, in the tables of tracking.
#[derive(Debug)]
pub(crate) struct Lineage;

impl reports::Lineage for Lineage {
    fn record<'a>(
        &'a self,
        tx: &'a mut Tx,
        namespace: &'a str,
        by: &'a str,
        event: &'a Value,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { lineage::record_event(tx, namespace, by, event.to_string().as_bytes()).await })
    }
}
