//! A row of the `users` table, and the object that it is shown as.

use std::sync::Arc;

use mcplane_core::{Error, Result, clock};
use mcplane_db::{Arg, Revision, Row};
use mcplane_objects::object::{Body, ObjectExt as _};
use mcplane_objects::storage::Stored;
use serde_json::{Map, Value, json};

use super::spec_text;

/// The columns, in the order of [`UserRow::read`] and [`UserRow::into_args`].
pub(super) const COLUMNS: &str =
    "name, id, uid, role, disabled, password_hash, created_at, revision, generation, metadata";
pub(super) const COLUMN_COUNT: usize = 10;

/// Fields of the metadata with a column of their own.
const OWN_COLUMN: [&str; 5] = ["name", "uid", "creationTimestamp", "generation", "resourceVersion"];

/// The field of the spec in which the admission hands a new hash to the storage; no schema knows it.
pub(super) const PASSWORD_HASH: &str = "passwordHash";

/// A user as stored. Not printable: it holds the hash of the password.
#[derive(Clone)]
pub(super) struct UserRow {
    pub(super) name: Arc<str>,
    pub(super) id: i64,
    uid: String,
    pub(super) role: String,
    pub(super) disabled: bool,
    /// Empty for a user without a password, who can't log in.
    password_hash: String,
    created_at: i64,
    pub(super) revision: Revision,
    generation: i64,
    /// The rest of the metadata.
    metadata: Map<String, Value>,
}

impl UserRow {
    pub(super) fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            name: row.text(0)?.into(),
            id: row.int(1)?,
            uid: row.text(2)?.to_owned(),
            role: row.text(3)?.to_owned(),
            disabled: row.int(4)? != 0,
            password_hash: row.text(5)?.to_owned(),
            created_at: row.int(6)?,
            revision: row.int(7)?,
            generation: row.int(8)?,
            metadata: serde_json::from_str(row.text(9)?).map_err(Error::internal)?,
        })
    }

    /// The row that `body` asks for; what it leaves out is taken from the row before.
    pub(super) fn from_body(name: &Arc<str>, body: &Body, id: i64, before: Option<&Self>) -> Result<Self> {
        let user: Value = serde_json::from_str(&body.unrevised()).map_err(Error::internal)?;
        let created = user.meta_text("creationTimestamp");
        let created_at = clock::parse_rfc3339(created).ok_or_else(|| Error::internal("a user without a birthday"))?;
        let metadata = user["metadata"].as_object().cloned().unwrap_or_default();
        let new_hash = spec_text(&user, PASSWORD_HASH).map(str::to_owned);
        let old_hash = before.map(|before| before.password_hash.clone());
        Ok(Self {
            name: Arc::clone(name),
            id,
            uid: user.uid().to_owned(),
            role: spec_text(&user, "role").unwrap_or_default().to_owned(),
            disabled: user["spec"]["disabled"].as_bool().unwrap_or(false),
            password_hash: new_hash.or(old_hash).unwrap_or_default(),
            created_at,
            revision: before.map_or(0, |before| before.revision),
            generation: user.meta("generation").and_then(Value::as_i64).unwrap_or(1),
            metadata: metadata.into_iter().filter(|(key, _)| !OWN_COLUMN.contains(&key.as_str())).collect(),
        })
    }

    pub(super) fn into_args(self) -> Result<Vec<Arg>> {
        let metadata = serde_json::to_string(&self.metadata).map_err(Error::internal)?;
        Ok(vec![
            Arg::from(self.name),
            Arg::from(self.id),
            Arg::from(self.uid),
            Arg::from(self.role),
            Arg::from(self.disabled),
            Arg::from(self.password_hash),
            Arg::from(self.created_at),
            Arg::from(self.revision),
            Arg::from(self.generation),
            Arg::from(metadata),
        ])
    }

    /// The hash of the password; `None` for a user without one.
    pub(super) fn password_hash(&self) -> Option<&str> {
        Some(self.password_hash.as_str()).filter(|hash| !hash.is_empty())
    }

    /// Whether the user may log in with the right password.
    pub(super) fn may_log_in(&self) -> bool {
        !self.disabled && !self.metadata.contains_key("deletionTimestamp")
    }

    /// The object, complete but for its revision. The one place where a row becomes visible.
    pub(super) fn body(&self) -> Result<Body> {
        let mut metadata = self.metadata.clone();
        metadata.insert("name".to_owned(), (&*self.name).into());
        metadata.insert("uid".to_owned(), self.uid.as_str().into());
        metadata.insert("creationTimestamp".to_owned(), clock::rfc3339(self.created_at).into());
        metadata.insert("generation".to_owned(), self.generation.into());
        Body::encode(&json!({
            "metadata": metadata,
            "spec": {"role": self.role, "disabled": self.disabled},
            "status": {"id": self.id},
        }))
    }

    pub(super) fn stored(&self) -> Result<Stored> {
        let body = self.body()?.at(self.revision);
        Ok(Stored { namespace: "".into(), name: Arc::clone(&self.name), revision: self.revision, body })
    }
}
