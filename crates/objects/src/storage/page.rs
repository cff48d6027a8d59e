//! Pages of a range: of the present, and of a past that is the present with later changes taken back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mcplane_core::{Error, Result};
use mcplane_db::{Arg, Db, Revision, Row, Snapshot};

use super::{Key, Page, Range, Storage, Stored};
use crate::object;

impl Page {
    /// Reads `range` of the present. `query` makes the statement for the first so many rows of the range in the order of
    /// namespace and name; `read` makes an object of a row.
    pub async fn read(
        db: &Db,
        range: &Range,
        query: impl FnOnce(i64) -> (String, Vec<Arg>) + Send,
        read: fn(&Row) -> Result<Stored>,
    ) -> Result<Self> {
        // One row more than asked tells whether there is more.
        let limit = match range.limit {
            0 => i64::MAX,
            limit => i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX),
        };
        let (sql, args) = query(limit);
        let mut snapshot = db.snapshot().await?;
        let (revision, _) = snapshot.revisions().await?;
        let rows = snapshot.fetch(sql, args).await?;
        let mut items = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
        let more = range.limit > 0 && items.len() > range.limit;
        if more {
            items.truncate(range.limit);
        }
        Ok(Self { items, revision, more })
    }
}

/// Namespace and name, by which ranges are ordered.
type Place = (Arc<str>, Arc<str>);

/// Changes that one query of the feed brings.
const CHANGES: usize = 1000;
/// States that one query brings.
const STATES: usize = 64;
/// Bytes at the start of stored text that surely hold its revision.
const START: usize = 64;

/// A reader of the past at one revision, page by page in order.
///
/// A transaction for the whole of it would be exact without any work, but a slow client could hold it open as long as it
/// likes, and with it a connection and the growing log of the database. So each page is read from the present, in short
/// queries, and changes since the revision are taken back. To look for those anew with each page would cost pages ×
/// changes; this reader remembers how far it has looked, so that it sees each change once. What it holds is bounded by the
/// range at that revision: a place, no text, for each object there that it has yet to come to and that changed meanwhile.
/// Objects that did not exist then are not held, however many come and go. Only a continue token, which is all that is left
/// of a reader between two requests, has a new one look again.
#[derive(Debug)]
pub(crate) struct Past {
    db: Db,
    at: Revision,
    /// All changes up to here have been looked at.
    seen: Revision,
    /// Objects ahead that are not now what they were: the change that took their state at the revision away.
    changed: BTreeMap<Place, Revision>,
}

impl Past {
    /// A reader of the state at `at`.
    pub(crate) fn new(db: Db, at: Revision) -> Self {
        Self { db, at, seen: at, changed: BTreeMap::new() }
    }

    /// The revision that is read.
    pub(crate) fn revision(&self) -> Revision {
        self.at
    }

    /// Reads the next page of `range` and moves `range.after` behind it; tells whether there is more. A page holds about
    /// `range.limit` objects, but up to twice as many, and perhaps none, even if there is more.
    ///
    /// # Errors
    /// `Expired` when this past is compacted.
    pub(crate) async fn page(
        &mut self,
        storage: &dyn Storage,
        resource: &Arc<str>,
        range: &mut Range,
    ) -> Result<(Vec<Stored>, bool)> {
        let Page { mut items, revision, mut more } = storage.list(resource, range.clone()).await?;
        let mut end = items.last().filter(|_| more).map(place);
        let mut before = Vec::new();
        if revision > self.seen || !self.changed.is_empty() {
            let mut snapshot = self.db.snapshot().await?;
            let (_, compacted) = snapshot.revisions().await?;
            if self.at < compacted {
                return Err(Error::Expired(format!("too old resource version: {} ({compacted})", self.at)));
            }
            self.look(&mut snapshot, resource, range, revision).await?;
            let mut gone: Vec<(Place, Revision)> = Vec::new();
            while let Some(entry) = self.changed.first_entry()
                && end.as_ref().is_none_or(|end| entry.key() <= end)
            {
                if range.limit > 0 && gone.len() == range.limit {
                    // Where very much changed, the page ends early.
                    (end, more) = (gone.last().map(|(place, _)| place.clone()), true);
                    break;
                }
                gone.push(entry.remove_entry());
            }
            before = self.states(&mut snapshot, storage, resource, gone).await?;
        }
        items.retain(|item| item.revision <= self.at && end.as_ref().is_none_or(|end| place(item) <= *end));
        if !before.is_empty() {
            items.extend(before);
            items.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        }
        if let Some((namespace, name)) = end {
            range.after = Some((namespace.to_string(), name.to_string()));
        }
        Ok((items, more))
    }

    /// Looks at the changes that are new up to `until`.
    async fn look(
        &mut self,
        snapshot: &mut Snapshot,
        resource: &Arc<str>,
        range: &Range,
        until: Revision,
    ) -> Result<()> {
        let (namespace, name) = range.after.clone().unwrap_or_default();
        while self.seen < until {
            let args = vec![
                Arg::from(Arc::clone(resource)),
                self.seen.into(),
                until.into(),
                namespace.as_str().into(),
                name.as_str().into(),
                range.namespace.as_str().into(),
                range.name.as_str().into(),
            ];
            let rows = snapshot.fetch(feed_query(), args).await?;
            for row in &rows {
                // Of all changes of an object, only the first has a previous state that is as old as the revision.
                if object::revision_of(row.text(3)?).is_some_and(|previous| previous <= self.at) {
                    self.changed.insert((row.text(1)?.into(), row.text(2)?.into()), row.int(0)?);
                }
            }
            self.seen = match rows.last() {
                Some(last) if rows.len() == CHANGES => last.int(0)?,
                _ => until,
            };
        }
        Ok(())
    }

    /// The states that the changes of `gone` took away.
    async fn states(
        &self,
        snapshot: &mut Snapshot,
        storage: &dyn Storage,
        resource: &Arc<str>,
        gone: Vec<(Place, Revision)>,
    ) -> Result<Vec<Stored>> {
        let mut places: HashMap<Revision, Place> = gone.into_iter().map(|(place, change)| (change, place)).collect();
        let changes: Vec<Revision> = places.keys().copied().collect();
        let mut states = Vec::with_capacity(changes.len());
        for some in changes.chunks(STATES) {
            // Always as many arguments, so that there is one statement to prepare; no change has the revision 0.
            let args = some.iter().copied().chain(std::iter::repeat(0)).take(STATES).map(Arg::from).collect();
            let wanted: Vec<String> = (1..=STATES).map(|number| format!("${number}")).collect();
            let sql = format!("SELECT revision, previous FROM changes WHERE revision IN ({})", wanted.join(","));
            for row in snapshot.fetch(sql, args).await? {
                let Some((namespace, name)) = places.remove(&row.int(0)?) else { continue };
                let key = Key { resource: Arc::clone(resource), namespace, name };
                let body = storage.open(&key, &row.text(1)?.into())?;
                let revision = object::revision_of(&body).unwrap_or(0);
                states.push(Stored { namespace: key.namespace, name: key.name, revision, body });
            }
        }
        Ok(states)
    }
}

fn place(item: &Stored) -> Place {
    (Arc::clone(&item.namespace), Arc::clone(&item.name))
}

/// The next changes of things that existed before, behind a place: revision, namespace, name, start of the state before.
fn feed_query() -> String {
    format!(
        "SELECT revision, namespace, name, substr(previous, 1, {START}) FROM changes \
         WHERE resource = $1 AND revision > $2 AND revision <= $3 AND previous IS NOT NULL \
         AND (namespace, name) > ($4, $5) AND ($6 = '' OR namespace = $6) AND ($7 = '' OR name = $7) \
         ORDER BY revision LIMIT {CHANGES}"
    )
}
