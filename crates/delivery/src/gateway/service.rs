//! The gateway as a function from request to answer.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use ipnet::IpNet;

use super::forward::{Content, Failure, Outgoing, Tries};
use super::upstreams::Upstreams;
use super::{Body, BoxError, headers};
use crate::routes::{self, Action, Decision, Destination, Routes};

/// Says which version answered.
pub const VERSION: HeaderName = HeaderName::from_static("x-mcplane-version");
/// Says why it was that one.
pub const REASON: HeaderName = HeaderName::from_static("x-mcplane-reason");

/// Settings of a gateway.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Port that matches compare with.
    pub port: u16,
    /// Proxies whose `x-forwarded-for` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// For a connection to an upstream.
    pub connect_timeout: Duration,
    /// Until the head of the answer, where the rule says nothing.
    pub timeout: Duration,
    /// Bodies up to so many bytes are kept to be sent again.
    pub replayed_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: 5081,
            trusted_proxies: Vec::new(),
            connect_timeout: Duration::from_secs(1),
            timeout: Duration::from_secs(60),
            replayed_bytes: 256 << 10,
        }
    }
}

/// An answer that was given, for those who count.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// Which version was asked; `None` when the gateway answered itself.
    pub destination: Option<&'a Destination>,
    /// The status.
    pub status: StatusCode,
    /// Until the head of the answer was there.
    pub latency: Duration,
}

/// Is told of every answer; must be quick.
pub trait Observe: Send + Sync {
    /// An answer was given.
    fn answered(&self, answer: Answered<'_>);
}

/// What decides and where things are; replaced as a whole.
struct Table {
    routes: Routes,
    upstreams: Upstreams,
}

/// A gateway. Cheap to share by `Arc`.
pub struct Gateway {
    table: RwLock<Arc<Table>>,
    client: Client<HttpConnector, Body>,
    settings: Settings,
    observer: Option<Arc<dyn Observe>>,
    counter: AtomicU64,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway without routes.
    pub fn new(settings: Settings, observer: Option<Arc<dyn Observe>>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(settings.connect_timeout));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(connector);
        let table = Table { routes: Routes::default(), upstreams: Upstreams::default() };
        Self { table: RwLock::new(Arc::new(table)), client, settings, observer, counter: AtomicU64::new(0) }
    }

    /// New requests follow these routes from now on; those that began keep theirs.
    pub fn replace(&self, routes: Routes, upstreams: Upstreams) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Table { routes, upstreams });
    }

    /// Answers one request, which came from `peer` over `scheme` (`http` or `https`).
    pub async fn handle<B>(&self, request: Request<B>, peer: IpAddr, scheme: &'static str) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let began = Instant::now();
        let table = Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner));
        let (parts, body) = request.into_parts();
        let authority = authority(&parts).to_owned();
        let decision = table.routes.route(&routes::Request {
            method: parts.method.as_str(),
            scheme,
            authority: &authority,
            path: parts.uri.path(),
            query: parts.uri.query(),
            headers: &parts.headers,
            port: self.settings.port,
            peer: headers::origin(&parts.headers, peer, &self.settings.trusted_proxies),
            counter: self.counter.fetch_add(1, Ordering::Relaxed),
        });
        let (destination, response) = match decision {
            _ if parts.method == Method::CONNECT => {
                (None, failed(StatusCode::METHOD_NOT_ALLOWED, "the gateway makes no tunnels"))
            }
            None => (
                None,
                failed(StatusCode::NOT_FOUND, &format!("no route for {} at host {authority:?}", parts.uri.path())),
            ),
            Some(mut decision) => {
                let mut response = self.act(&table, &mut decision, parts, body, peer, scheme, &authority).await;
                decision.change_response(response.headers_mut());
                explain(&decision, response.headers_mut());
                let destination = match decision.action {
                    Action::Forward(destination) => Some(destination),
                    Action::Redirect { .. } | Action::Respond { .. } => None,
                };
                (destination, response)
            }
        };
        self.tell(destination.as_deref(), response.status(), began);
        response
    }

    fn tell(&self, destination: Option<&Destination>, status: StatusCode, began: Instant) {
        if let Some(observer) = &self.observer {
            observer.answered(Answered { destination, status, latency: began.elapsed() });
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one request, used once")]
    async fn act<B>(
        &self,
        table: &Table,
        decision: &mut Decision<'_>,
        parts: http::request::Parts,
        body: B,
        peer: IpAddr,
        scheme: &'static str,
        authority: &str,
    ) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let began = Instant::now();
        let mut destination = match &decision.action {
            Action::Forward(destination) => Arc::clone(destination),
            Action::Redirect { status, location } => return redirect(*status, location),
            Action::Respond { status, body } => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::OK);
                return answer(status, "text/plain; charset=utf-8", body.clone().into());
            }
        };
        let Some(target) = target(&parts, decision.path.as_deref()) else {
            return failed(StatusCode::BAD_REQUEST, "the path can't be sent on");
        };
        let limit = decision.timeout.unwrap_or(self.settings.timeout);
        let sent = tokio::time::timeout(limit, async {
            let mut headers = parts.headers;
            let body = self.content(&headers, body).await?;
            headers::end_here(&mut headers);
            headers::forwarded(&mut headers, peer, scheme, &self.settings.trusted_proxies);
            let mut outgoing = Outgoing { method: parts.method, target, headers, body };
            let mut tried = Vec::new();
            loop {
                let change = |headers: &mut HeaderMap| {
                    decision.change_request(headers);
                    if let Ok(host) = HeaderValue::from_str(decision.authority.unwrap_or(authority)) {
                        headers.insert(HOST, host);
                    }
                };
                let other = decision.other(&tried);
                let tries = Tries { retries: decision.retries, elsewhere: other.is_some(), change: &change };
                let sent = match table.upstreams.find(&destination) {
                    Some(upstream) => outgoing.send(upstream, &self.client, &tries).await,
                    None => Err(Failure::Missing),
                };
                let unheard = sent.as_ref().err().filter(|failure| failure.is_unheard() && outgoing.is_left());
                let Some((failure, other)) = unheard.zip(other) else { break Ok(sent) };
                // That it could not answer is its own error, whoever answers instead.
                self.tell(Some(&destination), failure.status(), began);
                decision.pass_to(Arc::clone(other));
                tried.push(std::mem::replace(&mut destination, Arc::clone(other)));
            }
        });
        match sent.await {
            Ok(Ok(Ok(mut response))) => {
                headers::end_here(response.headers_mut());
                response
            }
            Ok(Ok(Err(Failure::Missing))) => {
                let message = format!("version {:?} of {:?} is not running", destination.subset, destination.host);
                failed(Failure::Missing.status(), &message)
            }
            Ok(Ok(Err(failure))) => failed(failure.status(), failure.message()),
            Ok(Err::<_, BoxError>(_)) => failed(StatusCode::BAD_REQUEST, "the body broke off"),
            Err(_) => failed(Failure::Late.status(), Failure::Late.message()),
        }
    }

    /// A body whose length is known and small is read whole.
    async fn content<B>(&self, headers: &HeaderMap, body: B) -> Result<Content, BoxError>
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let length = body.size_hint().exact();
        let told = headers.contains_key(CONTENT_LENGTH) || length == Some(0);
        if told && length.is_some_and(|length| length <= self.settings.replayed_bytes as u64) {
            return Ok(Content::Whole(body.collect().await.map_err(Into::into)?.to_bytes()));
        }
        Ok(Content::Stream(body.map_err(Into::into).boxed_unsync()))
    }
}

/// The host that was asked for: of the address if it has one (RFC 9112, 3.2.2), else the header.
fn authority(parts: &http::request::Parts) -> &str {
    let header = || parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    parts.uri.authority().map(http::uri::Authority::as_str).or_else(header).unwrap_or_default()
}

fn target(parts: &http::request::Parts, path: Option<&str>) -> Option<PathAndQuery> {
    match (path, parts.uri.query()) {
        (None, _) => parts.uri.path_and_query().cloned(),
        (Some(path), None) => path.parse().ok(),
        (Some(path), Some(query)) => format!("{path}?{query}").parse().ok(),
    }
}

fn explain(decision: &Decision<'_>, headers: &mut HeaderMap) {
    if let Action::Forward(destination) = &decision.action {
        headers.extend(HeaderValue::from_str(destination.version()).ok().map(|value| (VERSION, value)));
    }
    headers.extend(HeaderValue::from_str(&decision.explain()).ok().map(|value| (REASON, value)));
}

fn failed(status: StatusCode, message: &str) -> Response<Body> {
    let body = serde_json::json!({ "error": message }).to_string();
    answer(status, "application/json", body.into())
}

fn redirect(status: u16, location: &str) -> Response<Body> {
    let Ok(location) = HeaderValue::from_str(location) else {
        return failed(StatusCode::BAD_REQUEST, "the address can't be redirected to");
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::MOVED_PERMANENTLY);
    let mut response = answer(status, "text/plain; charset=utf-8", Bytes::new());
    response.headers_mut().insert(LOCATION, location);
    response
}

fn answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
