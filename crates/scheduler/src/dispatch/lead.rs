//! Who decides: one engine a database, by a lease with an epoch.

use mcplane_core::{Error, Result, Timestamp};
use mcplane_db::{Db, Dialect, Tx};

/// How long a lease lasts, in milliseconds.
pub(crate) const LEASE_MS: i64 = 10_000;
/// How often it is renewed, in milliseconds.
pub(crate) const RENEW_MS: i64 = 2_000;

/// A lease on deciding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lead {
    epoch: i64,
    pub(crate) until: Timestamp,
}

impl Lead {
    /// Takes the lease if nobody has it. SQLite's data directory belongs to one server, so there whoever had it is gone.
    pub(crate) async fn take(db: &Db, holder: &str) -> Result<Option<Self>> {
        let holder = holder.to_owned();
        db.write(move |tx| {
            Box::pin(async move {
                tx.lock().await?;
                let (now, until) = (tx.now(), tx.now() + LEASE_MS);
                let free = if tx.dialect() == Dialect::Sqlite { i64::MAX } else { now };
                let sql = "UPDATE scheduler SET holder = $1, epoch = epoch + 1, until = $2 \
                    WHERE until <= $3 OR holder = $1 RETURNING epoch";
                let rows = tx.fetch(sql, vec![holder.into(), until.into(), free.into()]).await?;
                rows.first().map(|row| Ok(Self { epoch: row.int(0)?, until })).transpose()
            })
        })
        .await
    }

    /// Keeps the lease; `None` if another took it.
    pub(crate) async fn renew(self, db: &Db) -> Result<Option<Self>> {
        db.write(move |tx| {
            Box::pin(async move {
                let until = tx.now() + LEASE_MS;
                let sql = "UPDATE scheduler SET until = $1 WHERE epoch = $2";
                let kept = tx.execute(sql, vec![until.into(), self.epoch.into()]).await? > 0;
                Ok(kept.then_some(Self { until, ..self }))
            })
        })
        .await
    }

    /// Whether this lease is the newest still, in the transaction that acts on it.
    pub(crate) async fn holds(self, tx: &mut Tx) -> Result<bool> {
        tx.lock().await?;
        let rows = tx.fetch("SELECT epoch FROM scheduler", vec![]).await?;
        Ok(rows.first().is_some_and(|row| row.int(0).is_ok_and(|epoch| epoch == self.epoch)))
    }
}

/// Another engine decides now.
pub(crate) fn lost() -> Error {
    Error::Unavailable { message: "another server schedules now".to_owned(), source: None }
}
