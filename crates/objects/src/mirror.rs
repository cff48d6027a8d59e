//! A small resource held in memory, never behind an acknowledged write: for what every request must look up.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use mcplane_core::Result;
use mcplane_db::{Change, Db, Operation, Revision};

use crate::storage::{Range, Storage};

type Key = (Arc<str>, Arc<str>);

struct Entries<T> {
    /// `None` marks a deletion that a list which is still being read may not know of.
    objects: BTreeMap<Key, (Revision, Option<Arc<T>>)>,
    listed: bool,
}

/// All objects of one resource, each turned into a `T`.
pub struct Mirror<T> {
    entries: Arc<RwLock<Entries<T>>>,
}

impl<T> std::fmt::Debug for Mirror<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mirror").finish_non_exhaustive()
    }
}

impl<T> Clone for Mirror<T> {
    fn clone(&self) -> Self {
        Self { entries: Arc::clone(&self.entries) }
    }
}

impl<T: Send + Sync + 'static> Mirror<T> {
    /// Mirrors `resource`, which must not be encrypted: changes come as they are stored. `read` turns stored text into a
    /// `T`, `None` if the object does not matter; `changed` is called after each change, before it is acknowledged.
    pub async fn start(
        db: &Db,
        storage: &dyn Storage,
        resource: &Arc<str>,
        read: impl Fn(&str) -> Option<T> + Send + Sync + 'static,
        changed: impl Fn(&Self) + Send + Sync + 'static,
    ) -> Result<Self> {
        let mirror = Self { entries: Arc::new(RwLock::new(Entries { objects: BTreeMap::new(), listed: false })) };
        let read = Arc::new(read);
        // Observing begins before the list is read, so that no change falls between; revisions decide who is newer.
        let (observer, observer_read) = (mirror.clone(), Arc::clone(&read));
        db.feed().observe(resource, move |change: &Change| {
            let key = (Arc::clone(&change.namespace), Arc::clone(&change.name));
            let value = match change.operation {
                Operation::Deleted => None,
                Operation::Created | Operation::Updated => observer_read(&change.body).map(Arc::new),
            };
            observer.put(key, change.revision, value);
            changed(&observer);
        });
        for item in storage.list(resource, Range::default()).await?.items {
            mirror.put((item.namespace, item.name), item.revision, read(&item.body).map(Arc::new));
        }
        let mut entries = mirror.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.listed = true;
        entries.objects.retain(|_, (_, value)| value.is_some());
        drop(entries);
        Ok(mirror)
    }

    fn put(&self, key: Key, revision: Revision, value: Option<Arc<T>>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.objects.get(&key).is_some_and(|(known, _)| *known >= revision) {
            return;
        }
        if value.is_none() && entries.listed {
            entries.objects.remove(&key);
        } else {
            entries.objects.insert(key, (revision, value));
        }
    }

    /// The object of that namespace and name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.objects.get(&(Arc::from(namespace), Arc::from(name))).and_then(|(_, value)| value.clone())
    }

    /// All objects of a namespace, with their names.
    pub fn in_namespace(&self, namespace: &str) -> Vec<(Arc<str>, Arc<T>)> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let start = (Arc::from(namespace), Arc::from(""));
        entries
            .objects
            .range(start..)
            .take_while(|((ns, _), _)| **ns == *namespace)
            .filter_map(|((_, name), (_, value))| Some((Arc::clone(name), Arc::clone(value.as_ref()?))))
            .collect()
    }

    /// All objects.
    pub fn all(&self) -> Vec<Arc<T>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.objects.values().filter_map(|(_, value)| value.clone()).collect()
    }
}
