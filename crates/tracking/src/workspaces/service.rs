//! The rules of workspaces.

use mcplane_apimachinery::codec::Decoded;
use mcplane_core::{Error, Grant, Result};
use mcplane_objects::Objects;
use mcplane_objects::service::{DeleteOptions, Patch, WriteOptions};
use serde_json::json;

use super::types::{Settings, Workspace};
use crate::Tracking;

const VERSION: &str = "v1";
/// What a workspace may hold and still be deleted without more words: what every namespace gets by itself.
const HELD: [(&str, &str); 4] = [
    (
        "experiments",
        "SELECT count(*) FROM experiments e WHERE namespace = $1 AND \
                     (id <> 0 OR EXISTS (SELECT 1 FROM runs WHERE experiment = e.no))",
    ),
    ("registered_models", "SELECT count(*) FROM registered_models WHERE namespace = $1"),
    ("webhooks", "SELECT count(*) FROM webhooks WHERE namespace = $1"),
    (
        "objects",
        "SELECT count(*) FROM objects WHERE namespace = $1 AND NOT (resource = 'serviceaccounts' AND name = 'default')",
    ),
];

impl Tracking {
    /// All workspaces, by name.
    pub(crate) fn workspaces(&self) -> Vec<std::sync::Arc<Workspace>> {
        self.namespaces.all()
    }

    /// The workspace of that name.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none.
    pub(crate) fn workspace(&self, name: &str) -> Result<Workspace> {
        let found = self.namespaces.get("", name).map(|workspace| (*workspace).clone());
        found.ok_or_else(|| Error::Missing(format!("Workspace '{name}' not found")))
    }

    /// Makes a workspace.
    ///
    /// # Errors
    /// [`Error::Exists`] for a name that is taken.
    pub(crate) async fn create_workspace(
        &self,
        objects: &Objects,
        grant: &Grant,
        name: &str,
        settings: &Settings,
    ) -> Result<Workspace> {
        settings.check()?;
        let value = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "annotations": settings.annotations()},
        });
        let decoded = Decoded { value, duplicates: vec![] };
        match objects.create(grant, VERSION, decoded, &WriteOptions::default()).await {
            Ok(_) => self.workspace(name),
            Err(Error::AlreadyExists(_)) => Err(Error::Exists(format!("Workspace '{name}' already exists."))),
            Err(error) => Err(error),
        }
    }

    /// Changes a workspace.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none, [`Error::BadRequest`] for a change of nothing.
    pub(crate) async fn update_workspace(
        &self,
        objects: &Objects,
        grant: &Grant,
        name: &str,
        settings: &Settings,
    ) -> Result<Workspace> {
        if settings.is_empty() {
            return Err(Error::bad_request("Workspace update must have at least one key"));
        }
        settings.check()?;
        self.workspace(name)?;
        let patch = Patch::Merge(json!({"metadata": {"annotations": settings.annotations()}}));
        objects.patch(grant, VERSION, &patch, &[], &WriteOptions::default()).await?;
        self.workspace(name)
    }

    /// Deletes a workspace; with all that it holds only if told so.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none, [`Error::WrongState`] if it holds something.
    pub(crate) async fn delete_workspace(
        &self,
        objects: &Objects,
        grant: &Grant,
        name: &str,
        cascade: bool,
    ) -> Result<()> {
        self.workspace(name)?;
        for (table, sql) in HELD.iter().filter(|_| !cascade) {
            let rows = self.db.fetch(*sql, vec![name.into()]).await?;
            let count = rows.first().map_or(Ok(0), |row| row.int(0))?;
            if count > 0 {
                return Err(Error::WrongState(format!(
                    "Cannot delete workspace '{name}': table '{table}' still contains {count} resource(s). \
                     Remove or reassign them before deleting the workspace."
                )));
            }
        }
        objects.delete(grant, VERSION, &DeleteOptions::default()).await.map(drop)
    }

    /// Where artifacts of a namespace's new experiments go. Those of namespaces other than the default lie in folders of
    /// their own, unless they were given a place.
    pub(crate) fn artifact_root(&self, namespace: &str) -> String {
        let given = self.namespaces.get("", namespace).and_then(|workspace| workspace.default_artifact_root.clone());
        let root = self.config.default_artifact_root.trim_end_matches('/');
        match given {
            Some(given) => given.trim_end_matches('/').to_owned(),
            None if namespace == crate::mlflow::DEFAULT_WORKSPACE => root.to_owned(),
            None => format!("{root}/workspaces/{namespace}"),
        }
    }
}
