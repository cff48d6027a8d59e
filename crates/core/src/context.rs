//! Who is calling, and which trace the call belongs to. The first argument of every service function.

use std::collections::BTreeMap;

use crate::trace::TraceId;

/// An authenticated caller, in the terms of Kubernetes' `UserInfo`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// Unique name: a local user's name, or `system:serviceaccount:NAMESPACE:NAME`.
    pub name: String,
    /// Stable id; empty where there is none.
    pub uid: String,
    /// Groups, `system:authenticated` among them.
    pub groups: Vec<String>,
    /// Further facts about the credential.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// The group whose members may do everything, as in Kubernetes; only the server itself hands it out.
pub const MASTERS: &str = "system:masters";
/// The group of every caller with a valid credential.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of callers without a credential.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The name of callers without a credential.
pub const ANONYMOUS: &str = "system:anonymous";

impl Caller {
    /// A part of the server itself, such as a controller: `system:mcplane:NAME`, in `system:masters`.
    pub fn system(name: &str) -> Self {
        Self {
            name: format!("system:mcplane:{name}"),
            groups: vec![MASTERS.to_owned(), AUTHENTICATED.to_owned()],
            ..Self::default()
        }
    }

    /// Nobody.
    pub fn anonymous() -> Self {
        Self { name: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..Self::default() }
    }

    /// Whether the caller has no credential.
    pub fn is_anonymous(&self) -> bool {
        self.name == ANONYMOUS
    }

    /// Whether the caller belongs to `group`.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}

/// What every service function is told about the call.
#[derive(Debug, Clone)]
pub struct Context {
    /// Who calls.
    pub caller: Caller,
    /// The trace that the call belongs to; new if the client sent none.
    pub trace: TraceId,
    /// The client's address, for the audit log; empty for calls from inside.
    pub source: String,
}

impl Context {
    /// The context of a part of the server itself.
    pub fn system(name: &str) -> Self {
        Self { caller: Caller::system(name), trace: TraceId::random(), source: String::new() }
    }
}
