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
        let oldest = self.db.clock().now().saturating_sub(i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX));
        let sql = "SELECT COALESCE(MAX(revision), 0) FROM changes WHERE at < $1";
        let rows = self.db.fetch(sql, vec![Arg::from(oldest)]).await?;
        let target = rows.first().map_or(Ok(0), |row| row.int(0))?;
        self.db.compact_to(target).await
    }

    /// Runs for ever, at a tenth of the retention but at least each minute.
    pub async fn run(self) {
        let period = (self.keep / 10).clamp(Duration::from_secs(1), Duration::from_secs(60));
        loop {
            tokio::time::sleep(period).await;
            if let Err(error) = self.run_once().await {
                tracing::warn!(%error, "compaction failed; it will be tried again");
            }
        }
    }
}

impl Db {
    /// Removes every change up to `target`; watches from before it are told that it expired.
    pub async fn compact_to(&self, target: Revision) -> Result<Revision> {
        let feed = self.feed();
        if target <= feed.compacted() {
            return Ok(feed.compacted());
        }
        // First the promise, then the rows: a reader that sees the old promise still finds all rows in its snapshot.
        self.write(move |tx| {
            Box::pin(async move {
                tx.lock().await?;
                tx.execute("UPDATE head SET compacted = $1 WHERE compacted < $1", vec![Arg::from(target)]).await
            })
        })
        .await?;
        feed.note_compacted(target);
        loop {
            let removed = self
                .write(move |tx| {
                    Box::pin(async move {
                        let sql = "DELETE FROM changes WHERE revision IN \
                                   (SELECT revision FROM changes WHERE revision <= $1 ORDER BY revision LIMIT $2)";
                        tx.execute(sql, vec![Arg::from(target), Arg::from(CHUNK)]).await
                    })
                })
                .await?;
            if removed < CHUNK as u64 {
                return Ok(target);
            }
        }
    }
}
