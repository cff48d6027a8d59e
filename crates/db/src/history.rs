//! Past states, from the changes that came after them.

use mcplane_core::Result;

use crate::feed::{Change, Revision};
use crate::open::{Db, Snapshot};
use crate::sql::Arg;
use crate::subscription::expired;

impl Db {
    /// For each thing of `resource` in `namespace` (all if empty) that changed after `revision`: the first such change,
    /// whose `previous` is the thing's state at `revision`; `body` is left empty. Laid over the current state, this is the
    /// state as it was then. Ordered by namespace and name.
    ///
    /// # Errors
    /// [`mcplane_core::Error::Expired`] when that past is compacted.
    pub async fn undo_since(
        &self,
        snapshot: &mut Snapshot,
        resource: &str,
        namespace: &str,
        revision: Revision,
    ) -> Result<Vec<Change>> {
        let (_, compacted) = snapshot.revisions().await?;
        if revision < compacted {
            return Err(expired(revision, compacted));
        }
        let mut args = vec![Arg::from(resource), Arg::from(revision)];
        args.extend((!namespace.is_empty()).then(|| Arg::from(namespace)));
        let sql = undo_query(!namespace.is_empty());
        snapshot.fetch(sql, args).await?.iter().map(Change::from_row).collect()
    }
}

/// One walk of the resource's part of the feed, then one look-up for each thing that changed.
#[doc(hidden)]
pub fn undo_query(in_namespace: bool) -> String {
    let within = if in_namespace { "AND namespace = $3" } else { "" };
    format!(
        "SELECT revision, at, resource, namespace, name, operation, '', previous FROM changes WHERE revision IN \
         (SELECT MIN(revision) FROM changes WHERE resource = $1 AND revision > $2 {within} GROUP BY namespace, name) \
         ORDER BY namespace, name"
    )
}
