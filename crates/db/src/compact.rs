//! Forgetting old changes, so that the feed stays bounded.

use std::time::Duration;

use mcplane_core::Result;

use crate::feed::Revision;
use crate::open::Db;
use crate::sql::Arg;

/// Rows that one transaction removes: small enough that writers hardly wait.
const CHUNK: i64 = 2000;

/// Forgets changes older than `keep`.
#[derive(Debug, Clone)]
pub struct Compactor {
    db: Db,
    keep: Duration,
}

impl Compactor {
    /// A compactor that keeps changes for `keep`.
    pub fn new(db: Db, keep: Duration) -> Self {
        Self { db, keep }
    }

    /// Removes what is too old now; returns the newest revision that is gone.
    pub async fn run_once(&self) -> Result<Revision> {
        let keep = i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX);
        let now = self.db.clock().now();
        // Reads no further than what is to go, so that the feed needs no index by time. A change that the clock, since
        // corrected, had put far into the future does not keep everything before it.
        let sql = "SELECT revision FROM changes WHERE at >= $1 AND at <= $2 ORDER BY revision LIMIT 1";
        let args = vec![Arg::from(now.saturating_sub(keep)), Arg::from(now.saturating_add(keep))];
        let rows = self.db.fetch(sql, args).await?;
        let oldest_kept = rows.first().map_or(Ok(Revision::MAX), |row| row.int(0))?;
        self.db.compact_to(oldest_kept.saturating_sub(1)).await
    }

    /// Runs for ever, once `every` so often.
    pub async fn run(self, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            if let Err(error) = self.run_once().await {
                tracing::warn!(%error, "compaction failed; it will be tried again");
            }
        }
    }
}

impl Db {
    /// Removes every change up to `target`, or up to the newest if that is older; watches from before it are told that it
    /// expired.
    pub async fn compact_to(&self, target: Revision) -> Result<Revision> {
        let feed = self.feed();
        let target = target.min(feed.revision());
        if target > feed.compacted() {
            // First the promise, then the rows: a reader that sees the old promise still finds all rows in its snapshot.
            self.write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    tx.execute("UPDATE head SET compacted = $1 WHERE compacted < $1", vec![Arg::from(target)]).await
                })
            })
            .await?;
            feed.note_compacted(target);
        }
        // Rows may be left of an earlier promise whose removal was interrupted.
        let target = feed.compacted();
        let rows =
            self.fetch("SELECT MIN(revision) FROM changes HAVING MIN(revision) <= $1", vec![Arg::from(target)]).await?;
        let Some(mut oldest) = rows.first().map(|row| row.int(0)).transpose()? else { return Ok(target) };
        while oldest <= target {
            let end = target.min(oldest + CHUNK - 1);
            self.write(move |tx| {
                Box::pin(
                    async move { tx.execute("DELETE FROM changes WHERE revision <= $1", vec![Arg::from(end)]).await },
                )
            })
            .await?;
            oldest = end + 1;
        }
        Ok(target)
    }
}
