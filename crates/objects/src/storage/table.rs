//! The objects table. Writes that arrive while others are on their way to the disk are gathered and decided together in
//! memory, so that a group costs a handful of statements, not a handful per write.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::future::BoxFuture;
use mcplane_core::{Error, Result};
use mcplane_db::{Arg, Batch, Db, Operation, Row, Tx};
use tokio::sync::{mpsc, oneshot};

use super::{Count, Effect, Expect, Key, Limit, Page, Range, Refusal, Storage, Stored, Write};

/// Writes that are decided in one transaction.
const GATHER: usize = 256;
/// Writes that may wait; beyond, callers wait to hand theirs over.
const QUEUE: usize = 4096;

type Outcome = std::result::Result<Stored, Refusal>;

struct Job {
    write: Write,
    done: oneshot::Sender<Result<Outcome>>,
}

/// Storage of ordinary kinds.
#[derive(Clone)]
pub struct TableStorage {
    db: Db,
    jobs: mpsc::Sender<Job>,
}

impl std::fmt::Debug for TableStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableStorage").finish_non_exhaustive()
    }
}

impl TableStorage {
    /// Storage in `db`; one per database and process, shared by all kinds.
    pub fn new(db: Db) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        tokio::spawn(gather(db.clone(), queue));
        Self { db, jobs }
    }

    async fn read_page(&self, resource: &Arc<str>, range: &Range) -> Result<Page> {
        Page::read(&self.db, range, |limit| page_query(resource, range, limit), stored).await
    }
}

/// The query of a page. The text depends on the shape of the range alone, so that each shape is prepared once.
fn page_query(resource: &Arc<str>, range: &Range, limit: i64) -> (String, Vec<Arg>) {
    let mut sql = "SELECT namespace, name, revision, body FROM objects WHERE resource = $1".to_owned();
    let mut args = vec![Arg::from(Arc::clone(resource))];
    let mut bind = |sql: &mut String, text: &str, value: Arg| {
        args.push(value);
        sql.push_str(&text.replace('?', &format!("${}", args.len())));
    };
    if !range.namespace.is_empty() {
        bind(&mut sql, " AND namespace = ?", range.namespace.as_str().into());
    }
    if !range.name.is_empty() {
        bind(&mut sql, " AND name = ?", range.name.as_str().into());
    }
    if let Some((namespace, name)) = &range.after {
        bind(&mut sql, " AND (namespace, name) > (?", namespace.as_str().into());
        bind(&mut sql, ", ?)", name.as_str().into());
    }
    bind(&mut sql, " ORDER BY namespace, name LIMIT ?", limit.into());
    (sql, args)
}

fn stored(row: &Row) -> Result<Stored> {
    Ok(Stored {
        namespace: row.text(0)?.into(),
        name: row.text(1)?.into(),
        revision: row.int(2)?,
        body: row.text(3)?.into(),
    })
}

impl Storage for TableStorage {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Stored>>> {
        Box::pin(async move {
            let sql = "SELECT namespace, name, revision, body FROM objects WHERE resource = $1 AND namespace = $2 AND name = $3";
            let rows = self.db.fetch(sql, key_args(key)).await?;
            rows.first().map(stored).transpose()
        })
    }

    fn list<'a>(&'a self, resource: &'a Arc<str>, range: Range) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async move { self.read_page(resource, &range).await })
    }

    fn write(&self, write: Write) -> BoxFuture<'_, Result<Outcome>> {
        Box::pin(async move {
            let stopping = || Error::Unavailable { message: "the server is stopping".to_owned(), source: None };
            let (done, outcome) = oneshot::channel();
            self.jobs.send(Job { write, done }).await.map_err(|_| stopping())?;
            outcome.await.map_err(|_| stopping())?
        })
    }

    fn count<'a>(&'a self, resource: &'a Arc<str>, namespace: &'a str) -> BoxFuture<'a, Result<i64>> {
        Box::pin(async move {
            let sql = "SELECT count(*) FROM objects WHERE resource = $1 AND ($2 = '' OR namespace = $2)";
            let rows = self.db.fetch(sql, vec![Arg::from(Arc::clone(resource)), namespace.into()]).await?;
            rows.first().map_or(Ok(0), |row| row.int(0))
        })
    }

    fn open(&self, _: &Key, body: &Arc<str>) -> Result<Arc<str>> {
        Ok(Arc::clone(body))
    }
}

fn key_args(key: &Key) -> Vec<Arg> {
    [&key.resource, &key.namespace, &key.name].map(|part| Arg::from(Arc::clone(part))).into()
}

/// Hands everything that waits to the database as one unit, then everything that came meanwhile, and so on.
async fn gather(db: Db, mut queue: mpsc::Receiver<Job>) {
    let mut jobs = Vec::new();
    while queue.recv_many(&mut jobs, GATHER).await > 0 {
        let (writes, waiting): (Vec<_>, Vec<_>) = jobs.drain(..).map(|job| (job.write, job.done)).unzip();
        let writes: Arc<[Write]> = writes.into();
        match write_together(&db, Arc::clone(&writes)).await {
            Ok(outcomes) => answer(waiting, outcomes.into_iter().map(Ok)),
            Err(error) if writes.len() == 1 || matches!(error, Error::Unavailable { .. }) => {
                tracing::error!(?error, writes = writes.len(), "writing objects failed");
                answer(waiting, std::iter::repeat_with(|| Err(not_stored())));
            }
            Err(error) => {
                // Nothing of it was done. One write that the database refuses must not spoil those beside it.
                tracing::warn!(?error, writes = writes.len(), "writing objects together failed; each is tried alone");
                for (write, done) in writes.iter().zip(waiting) {
                    let outcome = write_together(&db, [write.clone()].into()).await;
                    let outcome = outcome.and_then(|outcomes| outcomes.into_iter().next().ok_or_else(not_stored));
                    answer(vec![done], std::iter::once(outcome));
                }
            }
        }
    }
}

async fn write_together(db: &Db, writes: Arc<[Write]>) -> Result<Vec<Outcome>> {
    db.write(move |tx| Box::pin(async move { apply(tx, &writes).await })).await
}

fn answer(waiting: Vec<oneshot::Sender<Result<Outcome>>>, outcomes: impl Iterator<Item = Result<Outcome>>) {
    for (done, outcome) in waiting.into_iter().zip(outcomes) {
        // A caller that went away does not undo its write.
        let _ = done.send(outcome);
    }
}

fn not_stored() -> Error {
    Error::Unavailable { message: "the write could not be stored; try again".to_owned(), source: None }
}

/// An object as the transaction sees it, its own earlier writes included.
struct Current {
    stored: Stored,
    deleting: bool,
}

/// The state that a group of writes is decided on.
struct Group {
    objects: HashMap<Key, Option<Current>>,
    touched: BTreeMap<Key, ()>,
    counts: BTreeMap<(Arc<str>, Arc<str>), i64>,
    counted: bool,
}

async fn apply(tx: &mut Tx, writes: &[Write]) -> Result<Vec<Outcome>> {
    // Under the lock nobody else writes, so what is read now stays true until the commit.
    tx.lock().await?;
    let mut group = Group::read(tx, writes).await?;
    let mut outcomes = Vec::with_capacity(writes.len());
    for write in writes {
        outcomes.push(match group.refusal(write) {
            Some(refusal) => Err(refusal),
            None => Ok(group.accept(tx, write).await?),
        });
    }
    group.flush(tx).await?;
    Ok(outcomes)
}

impl Group {
    async fn read(tx: &mut Tx, writes: &[Write]) -> Result<Self> {
        let mut objects: HashMap<Key, Option<Current>> = HashMap::new();
        for write in writes {
            objects.entry(write.key.clone()).or_default();
            if let Some(guard) = &write.guard {
                objects.entry(guard.clone()).or_default();
            }
        }
        let mut counts: BTreeMap<(Arc<str>, Arc<str>), i64> = BTreeMap::new();
        for count in writes.iter().flat_map(|write| &write.counts) {
            counts.insert((Arc::clone(&count.namespace), Arc::clone(&count.name)), 0);
        }
        // One query for both: a key without a resource names a counter.
        let mut args: Vec<Arg> = objects.keys().flat_map(key_args).collect();
        args.extend(
            counts.keys().flat_map(|(ns, name)| [Arg::from(""), Arc::clone(ns).into(), Arc::clone(name).into()]),
        );
        let select = "SELECT o.namespace, o.name, o.revision, o.body, o.deleting, o.resource \
                      FROM k CROSS JOIN objects o WHERE o.resource = k.resource AND o.namespace = k.namespace AND o.name = k.name \
                      UNION ALL SELECT c.namespace, c.name, c.value, '', 0, '' \
                      FROM k CROSS JOIN counters c WHERE k.resource = '' AND c.namespace = k.namespace AND c.name = k.name";
        for row in tx.fetch_by_keys("k(resource, namespace, name)", 3, args, select).await? {
            let resource = row.text(5)?;
            if resource.is_empty() {
                counts.insert((row.text(0)?.into(), row.text(1)?.into()), row.int(2)?);
                continue;
            }
            let stored = stored(&row)?;
            let key = Key::new(&resource.into(), &stored.namespace, &stored.name);
            let deleting = row.int(4)? != 0;
            objects.insert(key, Some(Current { stored, deleting }));
        }
        Ok(Self { objects, touched: BTreeMap::new(), counts, counted: false })
    }

    fn current(&self, key: &Key) -> Option<&Current> {
        self.objects.get(key).and_then(Option::as_ref)
    }

    fn value(&self, count: &Count) -> i64 {
        let key = (Arc::clone(&count.namespace), Arc::clone(&count.name));
        self.counts.get(&key).copied().unwrap_or(0)
    }

    fn refusal(&self, write: &Write) -> Option<Refusal> {
        match (write.expect, self.current(&write.key)) {
            (Expect::Absent, Some(_)) => return Some(Refusal::Exists),
            (Expect::Revision(_), None) => return Some(Refusal::Missing),
            (Expect::Revision(wanted), Some(current)) if current.stored.revision != wanted => {
                return Some(Refusal::Changed);
            }
            _ => {}
        }
        if let Some(guard) = &write.guard {
            match self.current(guard) {
                None => return Some(Refusal::GuardMissing),
                Some(current) if current.deleting => return Some(Refusal::GuardDeleting),
                Some(_) => {}
            }
        }
        write.counts.iter().find_map(|count| {
            let value = self.value(count);
            let beyond = |limit: &Limit| value.saturating_add(count.delta) > limit.most;
            let over = count.delta > 0 && count.limit.as_ref().is_some_and(beyond);
            over.then(|| Refusal::Exceeded { count: count.clone(), value })
        })
    }

    async fn accept(&mut self, tx: &mut Tx, write: &Write) -> Result<Stored> {
        let Write { key, effect, deleting, counts, audit, .. } = write;
        let previous = self.current(key).map(|current| Arc::clone(&current.stored.body));
        let (operation, body) = match (effect, &previous) {
            (Effect::Remove(body), _) => (Operation::Deleted, body),
            (Effect::Put(body), Some(_)) => (Operation::Updated, body),
            (Effect::Put(body), None) => (Operation::Created, body),
        };
        let parts = (&key.resource, &key.namespace, &key.name);
        let (revision, body) = tx.change(parts, operation, |revision| body.at(revision), previous).await?;
        let stored = Stored { namespace: Arc::clone(&key.namespace), name: Arc::clone(&key.name), revision, body };
        let now = (operation != Operation::Deleted).then(|| Current { stored: stored.clone(), deleting: *deleting });
        self.objects.insert(key.clone(), now);
        self.touched.insert(key.clone(), ());
        for count in counts {
            self.counted = true;
            *self.counts.entry((Arc::clone(&count.namespace), Arc::clone(&count.name))).or_default() += count.delta;
        }
        if let Some(entry) = audit {
            tx.audit(entry.clone());
        }
        Ok(stored)
    }

    async fn flush(mut self, tx: &mut Tx) -> Result<()> {
        let (mut puts, mut gone) = (Vec::new(), Vec::new());
        for key in self.touched.into_keys() {
            match self.objects.remove(&key).flatten() {
                Some(Current { stored, deleting }) => {
                    puts.extend(key_args(&key));
                    puts.extend([Arg::from(stored.revision), Arg::from(deleting), Arg::from(stored.body)]);
                }
                None => gone.extend(key_args(&key)),
            }
        }
        let insert = "INSERT INTO objects (resource, namespace, name, revision, deleting, body)";
        let replace = "ON CONFLICT (resource, namespace, name) DO UPDATE \
                       SET revision = excluded.revision, deleting = excluded.deleting, body = excluded.body";
        let mut batch = Batch::new(tx.dialect());
        batch.rows(insert, 6, puts, replace);
        batch.rows("DELETE FROM objects WHERE (resource, namespace, name) IN (", 3, gone, ")");
        if self.counted {
            let args =
                self.counts.into_iter().flat_map(|((ns, name), value)| [ns.into(), name.into(), Arg::from(value)]);
            let replace = "ON CONFLICT (namespace, name) DO UPDATE SET value = excluded.value";
            batch.rows("INSERT INTO counters (namespace, name, value)", 3, args.collect(), replace);
        }
        tx.execute_batch(batch).await
    }
}
