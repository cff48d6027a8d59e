//! A server while another one decides.
//!
//! It begins nothing, but what it began before, as the one that decided or before it was started anew, it sees through: it
//! goes on beating for its machine, so that nobody takes those attempts for lost, ends those that are to end, and writes down
//! how they end. The one that decides learns of that by notes.

use std::collections::HashMap;
use std::sync::Arc;

use mcplane_core::Result;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::adopt::{Adopted, adopt};
use super::engine::{Event, IDLE};
use super::lead::{LEASE, Lead};
use super::runner::{Ended, Reports};
use super::steps;
use crate::scheduler::Scheduler;
use crate::tasks::AttemptOf;
use crate::tasks::store;

/// Waits until the lead is free, and takes it.
pub(super) async fn until_lead(
    scheduler: &Arc<Scheduler>,
    events: &mut mpsc::UnboundedReceiver<Event>,
) -> Result<Lead> {
    if let Some(lead) = Lead::take(&scheduler.db, LEASE, &scheduler.node, &scheduler.identity).await? {
        return Ok(lead);
    }
    tracing::info!("another server schedules; this one answers requests, and takes over when that one is gone");
    let (reports, ends) = Reports::new();
    let mut follower = Follower { scheduler, ends, runners: HashMap::new(), ended: Vec::new() };
    for Adopted { task, runner, end } in adopt(scheduler, &reports).await? {
        let of = AttemptOf::from(&task);
        follower.runners.extend(runner.map(|runner| (of, runner)));
        follower.ended.extend(end.map(|outcome| Ended { of, outcome }));
    }
    loop {
        // What services tell is in the rows, with a note to the one that decides.
        while events.try_recv().is_ok() {}
        follower.look_after().await?;
        if let Some(lead) = Lead::take(&scheduler.db, LEASE, &scheduler.node, &scheduler.identity).await? {
            tracing::info!("this server schedules now");
            return Ok(lead);
        }
        follower.write_down().await?;
    }
}

struct Follower<'f> {
    scheduler: &'f Arc<Scheduler>,
    ends: mpsc::UnboundedReceiver<Ended>,
    /// Attempts of this node, and who runs them.
    runners: HashMap<AttemptOf, usize>,
    ended: Vec<Ended>,
}

impl Follower<'_> {
    /// Beats, and ends what is to end.
    async fn look_after(&self) -> Result<()> {
        crate::nodes::beat(self.scheduler).await?;
        if self.runners.is_empty() {
            return Ok(());
        }
        for of in store::unwanted_on(&self.scheduler.db, &self.scheduler.node).await? {
            if let Some(runner) = self.runners.get(&of) {
                self.scheduler.runners[*runner].stop(of);
            }
        }
        Ok(())
    }

    /// Writes down what ends, until it is time to look after the rest.
    async fn write_down(&mut self) -> Result<()> {
        let until = Instant::now() + IDLE;
        loop {
            if !self.ended.is_empty() {
                let shown =
                    |of: AttemptOf| self.runners.get(&of).is_some_and(|runner| self.scheduler.runners[*runner].shown());
                steps::finish(self.scheduler, &self.ended, shown).await?;
                for Ended { of, .. } in self.ended.drain(..) {
                    if let Some(runner) = self.runners.remove(&of) {
                        self.scheduler.runners[runner].forget(of);
                    }
                }
            }
            match tokio::time::timeout_at(until, self.ends.recv()).await {
                Ok(Some(ended)) => self.ended.push(ended),
                Ok(None) | Err(_) => return Ok(()),
            }
        }
    }
}
