//! Following one resource's changes.
//!
//! A subscription knows only the revision that it has reached. While its topic holds what comes after, it reads memory;
//! otherwise it reads the table until it is back inside the topic.

use std::sync::Arc;

use mcplane_core::{Error, Result};
use tokio::sync::watch;

use crate::feed::{Change, Revision, Topic};
use crate::open::Db;
use crate::sql::Arg;

/// Changes that one read of the table brings at most, and the bytes after which it brings no more.
const PAGE: usize = 500;
const PAGE_BYTES: usize = 4 << 20;

/// A reader of one resource's changes.
#[derive(Debug)]
pub struct Subscription {
    db: Db,
    resource: Arc<str>,
    topic: Arc<Topic>,
    newest: watch::Receiver<Revision>,
    reached: Revision,
}

impl Db {
    /// All changes of `resource` after `after`, those to come included. A revision that a [`crate::Snapshot`] or a write
    /// gave is never in the future, even if its changes are not published yet.
    ///
    /// # Errors
    /// [`Error::Expired`] when compaction took some of them away, [`Error::Timeout`] when `after` lies in the future.
    pub fn subscribe(&self, resource: &str, after: Revision) -> Result<Subscription> {
        let feed = self.feed();
        let topic = feed.topic(resource);
        let newest = topic.listen();
        if after < feed.compacted() {
            return Err(expired(after, feed.compacted()));
        }
        if after > feed.promised() {
            return Err(Error::Timeout(format!("Too large resource version: {after}, current: {}", feed.revision())));
        }
        Ok(Subscription { db: self.clone(), resource: resource.into(), topic, newest, reached: after })
    }
}

pub(crate) fn expired(wanted: Revision, compacted: Revision) -> Error {
    Error::Expired(format!("too old resource version: {wanted} ({compacted})"))
}

impl Subscription {
    /// Every change up to here has been returned.
    pub fn reached(&self) -> Revision {
        self.reached
    }

    /// The next changes in order: at least one, unless the subscription is up to date, when it waits. Safe to drop and
    /// call again.
    ///
    /// # Errors
    /// [`Error::Expired`] when the reader was so slow that compaction overtook it, [`Error::Unavailable`] when the
    /// database is closed, or can't be read just now.
    pub async fn next(&mut self) -> Result<Vec<Arc<Change>>> {
        loop {
            self.newest.mark_unchanged();
            let batch = self.ready().await?;
            if !batch.is_empty() {
                return Ok(batch);
            }
            // The topic outlives its listeners; it is the feed that tells that nothing will come.
            if self.db.feed().is_closed() || self.newest.changed().await.is_err() {
                return Err(Error::Unavailable { message: "the server is stopping".to_owned(), source: None });
            }
        }
    }

    /// What can be had without waiting for a new change; empty when up to date.
    pub async fn ready(&mut self) -> Result<Vec<Arc<Change>>> {
        loop {
            // Read before the ring: whatever is published up to here is in the ring by now.
            let published = self.db.feed().revision();
            if let Some(batch) = self.topic.after(self.reached) {
                let newest = batch.last().map_or(self.reached, |change| change.revision);
                self.reached = newest.max(published);
                return Ok(batch);
            }
            let page = self.page_from_table().await?;
            if !page.is_empty() {
                return Ok(page);
            }
        }
    }

    async fn page_from_table(&mut self) -> Result<Vec<Arc<Change>>> {
        let mut snapshot = self.db.snapshot().await?;
        let (revision, compacted) = snapshot.revisions().await?;
        if self.reached < compacted {
            return Err(expired(self.reached, compacted));
        }
        let sql = format!(
            "SELECT {} FROM changes WHERE resource = $1 AND revision > $2 ORDER BY revision LIMIT {PAGE}",
            Change::COLUMNS
        );
        let args = vec![Arg::from(Arc::clone(&self.resource)), Arg::from(self.reached)];
        let page = snapshot.fetch_until(sql, args, Change::from_row, Change::weight, PAGE_BYTES).await?;
        let weight: usize = page.iter().map(Change::weight).sum();
        self.reached = match page.last() {
            // Perhaps there is more.
            Some(last) if page.len() == PAGE || weight >= PAGE_BYTES => last.revision,
            _ => revision,
        };
        Ok(page.into_iter().map(Arc::new).collect())
    }
}
