//! The change feed: one order over all changes, of which each watch reads one resource's.
//!
//! A [`Topic`] holds the newest changes of one resource in memory. A [`Subscription`] knows only the revision that it has
//! reached; when its topic no longer holds what comes after, it reads the table until it is back inside the topic.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use mcplane_core::{Error, Result, Timestamp};
use tokio::sync::watch;

use crate::open::Db;
use crate::sql::{Arg, Row};

/// A number that grows by one with each change.
pub type Revision = i64;

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// The thing did not exist before.
    Created,
    /// It existed before and still does.
    Updated,
    /// It is gone.
    Deleted,
}

impl Operation {
    pub(crate) fn code(self) -> i64 {
        match self {
            Self::Created => 1,
            Self::Updated => 2,
            Self::Deleted => 3,
        }
    }

    fn from_code(code: i64) -> Result<Self> {
        match code {
            1 => Ok(Self::Created),
            2 => Ok(Self::Updated),
            3 => Ok(Self::Deleted),
            other => Err(Error::internal(format!("change with unknown operation {other}"))),
        }
    }
}

/// One change of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When, in the order of all changes.
    pub revision: Revision,
    /// When, by the clock; milliseconds since the epoch.
    pub at: Timestamp,
    /// `configmaps`, `roles.rbac.authorization.k8s.io`.
    pub resource: Arc<str>,
    /// Namespace; empty for cluster-scoped things.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// What happened.
    pub operation: Operation,
    /// State after the change; the last state for a deletion. In the form of the kind's storage.
    pub body: Arc<str>,
    /// State before the change.
    pub previous: Option<Arc<str>>,
}

impl Change {
    pub(crate) const COLUMNS: &str = "revision, at, resource, namespace, name, operation, body, previous";

    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            revision: row.int(0)?,
            at: row.int(1)?,
            resource: row.text(2)?.into(),
            namespace: row.text(3)?.into(),
            name: row.text(4)?.into(),
            operation: Operation::from_code(row.int(5)?)?,
            body: row.text(6)?.into(),
            previous: row.optional_text(7)?.map(Into::into),
        })
    }

    pub(crate) fn into_args(&self, args: &mut Vec<Arg>) {
        args.extend([
            Arg::from(self.revision),
            Arg::from(self.at),
            Arg::from(Arc::clone(&self.resource)),
            Arg::from(Arc::clone(&self.namespace)),
            Arg::from(Arc::clone(&self.name)),
            Arg::from(self.operation.code()),
            Arg::from(Arc::clone(&self.body)),
            Arg::from(self.previous.clone()),
        ]);
    }

    /// Bytes that the change holds in memory, about.
    fn weight(&self) -> usize {
        std::mem::size_of::<Self>() + self.body.len() + self.previous.as_ref().map_or(0, |p| p.len()) + self.name.len()
    }
}

/// Newest changes in memory, per resource.
#[derive(Default)]
pub struct Feed {
    topics: RwLock<HashMap<Arc<str>, Arc<Topic>>>,
    observers: RwLock<HashMap<Arc<str>, Vec<Observer>>>,
    /// Every change up to here has been published.
    published: AtomicI64,
    /// Every change up to here may be gone from the table.
    compacted: AtomicI64,
}

type Observer = Box<dyn Fn(&Change) + Send + Sync>;

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("published", &self.revision()).finish_non_exhaustive()
    }
}

/// At most this many bytes of changes are kept in memory for each resource.
const TOPIC_BYTES: usize = 4 << 20;
/// Changes that one read of the table brings.
const PAGE: i64 = 500;

#[derive(Debug)]
struct Topic {
    ring: Mutex<Ring>,
    /// The newest revision in the ring; what waiting subscriptions wait for.
    newest: watch::Sender<Revision>,
}

#[derive(Debug)]
struct Ring {
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
    /// The ring holds every change of its resource after this revision.
    floor: Revision,
}

impl Feed {
    pub(crate) fn start_at(&self, revision: Revision, compacted: Revision) {
        self.published.store(revision, Ordering::Release);
        self.compacted.store(compacted, Ordering::Release);
    }

    pub(crate) fn note_compacted(&self, revision: Revision) {
        self.compacted.store(revision, Ordering::Release);
    }

    /// The newest revision whose change, and all before it, has been published.
    pub fn revision(&self) -> Revision {
        self.published.load(Ordering::Acquire)
    }

    /// The newest revision that compaction took away.
    pub fn compacted(&self) -> Revision {
        self.compacted.load(Ordering::Acquire)
    }

    /// Has `observer` called with each change of `resource`, in order, before the change is acknowledged to its writer: for
    /// small in-memory mirrors that must not lag behind an acknowledged write. It must be quick and must not block.
    pub fn observe(&self, resource: &str, observer: impl Fn(&Change) + Send + Sync + 'static) {
        let mut observers = self.observers.write().unwrap_or_else(PoisonError::into_inner);
        observers.entry(resource.into()).or_default().push(Box::new(observer));
    }

    fn topic(&self, resource: &str) -> Arc<Topic> {
        if let Some(topic) = self.topics.read().unwrap_or_else(PoisonError::into_inner).get(resource) {
            return Arc::clone(topic);
        }
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        // A topic made now holds nothing; what was published before it must be read from the table. Publishing takes
        // this lock too, so `revision` can't move under us.
        let floor = self.revision();
        Arc::clone(topics.entry(resource.into()).or_insert_with(|| {
            let ring = Ring { changes: VecDeque::new(), bytes: 0, floor };
            Arc::new(Topic { ring: Mutex::new(ring), newest: watch::Sender::new(floor) })
        }))
    }

    /// Makes committed changes, in order, visible to subscriptions.
    pub(crate) fn publish(&self, changes: Vec<Change>) {
        let Some(last) = changes.last().map(|change| change.revision) else { return };
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let mut touched: Vec<(&Arc<Topic>, Revision)> = Vec::new();
        let observers = self.observers.read().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            observers.get(&change.resource).into_iter().flatten().for_each(|observer| observer(&change));
            // Nobody ever watched a resource without a topic: the table is enough for it.
            let Some(topic) = topics.get(&change.resource) else { continue };
            let revision = change.revision;
            topic.ring.lock().unwrap_or_else(PoisonError::into_inner).push(change);
            match touched.iter_mut().find(|(other, _)| Arc::ptr_eq(other, topic)) {
                Some((_, newest)) => *newest = revision,
                None => touched.push((topic, revision)),
            }
        }
        self.published.store(last, Ordering::Release);
        for (topic, newest) in touched {
            topic.newest.send_replace(newest);
        }
    }
}

impl Ring {
    fn push(&mut self, change: Change) {
        self.bytes += change.weight();
        self.changes.push_back(Arc::new(change));
        while self.bytes > TOPIC_BYTES && self.changes.len() > 1 {
            if let Some(old) = self.changes.pop_front() {
                self.bytes -= old.weight();
                self.floor = old.revision;
            }
        }
    }

    fn after(&self, revision: Revision) -> Option<Vec<Arc<Change>>> {
        if revision < self.floor {
            return None;
        }
        let start = self.changes.partition_point(|change| change.revision <= revision);
        Some(self.changes.range(start..).cloned().collect())
    }
}

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
    /// All changes of `resource` after `after`, those to come included.
    ///
    /// # Errors
    /// [`Error::Expired`] when compaction took some of them away, [`Error::Timeout`] when `after` lies in the future.
    pub fn subscribe(&self, resource: &str, after: Revision) -> Result<Subscription> {
        let topic = self.feed().topic(resource);
        if after < self.feed().compacted() {
            return Err(expired(after, self.feed().compacted()));
        }
        if after > self.feed().revision() {
            return Err(Error::Timeout(format!(
                "Too large resource version: {after}, current: {}",
                self.feed().revision()
            )));
        }
        let newest = topic.newest.subscribe();
        Ok(Subscription { db: self.clone(), resource: resource.into(), topic, newest, reached: after })
    }
}

fn expired(wanted: Revision, compacted: Revision) -> Error {
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
    /// [`Error::Expired`] when the reader was so slow that compaction overtook it.
    pub async fn next(&mut self) -> Result<Vec<Arc<Change>>> {
        loop {
            self.newest.mark_unchanged();
            let batch = self.ready().await?;
            if !batch.is_empty() {
                return Ok(batch);
            }
            if self.newest.changed().await.is_err() {
                return Err(Error::Unavailable { message: "the server is stopping".to_owned(), source: None });
            }
        }
    }

    /// What can be had without waiting for a new change; empty when up to date.
    pub async fn ready(&mut self) -> Result<Vec<Arc<Change>>> {
        loop {
            // Read before the ring: whatever is published up to here is in the ring by now.
            let published = self.db.feed().revision();
            let in_memory = self.topic.ring.lock().unwrap_or_else(PoisonError::into_inner).after(self.reached);
            if let Some(batch) = in_memory {
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
        let rows = snapshot.fetch(sql, vec![Arg::from(Arc::clone(&self.resource)), Arg::from(self.reached)]).await?;
        let page = rows.iter().map(|row| Change::from_row(row).map(Arc::new)).collect::<Result<Vec<_>>>()?;
        self.reached = if page.len() < PAGE as usize {
            revision
        } else {
            page.last().map_or(self.reached, |change| change.revision)
        };
        Ok(page)
    }
}

/// Changes of any resource in `(after, upto]`.
pub(crate) async fn committed_between(
    connection: &mut crate::sql::Connection<'_>,
    after: Revision,
    upto: Revision,
) -> Result<Vec<Change>> {
    let sql =
        format!("SELECT {} FROM changes WHERE revision > $1 AND revision <= $2 ORDER BY revision", Change::COLUMNS);
    let rows = connection.fetch(sql, vec![Arg::from(after), Arg::from(upto)]).await?;
    rows.iter().map(Change::from_row).collect()
}

impl Db {
    /// For each thing of `resource` in `namespace` (all if empty) that changed after `revision`: its key and its state
    /// at `revision`. Laid over the current state, this is the state as it was then.
    ///
    /// # Errors
    /// [`Error::Expired`] when that past is compacted.
    pub async fn undo_since(
        &self,
        snapshot: &mut crate::open::Snapshot,
        resource: &str,
        namespace: &str,
        revision: Revision,
    ) -> Result<Vec<Change>> {
        let (_, compacted) = snapshot.revisions().await?;
        if revision < compacted {
            return Err(expired(revision, compacted));
        }
        let sql = format!(
            "SELECT {} FROM changes c WHERE resource = $1 AND revision > $2 AND ($3 = '' OR namespace = $3) AND NOT EXISTS \
             (SELECT 1 FROM changes e WHERE e.resource = $1 AND e.namespace = c.namespace AND e.name = c.name \
              AND e.revision > $2 AND e.revision < c.revision) ORDER BY namespace, name",
            Change::COLUMNS
        );
        let rows = snapshot.fetch(sql, vec![resource.into(), Arg::from(revision), namespace.into()]).await?;
        rows.iter().map(Change::from_row).collect()
    }
}
