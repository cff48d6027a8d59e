//! Who a verified token speaks of, and the caller that this makes.

use std::collections::BTreeMap;

use mcplane_core::context::{AUTHENTICATED, Caller};

use crate::rbac::bootstrap::ROLE_GROUP_PREFIX;

const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// Whom a token speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Identity {
    /// A local user.
    User {
        /// The user.
        user: LocalUser,
        /// Unique id of the token.
        token_id: String,
    },
    /// A service account. The token is good only while its account, and the object that it is bound to, exist with the
    /// same uid; whoever has a database checks that.
    ServiceAccount {
        /// The account.
        account: ServiceAccount,
        /// Unique id of the token.
        token_id: String,
    },
}

/// A local user, as its token names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalUser {
    /// Login name; none that starts with `system:`.
    pub name: String,
    /// Number of the user.
    pub uid: i64,
    /// The user's one role: `admin`, `editor`, `viewer` or a name of the operator's own.
    pub role: String,
}

/// A service account, as its token names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Namespace of the account.
    pub namespace: String,
    /// Name of the account.
    pub name: String,
    /// Uid of the account.
    pub uid: String,
    /// The object that the token lives and dies with, beside its account.
    pub bound: Option<BoundObject>,
}

/// An object that a token is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundObject {
    /// Kind of the object.
    pub kind: BoundKind,
    /// Name of the object.
    pub name: String,
    /// Uid of the object.
    pub uid: String,
}

/// Kinds of objects that a token may be bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoundKind {
    /// A Pod in the account's namespace.
    Pod,
    /// A Secret in the account's namespace.
    Secret,
    /// A Node.
    Node,
}

impl ServiceAccount {
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub fn user_name(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }
}

impl Identity {
    /// The unique id of the token.
    pub fn token_id(&self) -> &str {
        match self {
            Self::User { token_id, .. } | Self::ServiceAccount { token_id, .. } => token_id,
        }
    }

    /// The caller, in the terms of authorisation and audit.
    pub fn caller(&self) -> Caller {
        let mut extra = BTreeMap::from([(CREDENTIAL_ID.to_owned(), vec![format!("JTI={}", self.token_id())])]);
        match self {
            Self::User { user, .. } => Caller {
                name: user.name.clone(),
                uid: user.uid.to_string(),
                groups: vec![format!("{ROLE_GROUP_PREFIX}{}", user.role), AUTHENTICATED.to_owned()],
                extra,
            },
            Self::ServiceAccount { account, .. } => {
                let facts = account.bound.as_ref().and_then(|bound| match bound.kind {
                    BoundKind::Pod => Some(("pod", bound)),
                    BoundKind::Node => Some(("node", bound)),
                    BoundKind::Secret => None,
                });
                if let Some((kind, bound)) = facts {
                    extra.insert(format!("authentication.kubernetes.io/{kind}-name"), vec![bound.name.clone()]);
                    extra.insert(format!("authentication.kubernetes.io/{kind}-uid"), vec![bound.uid.clone()]);
                }
                Caller {
                    name: account.user_name(),
                    uid: account.uid.clone(),
                    groups: vec![
                        SERVICE_ACCOUNTS.to_owned(),
                        format!("{SERVICE_ACCOUNTS}:{}", account.namespace),
                        AUTHENTICATED.to_owned(),
                    ],
                    extra,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_belong_to_the_group_of_their_role() {
        let user = LocalUser { name: "ann".into(), uid: 1001, role: "editor".into() };
        let caller = Identity::User { user, token_id: "t1".into() }.caller();
        assert_eq!((caller.name.as_str(), caller.uid.as_str()), ("ann", "1001"));
        assert_eq!(caller.groups, ["mcplane:role:editor", "system:authenticated"]);
        assert_eq!(caller.extra[CREDENTIAL_ID], ["JTI=t1"]);
    }

    #[test]
    fn service_accounts_look_like_kubernetes() {
        let bound = BoundObject { kind: BoundKind::Pod, name: "p".into(), uid: "p-uid".into() };
        let account = ServiceAccount { namespace: "a".into(), name: "bot".into(), uid: "u".into(), bound: Some(bound) };
        let caller = Identity::ServiceAccount { account, token_id: "t1".into() }.caller();
        assert_eq!((caller.name.as_str(), caller.uid.as_str()), ("system:serviceaccount:a:bot", "u"));
        assert_eq!(caller.groups, ["system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"]);
        assert_eq!(caller.extra["authentication.kubernetes.io/pod-name"], ["p"]);
        assert_eq!(caller.extra["authentication.kubernetes.io/pod-uid"], ["p-uid"]);
        assert_eq!(caller.extra.len(), 3);
    }
}
