//! Where a kind's objects are: the objects table, that table with encrypted bodies, or the table of some domain.

mod encrypted;
mod page;
mod shown;
mod table;

use std::sync::Arc;

use futures::future::BoxFuture;
use mcplane_core::Result;
use mcplane_db::{Revision, audit};

use crate::object::Body;

pub use encrypted::{Cipher, Encrypted};
pub(crate) use page::Past;
pub use shown::{Shown, ShownTable, publish, retract};
pub use table::TableStorage;

/// Names one object in the store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// `configmaps`, `roles.rbac.authorization.k8s.io`.
    pub resource: Arc<str>,
    /// Namespace; empty for cluster-scoped kinds.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl Key {
    /// A key of these parts.
    pub fn new(resource: &Arc<str>, namespace: &str, name: &str) -> Self {
        Self { resource: Arc::clone(resource), namespace: namespace.into(), name: name.into() }
    }
}

/// An object as stored; see [`crate::object`] for the text.
#[derive(Clone)]
pub struct Stored {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Revision of its last change.
    pub revision: Revision,
    /// The text.
    pub body: Arc<str>,
}

/// Without the text, which may be a secret's.
impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { namespace, name, revision, .. } = self;
        write!(f, "Stored({namespace}/{name} at {revision})")
    }
}

/// A stretch of a kind's objects, as they are now, in the order of namespace and name.
#[derive(Debug, Clone, Default)]
pub struct Range {
    /// Namespace; empty for all.
    pub namespace: String,
    /// One name only; empty for all.
    pub name: String,
    /// Begin behind this namespace and name.
    pub after: Option<(String, String)>,
    /// At most so many; 0 for all.
    pub limit: usize,
}

/// What a range holds.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Objects in order.
    pub items: Vec<Stored>,
    /// The revision at which the page is true.
    pub revision: Revision,
    /// Whether there is more behind the last item.
    pub more: bool,
}

/// State that a write expects, checked in the transaction that changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// There is no such object.
    Absent,
    /// The object's last change was this one.
    Revision(Revision),
}

/// What a write does.
#[derive(Debug, Clone)]
pub enum Effect {
    /// The object becomes this.
    Put(Body),
    /// The object goes; the text is its last state.
    Remove(Body),
}

/// A change of a number that writes bound, such as how many config maps a namespace holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Namespace; empty for numbers of the whole cluster.
    pub namespace: Arc<str>,
    /// `count/configmaps`.
    pub name: Arc<str>,
    /// What to add.
    pub delta: i64,
    /// The write is refused if the number would exceed this.
    pub limit: Option<Limit>,
}

/// A bound of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The most that the number may be.
    pub most: i64,
    /// The quota that says so.
    pub by: Arc<str>,
}

/// One change of one object, with everything that must be true or become true with it.
#[derive(Debug, Clone)]
pub struct Write {
    /// The object.
    pub key: Key,
    /// Its state before.
    pub expect: Expect,
    /// The change.
    pub effect: Effect,
    /// Whether the object, afterwards, waits for finalizers to go.
    pub deleting: bool,
    /// An object that must exist and not be waiting to go: the namespace.
    pub guard: Option<Key>,
    /// Numbers that change with it.
    pub counts: Vec<Count>,
    /// What the audit log will say.
    pub audit: Option<audit::Entry>,
}

/// Why a write was not done. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Expected no object, found one.
    Exists,
    /// Expected an object, found none.
    Missing,
    /// Expected another revision.
    Changed,
    /// The guard does not exist.
    GuardMissing,
    /// The guard is being deleted.
    GuardDeleting,
    /// A number would exceed its limit.
    Exceeded {
        /// The number.
        count: Count,
        /// What it is now.
        value: i64,
    },
}

/// A kind's storage.
pub trait Storage: Send + Sync {
    /// One object.
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Stored>>>;

    /// A stretch of objects, true at one revision.
    fn list<'a>(&'a self, resource: &'a Arc<str>, range: Range) -> BoxFuture<'a, Result<Page>>;

    /// Changes an object; durable and published on return.
    fn write(&self, write: Write) -> BoxFuture<'_, Result<std::result::Result<Stored, Refusal>>>;

    /// The number of objects of `resource` in `namespace` (all if empty).
    fn count<'a>(&'a self, resource: &'a Arc<str>, namespace: &'a str) -> BoxFuture<'a, Result<i64>>;

    /// The text of a change of the feed as it is served: storage that encrypts decrypts here.
    fn open(&self, key: &Key, body: &Arc<str>) -> Result<Arc<str>>;
}
