//! Watches: everything that happens after a revision, as the selection sees it.

use std::collections::VecDeque;
use std::sync::Arc;

use mcplane_core::{Grant, Result};
use mcplane_db::{Change, Operation, Revision, Subscription};

use super::{ListOptions, Objects};
use crate::kind::RegisteredKind;
use crate::selection::Selection;
use crate::storage::{Key, Stored};

/// Options of watches.
#[derive(Debug, Clone, Default)]
pub struct WatchOptions {
    /// Label selector.
    pub label_selector: String,
    /// Field selector.
    pub field_selector: String,
    /// After this revision; `None`, or 0, for everything that exists and what comes after.
    pub resource_version: Option<Revision>,
    /// Begin with what exists as it is now, then mark the end of that with a bookmark.
    pub send_initial_events: bool,
    /// Send bookmarks.
    pub bookmarks: bool,
}

/// What a watch tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// The object is new, or newly selected.
    Added,
    /// The object changed.
    Modified,
    /// The object is gone, or no longer selected.
    Deleted,
}

/// One step of a watch.
#[derive(Debug, Clone)]
pub enum Event {
    /// Something happened to an object.
    Object(EventType, Stored),
    /// All that happened up to this revision has been told.
    Bookmark {
        /// The revision.
        revision: Revision,
        /// Whether this ends the initial events.
        initial_events_end: bool,
    },
}

/// A watch under way.
#[derive(Debug)]
pub struct Watch {
    kind: Arc<RegisteredKind>,
    selection: Selection,
    namespace: String,
    /// The one object that the grant is for; empty for all.
    name: String,
    subscription: Subscription,
    ready: VecDeque<Event>,
}

impl Objects {
    /// Watches the objects that the grant and the options select.
    ///
    /// # Errors
    /// `BadRequest` for malformed options; `Expired` when the revision is compacted.
    pub async fn watch(&self, grant: &Grant, version: &str, options: &WatchOptions) -> Result<Watch> {
        let call = self.call(grant, version)?;
        let selection = Selection::parse(call.kind, &options.label_selector, &options.field_selector)?;
        let mut ready = VecDeque::new();
        let after = match options.resource_version {
            Some(revision) if revision > 0 && !options.send_initial_events => revision,
            _ => {
                let list = ListOptions {
                    label_selector: options.label_selector.clone(),
                    field_selector: options.field_selector.clone(),
                    resource_version: options.resource_version,
                    ..ListOptions::default()
                };
                let listed = self.list(grant, version, &list).await?;
                ready.extend(listed.items.into_iter().map(|item| Event::Object(EventType::Added, item)));
                if options.send_initial_events && options.bookmarks {
                    ready.push_back(Event::Bookmark { revision: listed.revision, initial_events_end: true });
                }
                listed.revision
            }
        };
        // A list may be newer than what has been published, if another server wrote; the watch waits for its turn then.
        let subscription = self.db().subscribe(call.kind.resource(), after)?;
        let (namespace, name) = (call.namespace.to_owned(), call.name.to_owned());
        Ok(Watch { kind: Arc::clone(call.kind), selection, namespace, name, subscription, ready })
    }
}

impl Watch {
    /// The next events, at least one; waits for them. Safe to drop and call again.
    ///
    /// # Errors
    /// `Expired` when compaction overtook the watch.
    pub async fn next(&mut self) -> Result<Vec<Event>> {
        if !self.ready.is_empty() {
            return Ok(self.ready.drain(..).collect());
        }
        loop {
            let changes = self.subscription.next().await?;
            let mut events = Vec::with_capacity(changes.len());
            for change in changes {
                events.extend(self.seen(&change)?);
            }
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }

    /// A bookmark for what has been told so far, after whatever was ready.
    pub async fn bookmark(&mut self) -> Result<Vec<Event>> {
        let mut events: Vec<Event> = self.ready.drain(..).collect();
        for change in self.subscription.ready().await? {
            events.extend(self.seen(&change)?);
        }
        events.push(Event::Bookmark { revision: self.subscription.reached(), initial_events_end: false });
        Ok(events)
    }

    /// What a change is to this watch.
    fn seen(&self, change: &Change) -> Result<Option<Event>> {
        let other = |wanted: &str, found: &str| !wanted.is_empty() && wanted != found;
        if other(&self.namespace, &change.namespace) || other(&self.name, &change.name) {
            return Ok(None);
        }
        let Some(kind) = self.event_type(change)? else { return Ok(None) };
        let key = Key {
            resource: Arc::clone(&change.resource),
            namespace: Arc::clone(&change.namespace),
            name: Arc::clone(&change.name),
        };
        let body = match (kind, change.operation, &change.previous) {
            // An object that is no longer selected is told as it last was to this watch, as Kubernetes does: what it has
            // become is not for everybody who could see what it was.
            (EventType::Deleted, Operation::Updated, Some(previous)) => {
                crate::object::with_revision(&self.kind.storage.open(&key, previous)?, change.revision)
            }
            _ => self.kind.storage.open(&key, &change.body)?,
        };
        let (namespace, name) = (key.namespace, key.name);
        Ok(Some(Event::Object(kind, Stored { namespace, name, revision: change.revision, body })))
    }

    fn event_type(&self, change: &Change) -> Result<Option<EventType>> {
        if self.selection.is_empty() {
            return Ok(Some(match change.operation {
                Operation::Created => EventType::Added,
                Operation::Updated => EventType::Modified,
                Operation::Deleted => EventType::Deleted,
            }));
        }
        let selected = |body: Option<&Arc<str>>| body.map_or(Ok(false), |body| self.matches(change, body));
        let before = selected(change.previous.as_ref())?;
        let after = change.operation != Operation::Deleted && selected(Some(&change.body))?;
        Ok(match (before, after) {
            (false, false) => None,
            (false, true) => Some(EventType::Added),
            (true, true) => Some(EventType::Modified),
            (true, false) => Some(EventType::Deleted),
        })
    }

    fn matches(&self, change: &Change, body: &Arc<str>) -> Result<bool> {
        let key = Key {
            resource: Arc::clone(&change.resource),
            namespace: Arc::clone(&change.namespace),
            name: Arc::clone(&change.name),
        };
        self.selection.matches(&self.kind.storage.open(&key, body)?)
    }
}

impl From<EventType> for &'static str {
    fn from(event: EventType) -> Self {
        match event {
            EventType::Added => "ADDED",
            EventType::Modified => "MODIFIED",
            EventType::Deleted => "DELETED",
        }
    }
}
