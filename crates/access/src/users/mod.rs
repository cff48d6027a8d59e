//! Local users: the kind `User`, which is a projection of the `users` table, their passwords, and their logins.
//!
//! A password comes in through `spec.password`, is hashed by [`admission`] and kept in the table alone: what is stored as
//! the object, sent to watches, answered and audited is made from the other columns.

mod admission;
mod attempts;
mod basic;
mod hasher;
mod kind;
mod login;
pub mod password;
mod row;
mod storage;

use std::sync::Arc;

use mcplane_core::{Error, Result};
use mcplane_db::Db;
use mcplane_objects::storage::Storage;
use mcplane_objects::{Mirror, RegisteredKind, Registry, Resource as _};
use serde::Deserialize;

pub(crate) use basic::BasicLogins;
pub use kind::{User, UserSpec};
pub(crate) use login::Logins;
pub use storage::UserStorage;

use crate::rbac::RbacAuthorizer;
use crate::tokens::LocalUser;
use hasher::Hasher;

/// The API group of mcplane's own kinds.
pub const GROUP: &str = "mcplane.io";

/// The local users of a running server.
pub(crate) struct Users {
    db: Db,
    storage: Arc<UserStorage>,
    known: Mirror<Known>,
    hasher: Arc<Hasher>,
}

/// What a token is compared with.
#[derive(Debug, PartialEq, Eq)]
struct Known {
    id: i64,
    role: String,
    enabled: bool,
    revision: u64,
}

impl Users {
    pub(crate) async fn start(db: &Db) -> Result<Self> {
        let storage = Arc::new(UserStorage::new(db.clone()));
        let known = Mirror::start(db, &*storage, &User::KIND.resource().into(), Known::read, |_| ()).await?;
        Ok(Self { db: db.clone(), storage, known, hasher: Arc::new(Hasher::new()) })
    }

    /// Registers the kind.
    pub(crate) fn register(&self, registry: &mut Registry, authorizer: &Arc<RbacAuthorizer>) {
        let storage: Arc<dyn Storage> = Arc::clone(&self.storage) as _;
        let guard = admission::Passwords::new(self.db.clone(), Arc::clone(&self.hasher), Arc::clone(authorizer));
        registry.add(RegisteredKind::new::<User>(storage).admit(Arc::new(guard)));
    }

    /// Whether anybody could log in.
    pub(crate) fn exist(&self) -> bool {
        self.known.all().iter().any(|user| user.enabled)
    }

    /// The revision of the user of that name, if there is one.
    fn revision(&self, name: &str) -> Option<u64> {
        self.known.get("", name).map(|user| user.revision)
    }

    /// Whether the user of a token is still the one that it was issued to.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] if not.
    pub(crate) fn check(&self, user: &LocalUser) -> Result<()> {
        let refuse = |why: &str| Err(Error::Unauthorized(format!("the token's user {why}: log in again")));
        match self.known.get("", &user.name) {
            Some(known) if known.id == user.uid && known.enabled && known.role == user.role => Ok(()),
            Some(known) if known.id == user.uid && known.enabled => refuse("has another role now"),
            _ => refuse("no longer exists or is disabled"),
        }
    }
}

impl Known {
    fn read(stored: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            metadata: Metadata,
            spec: Spec,
            status: Status,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            deletion_timestamp: Option<String>,
            resource_version: String,
        }
        #[derive(Deserialize)]
        struct Spec {
            role: String,
            disabled: bool,
        }
        #[derive(Deserialize)]
        struct Status {
            id: i64,
        }
        let Body { metadata, spec, status } = serde_json::from_str(stored).ok()?;
        let enabled = !spec.disabled && metadata.deletion_timestamp.is_none();
        let revision = metadata.resource_version.parse().ok()?;
        Some(Self { id: status.id, role: spec.role, enabled, revision })
    }
}

/// The caller that a local user is once logged in.
fn caller(name: &str, id: i64, role: &str) -> mcplane_core::Caller {
    let user = LocalUser { name: name.to_owned(), uid: id, role: role.to_owned() };
    crate::tokens::Identity::User { user, token_id: String::new() }.caller()
}

/// A text in the stored or sent object.
fn spec_text<'a>(user: &'a serde_json::Value, field: &str) -> Option<&'a str> {
    user.get("spec")?.get(field)?.as_str()
}
