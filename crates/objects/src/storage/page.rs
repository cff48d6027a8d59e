//! Past states: the present with later changes taken back.

use std::collections::BTreeMap;
use std::sync::Arc;

use mcplane_core::Result;
use mcplane_db::{Change, Db, Revision, Snapshot};

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
