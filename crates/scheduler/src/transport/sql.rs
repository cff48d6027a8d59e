//! Deliveries in the same database as the tasks: the transport that needs nothing else.

use futures::future::BoxFuture;
use mcplane_core::{Result, Timestamp};
use mcplane_db::{Arg, Db, Dialect, Row, Tx};

use super::{Delivery, Leased, Transport};
use crate::tasks::AttemptOf;

/// The transport over a table.
#[derive(Debug, Clone)]
pub struct SqlTransport {
    db: Db,
}

impl SqlTransport {
    /// Over the table of `db`.
    pub fn new(db: &Db) -> Self {
        Self { db: db.clone() }
    }

    async fn execute(&self, sql: impl Fn(Dialect) -> String + Send + 'static, args: Vec<Arg>) -> Result<u64> {
        self.db.write(move |tx| Box::pin(async move { tx.execute(sql(tx.dialect()), args).await })).await
    }
}

fn read(row: &Row) -> Result<Delivery> {
    Ok(Delivery { of: AttemptOf { no: row.int(1)?, attempt: row.int(2)? }, node: row.text(3)?.into() })
}

fn rows(deliveries: Vec<Delivery>) -> Vec<Arg> {
    let row = |Delivery { of, node }| [Arg::from(of.no), Arg::from(of.attempt), Arg::from(node), Arg::from(0)];
    deliveries.into_iter().flat_map(row).collect()
}

async fn insert(tx: &mut Tx, rows: Vec<Arg>) -> Result<()> {
    const AFTER: &str =
        "ON CONFLICT (task) DO UPDATE SET attempt = excluded.attempt, node = excluded.node, holder = NULL, until = 0";
    tx.execute_rows("INSERT INTO deliveries (task, attempt, node, until)", 4, rows, AFTER).await
}

fn wanted(node: &str, holder: &str, most: usize, until: Timestamp) -> Vec<Arg> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    vec![Arg::from(node), Arg::from(most), Arg::from(holder), Arg::from(until)]
}

async fn take(tx: &mut Tx, wanted: Vec<Arg>) -> Result<Vec<Leased>> {
    // Where several may lease at a time, none waits for what another is just taking.
    let skip = match tx.dialect() {
        Dialect::Sqlite => "",
        Dialect::Postgres => " FOR UPDATE SKIP LOCKED",
    };
    let sql = format!(
        "UPDATE deliveries SET holder = $3, until = $4 WHERE no IN (SELECT no FROM deliveries WHERE \
         node = $1 AND holder IS NULL ORDER BY no LIMIT $2{skip}) RETURNING no, task, attempt, node"
    );
    let rows = tx.fetch(sql, wanted).await?;
    let leased = rows.iter().map(|row| Ok(Leased { receipt: row.int(0)?, delivery: read(row)? }));
    let mut leased = leased.collect::<Result<Vec<_>>>()?;
    leased.sort_unstable_by_key(|leased| leased.receipt);
    Ok(leased)
}

impl Transport for SqlTransport {
    fn publish(&self, deliveries: Vec<Delivery>) -> BoxFuture<'_, Result<()>> {
        let rows = rows(deliveries);
        Box::pin(async move { self.db.write(move |tx| Box::pin(insert(tx, rows))).await })
    }

    fn lease<'a>(
        &'a self,
        node: &'a str,
        holder: &'a str,
        most: usize,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Leased>>> {
        let wanted = wanted(node, holder, most, until);
        Box::pin(async move { self.db.write(move |tx| Box::pin(take(tx, wanted))).await })
    }

    /// In one commit: each is a sync that somebody waits for.
    fn hand_over<'a>(
        &'a self,
        deliveries: Vec<Delivery>,
        node: &'a str,
        holder: &'a str,
        most: usize,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Leased>>> {
        let (rows, wanted) = (rows(deliveries), wanted(node, holder, most, until));
        Box::pin(async move {
            let both = async |tx: &mut Tx| {
                insert(tx, rows).await?;
                take(tx, wanted).await
            };
            self.db.write(move |tx| Box::pin(both(tx))).await
        })
    }

    fn ack(&self, receipts: Vec<i64>) -> BoxFuture<'_, Result<()>> {
        let sql = |dialect: Dialect| format!("DELETE FROM deliveries WHERE no IN {}", dialect.numbers(1));
        Box::pin(async move { self.execute(sql, vec![Arg::list(&receipts)]).await.map(drop) })
    }

    fn redeliver(&self, now: Timestamp) -> BoxFuture<'_, Result<u64>> {
        let sql =
            |_| "UPDATE deliveries SET holder = NULL, until = 0 WHERE holder IS NOT NULL AND until <= $1".to_owned();
        Box::pin(async move { self.execute(sql, vec![now.into()]).await })
    }

    fn recover(&self) -> BoxFuture<'_, Result<Vec<Delivery>>> {
        Box::pin(async move {
            let sql = "SELECT no, task, attempt, node FROM deliveries ORDER BY no";
            self.db.fetch(sql, vec![]).await?.iter().map(read).collect()
        })
    }

    fn withdraw(&self, tasks: Vec<i64>) -> BoxFuture<'_, Result<()>> {
        let sql = |dialect: Dialect| format!("DELETE FROM deliveries WHERE task IN {}", dialect.numbers(1));
        Box::pin(async move { self.execute(sql, vec![Arg::list(&tasks)]).await.map(drop) })
    }
}
