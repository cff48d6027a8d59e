//! What carries the window of ready tasks from the scheduler to those who run them.
//!
//! The truth about every task is its row; a transport only carries what was chosen, in the order in which it was chosen, to
//! whoever leases it next, and may forget all of it at any time: [`Transport::recover`] tells what it still carries, and the
//! rest is published anew. It delivers at least once. That a task begins once is the row's business: a delivery names the
//! attempt that it is for, and only one can begin.

mod sql;

use std::sync::Arc;

use futures::future::BoxFuture;
use mcplane_core::{Result, Timestamp};

use crate::tasks::AttemptOf;

pub use sql::SqlTransport;

/// A task that was chosen for a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The task and the attempt that is to begin.
    pub of: AttemptOf,
    /// Where it is to run.
    pub node: Arc<str>,
}

/// A delivery in somebody's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// What to acknowledge it by.
    pub receipt: i64,
    /// What it is.
    pub delivery: Delivery,
}

/// A queue of deliveries. All is done in batches.
pub trait Transport: Send + Sync + std::fmt::Debug {
    /// Adds deliveries at the end. One task is carried once: publishing it again replaces what was carried.
    fn publish(&self, deliveries: Vec<Delivery>) -> BoxFuture<'_, Result<()>>;

    /// The first deliveries for a node that nobody holds; they are `holder`'s until `until`.
    fn lease<'a>(
        &'a self,
        node: &'a str,
        holder: &'a str,
        most: usize,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Leased>>>;

    /// [`Self::publish`], then [`Self::lease`]: for a scheduler whose node is its own.
    fn hand_over<'a>(
        &'a self,
        deliveries: Vec<Delivery>,
        node: &'a str,
        holder: &'a str,
        most: usize,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Leased>>> {
        Box::pin(async move {
            self.publish(deliveries).await?;
            self.lease(node, holder, most, until).await
        })
    }

    /// Forgets deliveries for good.
    fn ack(&self, receipts: Vec<i64>) -> BoxFuture<'_, Result<()>>;

    /// Makes deliveries whose lease ran out available again; tells how many.
    fn redeliver(&self, now: Timestamp) -> BoxFuture<'_, Result<u64>>;

    /// Everything that is carried, held or not.
    fn recover(&self) -> BoxFuture<'_, Result<Vec<Delivery>>>;

    /// Takes back what was published for these tasks and is not acknowledged.
    fn withdraw(&self, tasks: Vec<i64>) -> BoxFuture<'_, Result<()>>;
}
