//! Where destinations are.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::HashMap;
use http::uri::Authority;
use http::{Request, Response};

use super::{Body, BoxError};
use crate::routes::Destination;

/// A function of this process that answers requests, such as a model in memory.
pub trait Local: Send + Sync {
    /// Answers one request.
    fn call(&self, request: Request<Body>) -> Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;
}

/// Addresses that serve the same, used in turn.
#[derive(Debug)]
pub struct Addresses {
    all: Vec<Authority>,
    turn: AtomicUsize,
}

impl Addresses {
    /// Addresses such as `10.0.0.1:8080`.
    pub fn new(all: impl IntoIterator<Item = Authority>) -> Self {
        Self { all: all.into_iter().collect(), turn: AtomicUsize::new(0) }
    }

    /// All addresses, beginning with the one whose turn it is.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = &Authority> {
        let start = self.turn.fetch_add(1, Ordering::Relaxed) % self.all.len().max(1);
        self.all[start..].iter().chain(&self.all[..start])
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}

/// Where one destination is.
#[derive(Clone)]
pub enum Upstream {
    /// At addresses, over HTTP/1.1.
    Http(Arc<Addresses>),
    /// In this process.
    Local(Arc<dyn Local>),
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(addresses) => f.debug_tuple("Http").field(&addresses.all).finish(),
            Self::Local(_) => f.write_str("Local"),
        }
    }
}

/// Upstreams by service and version.
#[derive(Debug, Clone, Default)]
pub struct Upstreams {
    by_host: HashMap<String, HashMap<String, Upstream>>,
}

impl Upstreams {
    /// Says where a version of a service is; the version is empty for a service without versions.
    pub fn insert(&mut self, host: impl Into<String>, subset: impl Into<String>, upstream: Upstream) {
        self.by_host.entry(host.into()).or_default().insert(subset.into(), upstream);
    }

    pub(super) fn find(&self, destination: &Destination) -> Option<&Upstream> {
        self.by_host.get(&destination.host)?.get(&destination.subset)
    }
}
