//! Who decides: one engine a database, by a lease with an epoch. The lease is the one row of a table with the columns
//! `holder`, `epoch` and `until`.

use mcplane_core::{Error, Result};
use mcplane_db::{Db, Tx};

/// The table of the scheduler's own.
pub(crate) const LEASE: &str = "scheduler";
/// How long a lease lasts, in milliseconds.
pub(crate) const LEASE_MS: i64 = 10_000;
/// How often it is renewed, in milliseconds.
pub const RENEW_MS: i64 = 2_000;

/// A lease on deciding. Its time is the database's: servers' clocks differ, and are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lead {
    table: &'static str,
    epoch: i64,
}

impl Lead {
    /// Takes the lease if nobody has it, or an earlier process of the same machine had it: a data directory belongs to one
    /// server at a time, so that one is gone. As SQLite's file is in there, too, its holder always is.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn take(db: &Db, table: &'static str, node: &str, holder: &str) -> Result<Option<Self>> {
        let (holder, earlier) = (holder.to_owned(), format!("{node}/"));
        db.write(move |tx| {
            Box::pin(async move {
                tx.lock().await?;
                let now = tx.dialect().now_ms();
                let free = if tx.dialect().is_shared() { format!("until <= {now}") } else { "1 = 1".to_owned() };
                let sql = format!(
                    "UPDATE {table} SET holder = $1, epoch = epoch + 1, until = {now} + {LEASE_MS} \
                     WHERE {free} OR substr(holder, 1, length($2)) = $2 RETURNING epoch"
                );
                let rows = tx.fetch(sql, vec![holder.into(), earlier.into()]).await?;
                rows.first().map(|row| Ok(Self { table, epoch: row.int(0)? })).transpose()
            })
        })
        .await
    }

    /// Keeps the lease; `None` if another took it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn renew(self, db: &Db) -> Result<Option<Self>> {
        db.write(move |tx| {
            Box::pin(async move {
                let (table, now) = (self.table, tx.dialect().now_ms());
                let sql = format!("UPDATE {table} SET until = {now} + {LEASE_MS} WHERE epoch = $1");
                let kept = tx.execute(sql, vec![self.epoch.into()]).await? > 0;
                Ok(kept.then_some(self))
            })
        })
        .await
    }

    /// Lets go of the lease that a process has, if it has it, so that the next need not wait for its end.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn resign(db: &Db, table: &'static str, holder: &str) -> Result<()> {
        let sql = format!("UPDATE {table} SET until = 0 WHERE holder = $1");
        let args = vec![holder.into()];
        db.write(move |tx| Box::pin(async move { tx.execute(sql, args).await.map(drop) })).await
    }

    /// Whether this lease is the newest still, in the transaction that acts on it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn holds(self, tx: &mut Tx) -> Result<bool> {
        tx.lock().await?;
        let rows = tx.fetch(format!("SELECT epoch FROM {}", self.table), vec![]).await?;
        Ok(rows.first().is_some_and(|row| row.int(0).is_ok_and(|epoch| epoch == self.epoch)))
    }
}

/// Another engine decides now.
pub fn lost() -> Error {
    Error::Unavailable { message: "another server schedules now".to_owned(), source: None }
}
