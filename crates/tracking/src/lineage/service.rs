//! The questions about lineage, and what others report.

use mcplane_core::{Error, Grant, Result};
use mcplane_db::Tx;
use serde_json::Value;

use super::graph::{Direction, Graph};
use super::openlineage::{Report, events_of, own_namespace};
use super::{Node, describe, reported, walk};
use crate::Tracking;

/// Levels that a walk goes if not told.
pub(super) const DEFAULT_DEPTH: u32 = 8;
/// Levels that a walk goes at most.
pub(super) const MOST_DEPTH: u32 = 16;

impl Tracking {
    /// What a node comes from, or what came of it, up to `depth` levels.
    ///
    /// # Errors
    /// [`Error::Missing`] if nothing is known of the node, [`Error::BadRequest`] for too deep a walk.
    pub async fn lineage(&self, grant: &Grant, start: &Node, direction: Direction, depth: u32) -> Result<Graph> {
        if depth > MOST_DEPTH {
            return Err(Error::bad_request(format!("depth must be at most {MOST_DEPTH}")));
        }
        let namespace = grant.namespace()?;
        let mut view = self.db.snapshot().await?;
        let found = walk::walk(&mut view, namespace, start, direction, depth).await?;
        let nodes = describe::describe(&mut view, namespace, &found.nodes).await?;
        if nodes.first().is_none_or(|node| node.facets.is_empty()) {
            return Err(Error::Missing(format!("nothing is known of {start}")));
        }
        Ok(Graph { nodes, edges: found.edges, truncated: found.truncated })
    }

    /// Takes in an OpenLineage event. One that came before changes nothing.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for what is no event.
    pub async fn take_event(&self, grant: &Grant, body: &[u8]) -> Result<()> {
        let report = Report::read(body, &own_namespace(grant.namespace()?))?;
        let grant = grant.clone();
        self.db
            .write(move |tx| {
                Box::pin(async move { take(tx, grant.namespace()?, &grant.context().caller.name, report).await })
            })
            .await
    }

    /// The OpenLineage events of a run so far.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is no such run.
    pub async fn run_events(&self, grant: &Grant, run: &str) -> Result<Vec<Value>> {
        let mut view = self.db.snapshot().await?;
        events_of(&mut view, grant.namespace()?, run).await
    }
}

/// Takes in an OpenLineage event of the server's own in the unit that it tells of. `by` is whoever caused it.
///
/// # Errors
/// [`Error::BadRequest`] for what is no event.
pub async fn record_event(tx: &mut Tx, namespace: &str, by: &str, body: &[u8]) -> Result<()> {
    let report = Report::read(body, &own_namespace(namespace))?;
    take(tx, namespace, by, report).await
}

async fn take(tx: &mut Tx, namespace: &str, by: &str, report: Report) -> Result<()> {
    tx.lock().await?;
    if reported::insert_event(tx, namespace, &report.digest, by).await? {
        reported::record(tx, namespace, report).await?;
    }
    Ok(())
}
