//! Group commit. One task owns the writing connection; whatever waits for it becomes one transaction.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use mcplane_core::{Clock, Error, Result};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::{mpsc, oneshot};

use crate::audit;
use crate::error::from_sqlx;
use crate::feed::{self, Change, Feed, Operation, Revision};
use crate::open::Db;
use crate::sql::{Arg, Connection, Dialect, Row, runs, values};

/// Units of one transaction at most, so that no waiter waits for an endless group.
const GROUP: usize = 256;
/// Units that may wait; beyond, callers wait to hand theirs over.
const QUEUE: usize = 4096;

type Unit = Box<dyn for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<()>> + Send>;

struct Job {
    unit: Unit,
    done: oneshot::Sender<Result<()>>,
}

#[derive(Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Command>,
}

enum Command {
    Write(Job),
    Stop(oneshot::Sender<()>),
}

pub(crate) enum OwnConnection {
    Sqlite(SqliteConnection),
    /// Kept with its options, to connect anew after the server was away.
    Postgres(Box<PgConnectOptions>, Option<PgConnection>),
}

impl OwnConnection {
    async fn ready(&mut self) -> Result<Connection<'_>> {
        match self {
            Self::Sqlite(connection) => Ok(Connection::Sqlite(connection)),
            Self::Postgres(options, slot) => {
                let connection = match slot.take() {
                    Some(connection) => connection,
                    None => options.connect().await.map_err(from_sqlx)?,
                };
                Ok(Connection::Postgres(slot.insert(connection)))
            }
        }
    }

    /// Forgets a connection in an unknown state.
    fn discard(&mut self) {
        if let Self::Postgres(_, slot) = self {
            *slot = None;
        }
    }
}

/// The transaction that a unit of work runs in. Units of one group share it.
pub struct Tx {
    connection: OwnConnection,
    head: Option<Head>,
    changes: Vec<Change>,
    audit: Vec<audit::Entry>,
    now: i64,
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("changes", &self.changes.len()).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
struct Head {
    /// Revision of the last change that was committed before this transaction.
    committed: Revision,
    /// The last one that this transaction gave out.
    revision: Revision,
    audit_sequence: i64,
    audit_hash: String,
}

impl Tx {
    /// Which database this is.
    pub fn dialect(&self) -> Dialect {
        match self.connection {
            OwnConnection::Sqlite(_) => Dialect::Sqlite,
            OwnConnection::Postgres(..) => Dialect::Postgres,
        }
    }

    /// The time of the group, in milliseconds since the epoch.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// Runs a query.
    pub async fn fetch(&mut self, sql: impl Into<Cow<'static, str>>, args: Vec<Arg>) -> Result<Vec<Row>> {
        self.connection.ready().await?.fetch(sql, args).await
    }

    /// Runs a statement; returns the number of rows that it touched.
    pub async fn execute(&mut self, sql: impl Into<Cow<'static, str>>, args: Vec<Arg>) -> Result<u64> {
        self.connection.ready().await?.execute(sql, args).await
    }

    /// Runs a statement for many rows at once: `before VALUES (…),(…) after`, each row of `columns` arguments.
    pub async fn execute_rows(&mut self, before: &str, columns: usize, args: Vec<Arg>, after: &str) -> Result<()> {
        let mut args = args.into_iter();
        for run in runs(args.len() / columns) {
            let sql = format!("{before} VALUES {} {after}", values(run, columns));
            self.execute(sql, args.by_ref().take(run * columns).collect()).await?;
        }
        Ok(())
    }

    /// Runs a query that joins a list of keys: `WITH list AS (VALUES (…),(…)) query`, where `list` names the table and its
    /// columns, as in `k(a, b)`, each key of `columns` arguments.
    pub async fn fetch_by_keys(&mut self, list: &str, columns: usize, args: Vec<Arg>, query: &str) -> Result<Vec<Row>> {
        let mut args = args.into_iter();
        let mut rows = Vec::new();
        for run in runs(args.len() / columns) {
            let sql = format!("WITH {list} AS (VALUES {}) {query}", values(run, columns));
            rows.extend(self.fetch(sql, args.by_ref().take(run * columns).collect()).await?);
        }
        Ok(rows)
    }

    /// Takes the lock under which revisions and audit entries are numbered, once for the group.
    pub async fn lock(&mut self) -> Result<()> {
        if self.head.is_some() {
            return Ok(());
        }
        let sql = match self.dialect() {
            Dialect::Sqlite => "SELECT revision, audit_sequence, audit_hash FROM head",
            Dialect::Postgres => "SELECT revision, audit_sequence, audit_hash FROM head FOR UPDATE",
        };
        let rows = self.fetch(sql, vec![]).await?;
        let row = rows.first().ok_or_else(|| Error::internal("the head row is missing"))?;
        let revision = row.int(0)?;
        self.head = Some(Head {
            committed: revision,
            revision,
            audit_sequence: row.int(1)?,
            audit_hash: row.text(2)?.to_owned(),
        });
        Ok(())
    }

    /// Appends a change to the feed. The body holds its own revision, so `body` makes it once the revision is known;
    /// both are returned for the row that the change tells of.
    pub async fn change(
        &mut self,
        (resource, namespace, name): (&Arc<str>, &Arc<str>, &Arc<str>),
        operation: Operation,
        body: impl FnOnce(Revision) -> Arc<str> + Send,
        previous: Option<Arc<str>>,
    ) -> Result<(Revision, Arc<str>)> {
        self.lock().await?;
        let Some(head) = &mut self.head else { return Err(Error::internal("the head row is not locked")) };
        head.revision += 1;
        let (revision, body) = (head.revision, body(head.revision));
        self.changes.push(Change {
            revision,
            at: self.now,
            resource: Arc::clone(resource),
            namespace: Arc::clone(namespace),
            name: Arc::clone(name),
            operation,
            body: Arc::clone(&body),
            previous,
        });
        Ok((revision, body))
    }

    /// Appends an audit entry; it is durable if and only if the unit is.
    pub fn audit(&mut self, entry: audit::Entry) {
        self.audit.push(entry);
    }

    /// Writes what the units gathered: once for the whole group.
    async fn flush(&mut self) -> Result<()> {
        if self.changes.is_empty() && self.audit.is_empty() {
            return Ok(());
        }
        self.lock().await?;
        let Some(mut head) = self.head.clone() else { return Err(Error::internal("the head row is not locked")) };
        let mut args = Vec::with_capacity(self.changes.len() * 8);
        self.changes.iter().for_each(|change| change.into_args(&mut args));
        self.execute_rows(&format!("INSERT INTO changes ({})", Change::COLUMNS), 8, args, "").await?;
        let mut args = Vec::with_capacity(self.audit.len() * 13);
        for entry in std::mem::take(&mut self.audit) {
            let record = audit::Record::chain(head.audit_sequence + 1, self.now, entry, &head.audit_hash);
            head.audit_sequence = record.sequence;
            head.audit_hash.clone_from(&record.hash);
            record.into_args(&mut args);
        }
        self.execute_rows(&format!("INSERT INTO audit ({})", audit::COLUMNS), 13, args, "").await?;
        let sql = "UPDATE head SET revision = $1, audit_sequence = $2, audit_hash = $3";
        let args = vec![Arg::from(head.revision), Arg::from(head.audit_sequence), Arg::from(head.audit_hash)];
        self.execute(sql, args).await?;
        Ok(())
    }

    async fn statement(&mut self, sql: &'static str) -> Result<()> {
        self.execute(sql, vec![]).await.map(drop)
    }

    /// Runs a unit so that its failure, or panic, undoes it alone.
    async fn run_unit(&mut self, unit: Unit) -> Result<()> {
        self.statement("SAVEPOINT unit").await?;
        let (changes, audit, head) = (self.changes.len(), self.audit.len(), self.head.clone());
        let outcome = AssertUnwindSafe(unit(self)).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|_| Err(Error::internal("a unit of work panicked")));
        if outcome.is_err() {
            self.statement("ROLLBACK TO unit").await?;
            self.changes.truncate(changes);
            self.audit.truncate(audit);
            // PostgreSQL gives up row locks taken after the savepoint: the next unit locks anew if this one did first.
            self.head = head;
        }
        self.statement("RELEASE unit").await?;
        outcome
    }
}

impl Writer {
    pub(crate) async fn start(connection: OwnConnection, feed: Arc<Feed>, clock: Arc<dyn Clock>) -> Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let mut tx = Tx { connection, head: None, changes: Vec::new(), audit: Vec::new(), now: clock.now() };
        let rows = tx.fetch("SELECT revision, compacted FROM head", vec![]).await?;
        let row = rows.first().ok_or_else(|| Error::internal("the head row is missing"))?;
        feed.start_at(row.int(0)?, row.int(1)?);
        tokio::spawn(run(queue, tx, feed, clock));
        Ok(Self { jobs })
    }

    pub(crate) async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.jobs.send(Command::Stop(done)).await.is_ok() {
            // An error means that the writer is gone already, which is what we want.
            let _ = stopped.await;
        }
    }
}

impl Db {
    /// Runs `unit` in the next group's transaction. When this returns `Ok`, its effects are durable and published.
    ///
    /// # Errors
    /// The unit's own error, with its effects undone; [`Error::Unavailable`] when the commit failed, after which the
    /// effects may or may not be there, as after any lost answer.
    pub async fn write<T, F>(&self, unit: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
    {
        let (give, result) = oneshot::channel();
        let unit: Unit = Box::new(move |tx| {
            Box::pin(async move {
                let value = unit(tx).await?;
                // Nobody waits for the value when the caller went away; the write stands all the same.
                let _ = give.send(value);
                Ok(())
            })
        });
        let (done, outcome) = oneshot::channel();
        let stopping = || Error::Unavailable { message: "the server is stopping".to_owned(), source: None };
        self.writer().jobs.send(Command::Write(Job { unit, done })).await.map_err(|_| stopping())?;
        outcome.await.map_err(|_| stopping())??;
        result.await.map_err(|_| Error::internal("a unit of work gave no result"))
    }
}

async fn run(mut queue: mpsc::Receiver<Command>, mut tx: Tx, feed: Arc<Feed>, clock: Arc<dyn Clock>) {
    let mut stop = None;
    while stop.is_none() {
        let mut group = Vec::new();
        let Some(mut command) = queue.recv().await else { break };
        loop {
            match command {
                Command::Write(job) => group.push(job),
                Command::Stop(done) => {
                    stop = Some(done);
                    break;
                }
            }
            if group.len() >= GROUP {
                break;
            }
            match queue.try_recv() {
                Ok(next) => command = next,
                Err(_) => break,
            }
        }
        if !group.is_empty() {
            tx.now = clock.now();
            run_group(group, &mut tx, &feed).await;
        }
    }
    match tx.connection {
        OwnConnection::Sqlite(connection) => {
            // Closing writes the log back into the database, so that the next start has nothing to recover.
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "closing the database failed");
            }
        }
        OwnConnection::Postgres(..) => {}
    }
    if let Some(done) = stop {
        let _ = done.send(());
    }
}

async fn run_group(group: Vec<Job>, tx: &mut Tx, feed: &Feed) {
    let mut waiting = Vec::with_capacity(group.len());
    let committed = commit_group(group, tx, feed, &mut waiting).await;
    tx.head = None;
    tx.changes.clear();
    tx.audit.clear();
    match committed {
        Ok(()) => {
            for (done, outcome) in waiting {
                let _ = done.send(outcome);
            }
        }
        Err(error) => {
            tracing::error!(error = ?error, units = waiting.len(), "a group of writes could not be committed");
            if tx.statement("ROLLBACK").await.is_err() {
                tx.connection.discard();
            }
            for (done, outcome) in waiting {
                let failed = || Error::Unavailable {
                    message: "the write could not be committed; try again".into(),
                    source: None,
                };
                let _ = done.send(outcome.and_then(|()| Err(failed())));
            }
        }
    }
}

type Waiting = (oneshot::Sender<Result<()>>, Result<()>);

async fn commit_group(group: Vec<Job>, tx: &mut Tx, feed: &Feed, waiting: &mut Vec<Waiting>) -> Result<()> {
    let begin = match tx.dialect() {
        Dialect::Sqlite => "BEGIN IMMEDIATE",
        Dialect::Postgres => "BEGIN",
    };
    let mut begun = tx.statement(begin).await;
    if begun.is_err() && tx.dialect() == Dialect::Postgres {
        // The connection may have died while idle; nothing was sent on it, so trying once more repeats nothing.
        tx.connection.discard();
        begun = tx.statement(begin).await;
    }
    let mut broken = begun.err();
    for Job { unit, done } in group {
        let outcome = match &broken {
            None => tx.run_unit(unit).await,
            // The reason was logged with the group.
            Some(_) => {
                Err(Error::Unavailable { message: "the database is not available; try again".into(), source: None })
            }
        };
        if let Err(error @ Error::Unavailable { .. }) = &outcome
            && broken.is_none()
        {
            broken = Some(Error::Unavailable { message: error.to_string(), source: None });
        }
        waiting.push((done, outcome));
    }
    if let Some(error) = broken {
        return Err(error);
    }
    tx.flush().await?;
    tx.statement("COMMIT").await?;
    if let Err(error) = publish(tx, feed).await {
        // The writes are durable; the next group finds that the feed lags behind the head row and publishes them.
        tracing::warn!(?error, "committed changes could not be published yet");
    }
    Ok(())
}

/// Publishes what was committed, preceded by whatever others committed since we last looked: another server, or a
/// commit of our own whose answer was lost.
async fn publish(tx: &mut Tx, feed: &Feed) -> Result<()> {
    let Some(head) = tx.head.take() else { return Ok(()) };
    let known = feed.revision();
    if head.committed > known {
        let missed = feed::committed_between(&mut tx.connection.ready().await?, known, head.committed).await?;
        feed.publish(missed);
    }
    feed.publish(std::mem::take(&mut tx.changes));
    Ok(())
}
