//! The change feed: one order over all changes, the newest of which are held in memory by resource.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use mcplane_core::{Error, Result, Timestamp};
use tokio::sync::watch;

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
#[derive(Clone, PartialEq, Eq)]
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

/// Without the states, which may be secret.
impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { revision, resource, namespace, name, operation, .. } = self;
        write!(f, "Change({revision}: {resource}/{namespace}/{name} {operation:?})")
    }
}

impl Change {
    pub(crate) const COLUMNS: &str = "revision, at, resource, namespace, name, operation, body, previous";

    pub(crate) fn from_row(row: &Row) -> Result<Self> {
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

    pub(crate) fn push_args(&self, args: &mut Vec<Arg>) {
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
    pub(crate) fn weight(&self) -> usize {
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
    /// The newest revision that a reader of the tables may have seen, published or not.
    promised: AtomicI64,
    /// Every change up to here may be gone from the table.
    compacted: AtomicI64,
    closed: AtomicBool,
}

type Observer = Box<dyn Fn(&Change) + Send + Sync>;

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("published", &self.revision()).finish_non_exhaustive()
    }
}

/// At most this many bytes of changes are kept in memory for each resource that somebody watches.
const TOPIC_BYTES: usize = 4 << 20;
/// Changes of any resource that one query for missed ones brings.
const MISSED: i64 = 200;

/// The newest changes of one resource.
#[derive(Debug)]
pub(crate) struct Topic {
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
        self.promised.store(revision, Ordering::Release);
        self.compacted.store(compacted, Ordering::Release);
    }

    pub(crate) fn note_compacted(&self, revision: Revision) {
        self.compacted.fetch_max(revision, Ordering::AcqRel);
    }

    /// Tells that changes up to `revision` are about to be committed: from then on a reader may see them, and ask for what
    /// comes after, before they are published here.
    pub(crate) fn promise(&self, revision: Revision) {
        self.promised.fetch_max(revision, Ordering::AcqRel);
    }

    pub(crate) fn promised(&self) -> Revision {
        self.promised.load(Ordering::Acquire)
    }

    /// Ends all subscriptions.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        for topic in self.topics.read().unwrap_or_else(PoisonError::into_inner).values() {
            topic.newest.send_modify(|_| ());
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
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

    pub(crate) fn topic(&self, resource: &str) -> Arc<Topic> {
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
            for observer in observers.get(&change.resource).into_iter().flatten() {
                // The writer that calls us must survive a mirror's bug.
                if std::panic::catch_unwind(AssertUnwindSafe(|| observer(&change))).is_err() {
                    tracing::error!(resource = %change.resource, "an observer of changes panicked");
                }
            }
            // Nobody ever watched a resource without a topic: the table is enough for it.
            let Some(topic) = topics.get(&change.resource) else { continue };
            let revision = change.revision;
            if topic.newest.receiver_count() == 0 {
                topic.ring().forget(revision);
                continue;
            }
            topic.ring().push(change);
            match touched.iter_mut().find(|(other, _)| Arc::ptr_eq(other, topic)) {
                Some((_, newest)) => *newest = revision,
                None => touched.push((topic, revision)),
            }
        }
        self.promise(last);
        self.published.store(last, Ordering::Release);
        for (topic, newest) in touched {
            topic.newest.send_replace(newest);
        }
    }
}

impl Topic {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes after `revision`; `None` when memory does not reach back so far.
    pub(crate) fn after(&self, revision: Revision) -> Option<Vec<Arc<Change>>> {
        self.ring().after(revision)
    }

    pub(crate) fn listen(&self) -> watch::Receiver<Revision> {
        self.newest.subscribe()
    }
}

impl Ring {
    /// Holds nothing up to `revision`.
    fn forget(&mut self, revision: Revision) {
        self.changes = VecDeque::new();
        self.bytes = 0;
        self.floor = revision;
    }

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

/// The query for the oldest changes, of any resource, after `known`.
pub(crate) fn query_after(known: Revision) -> (String, Vec<Arg>) {
    let columns = Change::COLUMNS;
    let sql = format!("SELECT {columns} FROM changes WHERE revision > $1 ORDER BY revision LIMIT {MISSED}");
    (sql, vec![Arg::from(known)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(resource: &str, revision: Revision, bytes: usize) -> Change {
        Change {
            revision,
            at: 0,
            resource: resource.into(),
            namespace: "".into(),
            name: "n".into(),
            operation: Operation::Updated,
            body: "x".repeat(bytes).into(),
            previous: None,
        }
    }

    fn revisions(changes: Option<Vec<Arc<Change>>>) -> Option<Vec<Revision>> {
        changes.map(|changes| changes.iter().map(|change| change.revision).collect())
    }

    #[test]
    fn a_topic_knows_how_far_back_it_reaches() {
        let feed = Feed::default();
        feed.start_at(10, 0);
        let topic = feed.topic("a");
        let _listener = topic.listen();
        feed.publish(vec![change("a", 11, 1), change("b", 12, 1), change("a", 13, 1)]);
        assert_eq!(revisions(topic.after(9)), None);
        assert_eq!(revisions(topic.after(10)), Some(vec![11, 13]));
        assert_eq!(revisions(topic.after(12)), Some(vec![13]));
        assert_eq!(revisions(topic.after(20)), Some(vec![]));
        assert_eq!(revisions(feed.topic("b").after(12)), None);
        assert_eq!(revisions(feed.topic("b").after(13)), Some(vec![]));
    }

    #[test]
    fn a_topic_holds_a_bounded_number_of_bytes_but_at_least_one_change() {
        let feed = Feed::default();
        let topic = feed.topic("a");
        let _listener = topic.listen();
        for revision in 1..=100 {
            feed.publish(vec![change("a", revision, TOPIC_BYTES / 10)]);
        }
        assert!(topic.ring().bytes <= TOPIC_BYTES);
        let kept = topic.ring().changes.len() as Revision;
        assert!((5..10).contains(&kept), "{kept}");
        assert_eq!(revisions(topic.after(99 - kept)), None);
        assert_eq!(revisions(topic.after(100 - kept)).map(|kept| kept[0]), Some(101 - kept));
        feed.publish(vec![change("a", 101, TOPIC_BYTES * 2)]);
        assert_eq!(revisions(topic.after(100)), Some(vec![101]));
    }

    #[test]
    fn a_topic_without_listeners_holds_nothing() {
        let feed = Feed::default();
        let topic = feed.topic("a");
        let listener = topic.listen();
        feed.publish(vec![change("a", 1, 1)]);
        drop(listener);
        feed.publish(vec![change("a", 2, 1)]);
        assert!(topic.ring().changes.is_empty());
        assert_eq!(revisions(topic.after(1)), None);
        assert_eq!(revisions(topic.after(2)), Some(vec![]));
    }

    #[test]
    fn an_observer_sees_its_resource_in_order_and_its_panic_stays_its_own() {
        let feed = Feed::default();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        feed.observe("a", |change| assert_ne!(change.revision, 3, "a bug"));
        feed.observe("a", move |change| sink.lock().unwrap().push(change.revision));
        feed.publish(vec![change("a", 1, 1), change("b", 2, 1), change("a", 3, 1)]);
        feed.publish(vec![change("a", 4, 1)]);
        assert_eq!(*seen.lock().unwrap(), [1, 3, 4]);
        assert_eq!(feed.revision(), 4);
    }
}
