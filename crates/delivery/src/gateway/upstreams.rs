//! Where destinations are.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

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

/// How long an address that did not connect is passed over, as far as there is another.
const PASSED_OVER: Duration = Duration::from_secs(5);

/// Addresses that serve the same, used in turn.
#[derive(Debug)]
pub struct Addresses {
    all: Vec<Address>,
    turn: AtomicUsize,
    since: Instant,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) authority: Authority,
    /// Milliseconds since the beginning at which it may be tried again.
    avoided_until: AtomicU64,
}

impl Addresses {
    /// Addresses such as `10.0.0.1:8080`.
    pub fn new(all: impl IntoIterator<Item = Authority>) -> Self {
        let of = |authority| Address { authority, avoided_until: AtomicU64::new(0) };
        Self { all: all.into_iter().map(of).collect(), turn: AtomicUsize::new(0), since: Instant::now() }
    }

    /// The addresses to try, beginning with the one whose turn it is. Those that did not connect a moment ago come last, or
    /// not at all if `elsewhere` somebody can answer instead.
    pub(super) fn in_turn(&self, elsewhere: bool) -> Vec<&Address> {
        let start = self.turn.fetch_add(1, Ordering::Relaxed) % self.all.len().max(1);
        let now = self.now();
        let avoided = |address: &&Address| address.avoided_until.load(Ordering::Relaxed) > now;
        let all = || self.all[start..].iter().chain(&self.all[..start]);
        let good = all().filter(|address| !avoided(address));
        good.chain(all().filter(|address| !elsewhere && avoided(address))).collect()
    }

    /// Nobody answered at an address.
    pub(super) fn avoid(&self, address: &Address) {
        let until = self.now() + PASSED_OVER.as_millis() as u64;
        address.avoided_until.store(until, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
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
            Self::Http(addresses) => f.debug_tuple("Http").field(addresses).finish(),
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
