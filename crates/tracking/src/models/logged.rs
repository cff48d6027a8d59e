//! What the registry asks of logged models.

use mcplane_core::Result;
use mcplane_db::{Row, Tx};

/// A logged model as the origin of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoggedSource {
    /// URI under which its files lie.
    pub(super) artifact_uri: String,
    /// The run that made it; may be empty.
    pub(super) run_id: String,
}

/// The logged model of that id in the namespace.
pub(super) async fn source(tx: &mut Tx, namespace: &str, id: &str) -> Result<Option<LoggedSource>> {
    let sql = "SELECT artifact_uri, source_run FROM logged_models WHERE id = $1 AND namespace = $2 AND deleted = 0";
    let rows = tx.fetch(sql, vec![id.into(), namespace.into()]).await?;
    let read = |row: &Row| Ok(LoggedSource { artifact_uri: row.text(0)?.to_owned(), run_id: row.text(1)?.to_owned() });
    rows.first().map(read).transpose()
}
