//! The transaction that units of work share.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use mcplane_core::{Error, Result};

use crate::audit;
use crate::batch::Batch;
use crate::connection::WriteConnection;
use crate::feed::{self, Change, Feed, Operation, Revision};
use crate::sql::{Arg, Dialect, Row, values};

/// Bytes of changes that one transaction gathers before it takes no further unit.
const FULL: usize = 16 << 20;
/// Keys that one query joins at most; a power of two.
const KEYS: usize = 128;

pub(crate) type Unit = Box<dyn for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<()>> + Send>;

/// The transaction that a unit of work runs in. Units of one group share it.
///
/// A unit must not wait for anything but its own statements: all other writers wait for it. A statement that fails
/// fails its unit, whatever the unit makes of the error.
pub struct Tx {
    connection: WriteConnection,
    feed: Arc<Feed>,
    /// Something was done since the point that a failing unit is rolled back to.
    used: bool,
    /// That point is the savepoint, not the beginning of the transaction.
    savepoint: bool,
    /// A statement of the current unit failed, or was abandoned half-way.
    failed: bool,
    head: Option<Head>,
    changes: Vec<Change>,
    bytes: usize,
    audit: Vec<audit::Entry>,
    now: i64,
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("changes", &self.changes.len()).finish_non_exhaustive()
    }
}

/// The head row as this transaction will leave it.
#[derive(Debug, Clone)]
struct Head {
    revision: Revision,
    audit_sequence: i64,
    audit_hash: Arc<str>,
}

impl Tx {
    /// Which database this is.
    pub fn dialect(&self) -> Dialect {
        self.connection.dialect()
    }

    /// The time of the group, in milliseconds since the epoch.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// Runs a query.
    pub async fn fetch(&mut self, sql: impl Into<Cow<'static, str>>, args: Vec<Arg>) -> Result<Vec<Row>> {
        self.begin_statement()?;
        let rows = self.connection.fetch(sql, args).await?;
        self.failed = false;
        Ok(rows)
    }

    /// Runs a statement; returns the number of rows that it touched.
    pub async fn execute(&mut self, sql: impl Into<Cow<'static, str>>, args: Vec<Arg>) -> Result<u64> {
        self.begin_statement()?;
        let touched = self.connection.execute(sql, args).await?;
        self.failed = false;
        Ok(touched)
    }

    /// Both databases may abandon the whole transaction when a statement fails; what SQLite would run afterwards would
    /// stand alone and for good. So a unit is taken for failed until the answer to its statement is there.
    fn begin_statement(&mut self) -> Result<()> {
        if self.failed {
            return Err(Error::internal("an earlier statement of this unit failed"));
        }
        self.failed = true;
        Ok(())
    }

    /// Runs the statements of a batch.
    pub async fn execute_batch(&mut self, batch: Batch) -> Result<()> {
        for (sql, args) in batch.texts() {
            self.execute(sql, args).await?;
        }
        Ok(())
    }

    /// Runs a statement for many rows at once: `before VALUES (…),(…) after`, each row of `columns` arguments;
    /// `before` and `after` hold no placeholder.
    pub async fn execute_rows(&mut self, before: &str, columns: usize, args: Vec<Arg>, after: &str) -> Result<()> {
        let mut batch = Batch::new(self.dialect());
        batch.rows(before, columns, args, after);
        self.execute_batch(batch).await
    }

    /// Runs a query that joins a list of keys: `WITH list AS (VALUES (…),(…)) query`, where `list` names the table and its
    /// columns, as in `k(a, b)`, each key of `columns` texts; `query` holds no placeholder. Keys of nulls are added to the
    /// list so that its lengths, and with them the texts to prepare, are few.
    pub async fn fetch_by_keys(&mut self, list: &str, columns: usize, args: Vec<Arg>, query: &str) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut args = args.into_iter().peekable();
        while args.peek().is_some() {
            let mut run: Vec<Arg> = args.by_ref().take(KEYS * columns).collect();
            let keys = (run.len() / columns).next_power_of_two();
            run.resize_with(keys * columns, || Arg::OptionalText(None));
            let sql = format!("WITH {list} AS (VALUES {}) {query}", values(self.dialect(), keys, columns));
            rows.extend(self.fetch(sql, run).await?);
        }
        Ok(rows)
    }

    /// Takes the lock under which revisions and audit entries are numbered, once for the group. Whoever decides on what it
    /// reads must take it first: until then, another server may be writing.
    pub async fn lock(&mut self) -> Result<()> {
        if self.head.is_some() {
            return Ok(());
        }
        let sql = match self.dialect() {
            // Whoever writes has the whole file.
            Dialect::Sqlite => "SELECT revision, audit_sequence, audit_hash FROM head",
            Dialect::Postgres => "SELECT revision, audit_sequence, audit_hash FROM head FOR UPDATE",
        };
        let rows = self.fetch(sql, vec![]).await?;
        let row = rows.first().ok_or_else(|| Error::internal("the head row is missing"))?;
        let head = Head { revision: row.int(0)?, audit_sequence: row.int(1)?, audit_hash: row.text(2)?.into() };
        self.catch_up(head.revision).await?;
        self.head = Some(head);
        Ok(())
    }

    /// Publishes what was committed since we last looked: by another server, or by a commit of our own whose answer was
    /// lost. Under the lock nothing can come between these changes and ours.
    async fn catch_up(&mut self, committed: Revision) -> Result<()> {
        let known = self.feed.revision();
        if committed < known {
            let message = format!(
                "the database went back from revision {known} to {committed}, as an older copy of it would: restart the server"
            );
            return Err(Error::Unavailable { message, source: None });
        }
        while self.feed.revision() < committed {
            let (sql, args) = feed::query_after(self.feed.revision());
            let rows = self.fetch(sql, args).await?;
            let missed = rows.iter().map(Change::from_row).collect::<Result<Vec<_>>>()?;
            if missed.first().is_none_or(|change| change.revision != self.feed.revision() + 1) {
                return Err(Error::internal("changes were compacted before this server saw them: restart it"));
            }
            self.feed.publish(missed);
        }
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
        let revision = head.revision + 1;
        let body = body(revision);
        // PostgreSQL refuses NUL, and would do so only when the changes of all units are written together.
        if [resource, namespace, name, &body].into_iter().chain(&previous).any(|text| text.contains('\0')) {
            return Err(Error::bad_request("text may not contain the character NUL"));
        }
        head.revision = revision;
        let change = Change {
            revision,
            at: self.now,
            resource: Arc::clone(resource),
            namespace: Arc::clone(namespace),
            name: Arc::clone(name),
            operation,
            body: Arc::clone(&body),
            previous,
        };
        self.bytes += change.weight();
        self.changes.push(change);
        Ok((revision, body))
    }

    /// Appends an audit entry; it is durable if and only if the unit is.
    pub fn audit(&mut self, entry: audit::Entry) {
        self.audit.push(entry.storable());
    }
}

/// The life of a group.
impl Tx {
    pub(crate) fn new(connection: WriteConnection, feed: Arc<Feed>) -> Self {
        Self {
            connection,
            feed,
            used: false,
            savepoint: false,
            failed: false,
            head: None,
            changes: Vec::new(),
            bytes: 0,
            audit: Vec::new(),
            now: 0,
        }
    }

    /// Begins a group; `in_doubt` when the answer to the last commit was lost, so that its changes may need publishing.
    pub(crate) async fn begin(&mut self, now: i64, in_doubt: bool) -> Result<()> {
        self.changes.clear();
        self.bytes = 0;
        self.audit.clear();
        self.used = false;
        self.failed = false;
        self.now = now;
        self.connection.connect().await?;
        if let Err(error) = self.begin_transaction().await {
            self.connection.discard();
            if self.dialect() == Dialect::Sqlite {
                return Err(error);
            }
            // The connection may have died while idle. Nothing was asked of it, so asking again repeats nothing.
            self.connection.connect().await?;
            self.begin_transaction().await?;
        }
        if in_doubt {
            self.lock().await?;
            self.used = true;
        }
        Ok(())
    }

    async fn begin_transaction(&mut self) -> Result<()> {
        self.savepoint = false;
        self.head = None;
        let sql = match self.dialect() {
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            Dialect::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        };
        self.connection.control(sql).await
    }

    /// Runs a unit so that its failure, or panic, undoes it alone. The outer error means that the group is lost.
    pub(crate) async fn run_unit(&mut self, unit: Unit) -> Result<Result<()>> {
        if std::mem::take(&mut self.used) {
            let sql = if self.savepoint { "RELEASE unit; SAVEPOINT unit" } else { "SAVEPOINT unit" };
            self.connection.control(sql).await?;
            self.savepoint = true;
        }
        let (changes, bytes, audit, head) = (self.changes.len(), self.bytes, self.audit.len(), self.head.clone());
        let outcome = match AssertUnwindSafe(unit(self)).catch_unwind().await {
            Ok(Ok(())) if self.failed => Err(Error::internal("a unit of work ignored the failure of a statement")),
            Ok(outcome) => outcome,
            Err(_) => Err(Error::internal("a unit of work panicked")),
        };
        if outcome.is_ok() {
            self.used = true;
            return Ok(outcome);
        }
        if let Err(error) = self.undo(head).await {
            tracing::warn!(unit = ?outcome, "the transaction did not survive a failed unit of work");
            return Err(error);
        }
        self.failed = false;
        self.changes.truncate(changes);
        self.bytes = bytes;
        self.audit.truncate(audit);
        Ok(outcome)
    }

    /// Back to before the unit, when the head row was `head`.
    async fn undo(&mut self, head: Option<Head>) -> Result<()> {
        if self.savepoint {
            self.connection.control("ROLLBACK TO unit").await?;
            // PostgreSQL gives up row locks taken after the savepoint: the next unit locks anew if this one did first.
            self.head = head;
            return Ok(());
        }
        // Nothing was done before: a savepoint, which each group would pay for, is not needed.
        self.connection.control("ROLLBACK").await?;
        self.begin_transaction().await
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= FULL
    }

    /// Makes everything durable, and then public.
    pub(crate) async fn commit(&mut self) -> Result<()> {
        let batch = self.gathered().await?;
        if let Some(head) = &self.head {
            self.feed.promise(head.revision);
        }
        self.execute_batch(batch).await?;
        self.connection.control("COMMIT").await?;
        self.feed.publish(std::mem::take(&mut self.changes));
        Ok(())
    }

    /// What writes what the units gathered: once for the whole group.
    async fn gathered(&mut self) -> Result<Batch> {
        let mut batch = Batch::new(self.dialect());
        if self.changes.is_empty() && self.audit.is_empty() {
            return Ok(batch);
        }
        self.lock().await?;
        let Some(mut head) = self.head.clone() else { return Err(Error::internal("the head row is not locked")) };
        let mut args = Vec::with_capacity(self.changes.len() * 8);
        self.changes.iter().for_each(|change| change.push_args(&mut args));
        batch.rows(&format!("INSERT INTO changes ({})", Change::COLUMNS), 8, args, "");
        let mut args = Vec::with_capacity(self.audit.len() * 13);
        for entry in std::mem::take(&mut self.audit) {
            let record = audit::Record::chain(head.audit_sequence + 1, self.now, entry, &head.audit_hash);
            head.audit_sequence = record.sequence;
            head.audit_hash = record.hash.as_str().into();
            record.into_args(&mut args);
        }
        batch.rows(&format!("INSERT INTO audit ({})", audit::COLUMNS), 13, args, "");
        let args = vec![Arg::from(head.revision), Arg::from(head.audit_sequence), Arg::from(head.audit_hash)];
        batch.update("head", &["revision", "audit_sequence", "audit_hash"], args);
        Ok(batch)
    }

    pub(crate) async fn roll_back(&mut self) {
        if self.connection.control("ROLLBACK").await.is_err() {
            self.connection.discard();
        }
    }

    pub(crate) async fn close(self) -> Result<()> {
        self.connection.close().await
    }
}
