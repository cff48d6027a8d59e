//! Checks, and changes, that a write passes between validation and storage, where they need more than the object: the
//! caller, other objects, a slow computation.

use futures::future::BoxFuture;
use mcplane_core::{Context, Result};
use serde_json::Value;

use crate::kind::RegisteredKind;

/// The write that asks for admission.
#[derive(Debug)]
pub struct Request<'a> {
    /// Who writes.
    pub context: &'a Context,
    /// The kind of the object.
    pub kind: &'a RegisteredKind,
    /// Namespace; empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// The stored object on update; `None` on creation.
    pub old: Option<&'a Value>,
    /// Whether nothing will be stored, so that slow work and effects are to be left out.
    pub dry_run: bool,
}

/// A check that may also change the object.
pub trait Admission: Send + Sync {
    /// Admits `new` or explains why not.
    fn admit<'a>(&'a self, request: Request<'a>, new: &'a mut Value) -> BoxFuture<'a, Result<()>>;
}
