//! Past states: the present with later changes taken back.

use std::collections::BTreeMap;
use std::sync::Arc;

use mcplane_core::Result;
use mcplane_db::{Arg, Change, Db, Revision, Row, Snapshot};

use super::{Page, Range, Stored};

/// The state at some revision of every object that changed after it; `None` for those that did not exist.
pub type Overlay = BTreeMap<(Arc<str>, Arc<str>), Option<Arc<str>>>;

/// Reads what must be laid over the present to see `range` as it was at its revision.
///
/// # Errors
/// `Expired` when that past is compacted.
pub async fn overlay(db: &Db, snapshot: &mut Snapshot, resource: &str, range: &Range) -> Result<Overlay> {
    let Some(at) = range.at else { return Ok(Overlay::new()) };
    let undo = db.undo_since(snapshot, resource, &range.namespace, at).await?;
    Ok(undo.into_iter().map(|Change { namespace, name, previous, .. }| ((namespace, name), previous)).collect())
}

impl Page {
    /// Reads `range` of `resource` as it is, or was at the range's revision. `query` makes the statement for the first so
    /// many rows of the range in the order of namespace and name; `read` makes an object of a row.
    ///
    /// # Errors
    /// `Expired` when that past is compacted.
    pub async fn read(
        db: &Db,
        resource: &str,
        range: &Range,
        query: impl FnOnce(i64) -> (String, Vec<Arg>) + Send,
        read: fn(&Row) -> Result<Stored>,
    ) -> Result<Self> {
        let mut snapshot = db.snapshot().await?;
        let (revision, _) = snapshot.revisions().await?;
        let past = overlay(db, &mut snapshot, resource, range).await?;
        // One row more than asked tells whether there is more; the past may hold so many fewer than the present.
        let limit = match range.limit {
            0 => i64::MAX,
            limit => i64::try_from(limit.saturating_add(1 + past.len())).unwrap_or(i64::MAX),
        };
        let (sql, args) = query(limit);
        let rows = snapshot.fetch(sql, args).await?;
        let mut present = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
        let complete = (present.len() as i64) < limit;
        if !past.is_empty() {
            return Self::at_revision(present, complete, past, range, range.at.unwrap_or(revision));
        }
        let more = range.limit > 0 && present.len() > range.limit;
        present.truncate(if range.limit == 0 { usize::MAX } else { range.limit });
        Ok(Self { items: present, revision: range.at.unwrap_or(revision), more })
    }

    /// Takes back later changes: `present` is a page of the present in order, `complete` whether nothing lies behind it.
    pub fn at_revision(
        present: Vec<Stored>,
        complete: bool,
        mut overlay: Overlay,
        range: &Range,
        revision: Revision,
    ) -> Result<Self> {
        let after = range.after.as_ref().map(|(ns, name)| (Arc::from(ns.as_str()), Arc::from(name.as_str())));
        let end =
            present.last().filter(|_| !complete).map(|last| (Arc::clone(&last.namespace), Arc::clone(&last.name)));
        overlay.retain(|key, _| {
            after.as_ref().is_none_or(|after| key > after)
                && end.as_ref().is_none_or(|end| key <= end)
                && (range.name.is_empty() || *key.1 == *range.name)
        });
        let mut items: BTreeMap<(Arc<str>, Arc<str>), Stored> =
            present.into_iter().map(|item| ((Arc::clone(&item.namespace), Arc::clone(&item.name)), item)).collect();
        for (key, past) in overlay {
            match past {
                Some(body) => {
                    let revision = crate::object::Head::of(&body)?.metadata.resource_version.parse().unwrap_or(0);
                    let item = Stored { namespace: Arc::clone(&key.0), name: Arc::clone(&key.1), revision, body };
                    items.insert(key, item);
                }
                None => {
                    items.remove(&key);
                }
            }
        }
        let mut items: Vec<Stored> = items.into_values().collect();
        let mut more = !complete;
        if range.limit > 0 && items.len() > range.limit {
            items.truncate(range.limit);
            more = true;
        }
        Ok(Self { items, revision, more })
    }
}
