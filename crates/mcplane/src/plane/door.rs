//! From a request to the service that it means.
//!
//! 1. `/serving/NAMESPACE/NAME/…` is that host's, and the rest of the path.
//! 2. A host that is known is meant; `NAME.NAMESPACE.DOMAIN` is `NAME.NAMESPACE`.
//! 3. `/v2/models/NAME/…` at any other host is the service of that name in namespace `default`; `/invocations` is the only
//!    service's, if there is one.
//! 4. What is left is asked of the server as a whole.

use std::any::Any;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, StatusCode, Uri, header};
use http_body_util::Limited;
use mcplane_core::Error;
use mcplane_delivery::gateway::Gateway;
use mcplane_serving::services::Fleet;
use tower::ServiceExt as _;

use super::auth::Guard;
use super::table::Built;
use super::watch::Known;
use crate::server::Transport;

/// What begins a path that names its service.
const PREFIX: &str = "/serving/";
const MODELS: &str = "/v2/models/";
const DEFAULT: &str = "default";

/// What requests meet.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) gateway: Arc<Gateway>,
    pub(super) known: Known,
    pub(super) fleet: Arc<Fleet>,
    /// Routes of the server as a whole.
    pub(super) server: Router,
    /// Domain of services, with a dot before it.
    pub(super) domain: Arc<str>,
    /// Largest body, in bytes.
    pub(super) most: u64,
    /// Origins of web pages that may ask.
    pub(super) origins: HashSet<String>,
    pub(super) guard: Option<Guard>,
}

/// The door as a router.
pub(super) fn router(door: Door) -> Router {
    Router::new().fallback(enter).with_state(Arc::new(door))
}

/// An error in the words of the protocol.
pub(super) fn failure(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(serde_json::json!({"error": message}))).into_response()
}

fn refused(error: &Error) -> Response {
    let status = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    failure(status, &error.to_string())
}

async fn enter(State(door): State<Arc<Door>>, request: Request) -> Response {
    let answer = AssertUnwindSafe(door.answer(request)).catch_unwind().await;
    answer.unwrap_or_else(|panic| panicked(panic.as_ref()))
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let reason = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(reason = reason.unwrap_or("unknown"), "a request for inference panicked");
    failure(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
}

/// Who is meant.
#[derive(Debug, PartialEq, Eq)]
enum Meant {
    /// A host, and the path to ask it for where that differs.
    Host(String, Option<String>),
    Server,
}

/// Follows the rules above.
fn meant(built: &Built, domain: &str, host: &str, path: &str, only: impl Fn() -> Option<String>) -> Meant {
    if let Some(rest) = path.strip_prefix(PREFIX) {
        let mut parts = rest.splitn(3, '/');
        let (namespace, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let rest = parts.next().unwrap_or_default();
        if !namespace.is_empty() && !name.is_empty() {
            return Meant::Host(format!("{name}.{namespace}"), Some(format!("/{rest}")));
        }
    }
    let short = host.strip_suffix(domain);
    if let Some(host) = [Some(host), short].into_iter().flatten().find(|host| built.owner(host).is_some()) {
        return Meant::Host(host.to_owned(), None);
    }
    if let Some(name) =
        path.strip_prefix(MODELS).and_then(|rest| rest.split('/').next()).filter(|name| !name.is_empty())
    {
        return Meant::Host(format!("{name}.{DEFAULT}"), None);
    }
    match only().filter(|_| path == "/invocations") {
        Some(host) => Meant::Host(host, None),
        None => Meant::Server,
    }
}

/// A host without port, final dot and capitals.
fn bare(authority: &str) -> String {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

impl Door {
    async fn answer(&self, mut request: Request) -> Response {
        if let Some(refusal) = self.refusal(&request) {
            return refusal;
        }
        let built = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(built) = built else {
            return failure(StatusCode::SERVICE_UNAVAILABLE, "the server is starting: ask again");
        };
        let header = || request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let authority = request.uri().authority().map(http::uri::Authority::as_str).or_else(header);
        let host = bare(authority.unwrap_or_default());
        match meant(&built, &self.domain, &host, request.uri().path(), || self.only()) {
            Meant::Server => self.of_server(request).await,
            Meant::Host(host, path) => {
                let owner = built.owner(&host);
                if let Some(guard) = &self.guard {
                    let (name, namespace) = host.split_once('.').unwrap_or((&host, ""));
                    let (namespace, name) = owner.map_or((namespace, name), |(namespace, name)| (namespace, name));
                    if let Err(error) = guard.check(request.extensions(), namespace, name) {
                        return refused(&error);
                    }
                }
                if owner.is_none() {
                    let (name, namespace) = host.split_once('.').unwrap_or((&host, ""));
                    let message = format!("there is no model {name:?}: namespace {namespace:?} has no such service");
                    return failure(StatusCode::NOT_FOUND, &message);
                }
                if let Err(refusal) = redirect(&mut request, &host, path) {
                    return *refusal;
                }
                self.forward(request).await
            }
        }
    }

    /// Why a request goes no further.
    fn refusal(&self, request: &Request) -> Option<Response> {
        // Web pages of others could ask whatever this machine reaches.
        if let Some(origin) = request.headers().get(header::ORIGIN) {
            let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
            if !self.origins.contains(&origin) {
                let message = format!("origin {origin:?} may not call this server; server.allowed-origins can add it");
                return Some(failure(StatusCode::FORBIDDEN, &message));
            }
        }
        let told = request.headers().get(header::CONTENT_LENGTH);
        let told = told.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        told.filter(|length| *length > self.most).map(|_| {
            let message = format!("the body is larger than the limit of {} bytes", self.most);
            failure(StatusCode::PAYLOAD_TOO_LARGE, &message)
        })
    }

    /// The only service that there is.
    fn only(&self) -> Option<String> {
        match self.fleet.all().as_slice() {
            [service] => Some(format!("{}.{}", service.name, service.namespace)),
            _ => None,
        }
    }

    async fn of_server(&self, request: Request) -> Response {
        if self.guard.is_some() && request.method() == Method::POST {
            let message = "what there is, is told by the object API: kubectl get inferenceservices";
            return failure(StatusCode::FORBIDDEN, message);
        }
        match self.server.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    async fn forward(&self, request: Request) -> Response {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let peer = peer.unwrap_or(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
        let tls = request.extensions().get::<Transport>() == Some(&Transport::Tls);
        let most = usize::try_from(self.most).unwrap_or(usize::MAX);
        let request = request.map(|body| Limited::new(body, most));
        let scheme = if tls { "https" } else { "http" };
        self.gateway.handle(request, peer, scheme).await.map(Body::new)
    }
}

/// Gives the request the host that is meant, and the path.
fn redirect(request: &mut Request, host: &str, path: Option<String>) -> Result<(), Box<Response>> {
    let unreadable = || Box::new(failure(StatusCode::BAD_REQUEST, "host and path can't be read"));
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let target: PathAndQuery = match path {
        Some(path) => format!("{path}{query}").parse().map_err(|_| unreadable())?,
        None => request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")),
    };
    *request.uri_mut() = Uri::from(target);
    let host = HeaderValue::from_str(host).map_err(|_| unreadable())?;
    request.headers_mut().insert(header::HOST, host);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_count_before_paths() {
        let mut built = Built::default();
        let own = |namespace: &str, name: &str| (namespace.to_owned(), name.to_owned());
        built.owners.insert("iris.default".to_owned(), own("default", "iris"));
        built.owners.insert("iris.prod".to_owned(), own("prod", "iris"));
        built.wild.push((".example.com".to_owned(), own("prod", "any")));
        let find = |authority: &str, path: &str| meant(&built, ".localhost", &bare(authority), path, || None);
        let host = |host: &str, path: Option<&str>| Meant::Host(host.to_owned(), path.map(str::to_owned));
        assert_eq!(find("iris.prod:5081", "/v2/models/iris/infer"), host("iris.prod", None));
        assert_eq!(find("IRIS.prod.localhost:5081", "/x"), host("iris.prod", None));
        assert_eq!(find("a.example.com.", "/x"), host("a.example.com", None));
        assert_eq!(find("127.0.0.1:5081", "/v2/models/iris/infer"), host("iris.default", None));
        assert_eq!(find("iris.prod", "/serving/a/b/v2/models/b"), host("b.a", Some("/v2/models/b")));
        assert_eq!(find("x", "/serving/a/b"), host("b.a", Some("/")));
        for path in ["/", "/v2", "/serving/a", "/v2/models/", "/invocations", "/v2/health/ready"] {
            assert_eq!(find("[::1]:5081", path), Meant::Server, "{path}");
        }
        let only = || Some("iris.default".to_owned());
        assert_eq!(meant(&built, ".localhost", "127.0.0.1", "/invocations", only), host("iris.default", None));
    }
}
