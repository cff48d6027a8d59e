//! Service accounts: their tokens, and whether the account behind a token still exists.

mod request;

use std::sync::{Arc, OnceLock};

use mcplane_core::{Error, Result};
use mcplane_db::Db;
use mcplane_objects::kinds::ServiceAccount as Account;
use mcplane_objects::object::Head;
use mcplane_objects::storage::{Key, Storage, Stored};
use mcplane_objects::{Action, Mirror, RegisteredKind, Registry, Resource as _};
use serde::Deserialize;

use crate::tokens::{BoundKind, BoundObject, LocalIssuer, ServiceAccount};

/// The service accounts of a running server.
pub(crate) struct ServiceAccounts {
    db: Db,
    table: Arc<dyn Storage>,
    /// Where pods are, if there are any.
    pods: OnceLock<Arc<dyn Storage>>,
    known: Mirror<Known>,
}

/// What a token is compared with.
#[derive(Debug, PartialEq, Eq)]
struct Known {
    uid: String,
    deleting: bool,
}

impl ServiceAccounts {
    pub(crate) async fn start(db: &Db, table: &Arc<dyn Storage>) -> Result<Self> {
        let resource: Arc<str> = Account::KIND.resource().into();
        let known = Mirror::start(db, &**table, &resource, Known::read, |_| ()).await?;
        Ok(Self { db: db.clone(), table: Arc::clone(table), pods: OnceLock::new(), known })
    }

    /// Registers the kind with its subresource `token`.
    pub(crate) fn register(self: &Arc<Self>, registry: &mut Registry, issuer: &Arc<LocalIssuer>) {
        let kind = RegisteredKind::new::<Account>(Arc::clone(&self.table));
        registry.add(kind.action(Action {
            path_group: "",
            path_version: "v1",
            name: "token",
            singular: "",
            api_version: "authentication.k8s.io/v1",
            kind: "TokenRequest",
            namespaced: true,
            perform: Arc::new(request::TokenRequests::new(Arc::clone(self), Arc::clone(issuer))),
        }));
    }

    /// Whether the account of a token, and what the token is bound to, are still there.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] if not.
    pub(crate) async fn check(&self, account: &ServiceAccount) -> Result<()> {
        let gone = |what: &str| Error::Unauthorized(format!("the token's {what} no longer exists"));
        let known = self.known.get(&account.namespace, &account.name);
        if known.is_none_or(|known| known.uid != account.uid || known.deleting) {
            return Err(gone("service account"));
        }
        match &account.bound {
            None => Ok(()),
            Some(bound) => match self.bound_uid(&account.namespace, bound.kind, &bound.name).await? {
                Some(uid) if uid == bound.uid => Ok(()),
                _ => Err(gone("bound object")),
            },
        }
    }

    /// The uid of an account; `None` if it isn't there, or not for long.
    fn uid(&self, namespace: &str, name: &str) -> Option<String> {
        let known = self.known.get(namespace, name)?;
        (!known.deleting).then(|| known.uid.clone())
    }

    /// Has tokens bound to the pods of `storage`.
    pub(crate) fn keep_pods(&self, storage: Arc<dyn Storage>) {
        // The first stays; a server has one.
        let _ = self.pods.set(storage);
    }

    /// The uid of an object that tokens may be bound to. Metadata is never sealed, so the table serves for secrets too. A
    /// pod that has ended shows nobody to be anybody any more.
    async fn bound_uid(&self, namespace: &str, kind: BoundKind, name: &str) -> Result<Option<String>> {
        let (resource, namespace): (Arc<str>, _) = match kind {
            BoundKind::Secret => ("secrets".into(), namespace),
            BoundKind::Pod => ("pods".into(), namespace),
            BoundKind::Node => ("nodes".into(), ""),
        };
        let storage = if kind == BoundKind::Pod { self.pods.get().unwrap_or(&self.table) } else { &self.table };
        let Some(stored) = storage.get(&Key::new(&resource, namespace, name)).await? else { return Ok(None) };
        if kind == BoundKind::Pod && has_ended(&stored) {
            return Ok(None);
        }
        Head::of(&stored.body).map(|head| Some(head.metadata.uid))
    }
}

impl Known {
    fn read(stored: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            uid: String,
            deletion_timestamp: Option<String>,
        }
        let Body { metadata } = serde_json::from_str(stored).ok()?;
        Some(Self { uid: metadata.uid, deleting: metadata.deletion_timestamp.is_some() })
    }
}

/// Whether a pod is over.
fn has_ended(pod: &Stored) -> bool {
    #[derive(Deserialize)]
    struct Body {
        status: Status,
    }
    #[derive(Deserialize)]
    struct Status {
        phase: String,
    }
    let phase = serde_json::from_str(&pod.body).map(|Body { status: Status { phase } }| phase);
    phase.is_ok_and(|phase| phase == "Succeeded" || phase == "Failed")
}

/// What `kind` of a bound object's reference stands for, if tokens can be bound to it.
fn bound_kind(api_version: &str, kind: &str) -> Option<(BoundKind, &'static str)> {
    match (api_version, kind) {
        ("v1", "Pod") => Some((BoundKind::Pod, "pods")),
        ("v1", "Secret") => Some((BoundKind::Secret, "secrets")),
        _ => None,
    }
}

/// A bound object as tokens name it.
fn bound(kind: BoundKind, name: String, uid: String) -> BoundObject {
    BoundObject { kind, name, uid }
}
