//! One request to its upstream, with further tries.

use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;

use super::retry::Conditions;
use super::upstreams::{Addresses, Upstream};
use super::{Body, BoxError};
use crate::routes::Retries;

/// Why there is no answer of an upstream.
#[derive(Debug)]
pub(super) enum Failure {
    /// The version is not running.
    Missing,
    /// No address connects.
    Unreachable,
    /// It broke off.
    Broken,
    /// It took too long.
    Late,
}

impl Failure {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Missing | Self::Unreachable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken => StatusCode::BAD_GATEWAY,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Whether nothing came of it anywhere, so that another version may be asked.
    pub(super) fn is_unheard(&self) -> bool {
        matches!(self, Self::Missing | Self::Unreachable)
    }

    pub(super) fn message(&self) -> &'static str {
        match self {
            Self::Missing => "the version is not running",
            Self::Unreachable => "no upstream of this version can be reached",
            Self::Broken => "the upstream broke off",
            Self::Late => "the upstream did not answer in time",
        }
    }
}

/// A request as it is sent on.
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) target: PathAndQuery,
    pub(super) headers: HeaderMap,
    pub(super) body: Content,
}

/// The body.
pub(super) enum Content {
    /// Known as a whole, so that it can be sent again.
    Whole(Bytes),
    /// Passing through.
    Stream(Body),
    /// It has passed.
    Gone,
}

impl Content {
    /// The body for one try; a stream is there once.
    fn take(&mut self) -> Option<Body> {
        match self {
            Self::Whole(bytes) => Some(Full::new(bytes.clone()).map_err(|never| match never {}).boxed_unsync()),
            Self::Stream(_) | Self::Gone => match std::mem::replace(self, Self::Gone) {
                Self::Stream(body) => Some(body),
                _ => None,
            },
        }
    }
}

/// What further tries are held to.
pub(super) struct Tries<'t> {
    pub(super) retries: Option<&'t Retries>,
    /// Whether another version can answer instead.
    pub(super) elsewhere: bool,
    /// What the version wants changed.
    pub(super) change: &'t (dyn Fn(&mut HeaderMap) + Sync),
}

impl Outgoing {
    /// Whether there still is a body to be sent.
    pub(super) fn is_left(&self) -> bool {
        !matches!(self.body, Content::Gone)
    }

    /// Sends the request, to another address or again as far as that is allowed.
    pub(super) async fn send(
        &mut self,
        upstream: &Upstream,
        client: &Client<HttpConnector, Body>,
        tries: &Tries<'_>,
    ) -> Result<Response<Body>, Failure> {
        match upstream {
            Upstream::Local(local) => {
                let request = self.request(None, tries).ok_or(Failure::Broken)?;
                local.call(request).await.map_err(|_| Failure::Broken)
            }
            Upstream::Http(addresses) => self.over_http(addresses, client, tries).await,
        }
    }

    async fn over_http(
        &mut self,
        addresses: &Addresses,
        client: &Client<HttpConnector, Body>,
        tries: &Tries<'_>,
    ) -> Result<Response<Body>, Failure> {
        let retries = tries.retries;
        let mut conditions = Conditions::of(retries);
        let again = matches!(self.body, Content::Whole(_));
        let mut left = retries.map_or(0, |retries| retries.attempts);
        if retries.is_none() && self.method.is_idempotent() {
            // A connection that was kept may have ended unnoticed (RFC 9110, 9.2.2).
            (conditions.reset, left) = (true, 1);
        }
        let per_try = retries.and_then(|retries| retries.per_try);
        let order = addresses.in_turn(tries.elsewhere);
        // Every address may refuse once; tries of the rule come on top.
        let most = if order.is_empty() { 0 } else { order.len() + left as usize };
        let mut failure = Failure::Unreachable;
        for (tried, address) in order.iter().cycle().take(most).enumerate() {
            let request = self.request(Some(&address.authority), tries).ok_or(Failure::Broken)?;
            let spare = again && left > 0 && tried + 1 < most;
            failure = match within(per_try, client.request(request)).await {
                Some(Ok(response)) if spare && conditions.again(response.status()) => Failure::Broken,
                Some(Ok(response)) => return Ok(response.map(incoming)),
                // Nothing was sent, so this costs no try of the rule.
                Some(Err(error)) if error.is_connect() => {
                    addresses.avoid(address);
                    if !again {
                        return Err(Failure::Unreachable);
                    }
                    failure = Failure::Unreachable;
                    continue;
                }
                Some(Err(_)) if spare && conditions.reset => Failure::Broken,
                Some(Err(_)) => return Err(Failure::Broken),
                None if spare && conditions.again(StatusCode::GATEWAY_TIMEOUT) => Failure::Late,
                None => return Err(Failure::Late),
            };
            left -= 1;
        }
        Err(failure)
    }

    fn request(&mut self, authority: Option<&Authority>, tries: &Tries<'_>) -> Option<Request<Body>> {
        let mut request = Request::new(self.body.take()?);
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        (tries.change)(request.headers_mut());
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(self.target.clone());
        if let Some(authority) = authority {
            parts.scheme = Some(Scheme::HTTP);
            parts.authority = Some(authority.clone());
        }
        *request.uri_mut() = Uri::from_parts(parts).ok()?;
        Some(request)
    }
}

fn incoming(body: hyper::body::Incoming) -> Body {
    body.map_err(|error| Box::new(error) as BoxError).boxed_unsync()
}

async fn within<T>(limit: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, work).await.ok(),
        None => Some(work.await),
    }
}
