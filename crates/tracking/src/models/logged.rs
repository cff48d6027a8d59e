//! What the registry asks of logged models, and what it leaves with them.

use mcplane_core::Result;
use mcplane_db::{Row, Tx};
use serde_json::Value;

use super::ModelVersion;
use crate::logged_models;
use crate::mlflow::fields::python_json;
use crate::tags::Tag;

/// The tag that lists the versions which a logged model became.
const VERSIONS_TAG: &str = "mlflow.modelVersions";

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

/// Tells a logged model that it became a version.
pub(super) async fn add_version(tx: &mut Tx, namespace: &str, version: &ModelVersion) -> Result<()> {
    let no = logged_models::store::find(tx, namespace, &version.model_id).await?;
    let sql = "SELECT value FROM logged_model_tags WHERE model = $1 AND key = $2";
    let rows = tx.fetch(sql, vec![no.into(), VERSIONS_TAG.into()]).await?;
    let old = rows.first().map(|row| row.text(0)).transpose()?.unwrap_or("[]");
    let tag = Tag::new(VERSIONS_TAG, with_version(old, &version.model, version.number));
    logged_models::store::put_tags(tx, no, &[tag]).await
}

/// A list of versions with one more, in the form that clients of the reference write.
fn with_version(list: &str, model: &str, number: i64) -> String {
    let mut entries: Vec<Value> = serde_json::from_str(list).unwrap_or_default();
    let new = serde_json::json!({"name": model, "version": number});
    if !entries.contains(&new) {
        entries.push(new);
    }
    let shown =
        |entry: &Value| format!("{{\"name\": {}, \"version\": {}}}", python_json(&entry["name"]), entry["version"]);
    format!("[{}]", entries.iter().map(shown).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logged_model_lists_its_versions_once() {
        let one = with_version("[]", "ä", 1);
        assert_eq!(one, r#"[{"name": "\u00e4", "version": 1}]"#);
        assert_eq!(with_version(&one, "ä", 1), one);
        assert_eq!(with_version(&one, "m", 2), r#"[{"name": "\u00e4", "version": 1}, {"name": "m", "version": 2}]"#);
        assert_eq!(with_version("no list", "m", 1), r#"[{"name": "m", "version": 1}]"#);
    }
}
