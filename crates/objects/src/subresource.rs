//! Things that are posted to and answered, not stored: `serviceaccounts/token`, `selfsubjectaccessreviews`. And things that
//! are only read, and are no objects: `pods/log`.

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use futures::future::BoxFuture;
use mcplane_core::{Grant, Result};
use serde_json::Value;

/// Does what was posted, and answers with the object completed.
pub trait Perform: Send + Sync {
    /// `grant` names the parent object, if there is one; `body` is of the action's kind.
    fn perform<'a>(&'a self, grant: &'a Grant, body: Value) -> BoxFuture<'a, Result<Value>>;
}

/// A resource or subresource that takes `create` alone.
#[derive(Clone)]
pub struct Action {
    /// Group of the path: that of the parent for subresources.
    pub path_group: &'static str,
    /// Version of the path.
    pub path_version: &'static str,
    /// `token`, `selfsubjectaccessreviews`.
    pub name: &'static str,
    /// Singular name; empty for subresources.
    pub singular: &'static str,
    /// `authentication.k8s.io/v1`.
    pub api_version: &'static str,
    /// `TokenRequest`.
    pub kind: &'static str,
    /// Whether the path has a namespace.
    pub namespaced: bool,
    /// What it does.
    pub perform: Arc<dyn Perform>,
}

/// Answers with what is no object.
pub trait Read: Send + Sync {
    /// `grant` names the parent object; `query` is the query of the request, still encoded.
    fn read<'a>(&'a self, grant: &'a Grant, query: &'a str) -> BoxFuture<'a, Result<Body>>;
}

/// A subresource that takes `get` alone.
#[derive(Clone)]
pub struct Reading {
    /// `log`.
    pub name: &'static str,
    /// What the body is.
    pub content_type: &'static str,
    /// Makes the body.
    pub read: Arc<dyn Read>,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reading").field(&self.name).finish()
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Action").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}
