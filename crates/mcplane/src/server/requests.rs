//! What happens around every request: its trace id, its span, its metrics, and a proper answer if a handler panics.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use mcplane_core::TraceId;
use prometheus_client::metrics::gauge::Gauge;
use tracing::{Instrument, field};

use super::metrics::{Metrics, RequestLabels};
use super::reply::failure;

const X_TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What [`observe`] needs to know.
#[derive(Debug, Clone)]
pub(super) struct Observer {
    /// Where requests are counted.
    pub metrics: Metrics,
    /// Whether a proxy in front tells the client's address.
    pub behind_proxy: bool,
}

/// Gives each request a [`TraceId`] and its client's address (as [`ConnectInfo`]) in its extensions, echoes the trace
/// id, and logs and counts the outcome.
pub(super) async fn observe(State(observer): State<Observer>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let trace = trace_of(request.headers());
    request.extensions_mut().insert(trace);
    if observer.behind_proxy {
        believe_proxy(&mut request);
    }
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
    let span = tracing::info_span!(
        "request",
        trace.id = %trace,
        http.request.method = %request.method(),
        url.path = request.uri().path(),
        client.address = address.map(field::display),
        user.name = field::Empty,
    );
    let call = Call::of(request.method(), request.uri().path(), request.uri().query().unwrap_or_default());
    let in_flight = InFlight::enter(observer.metrics.in_flight.clone());
    let outcome = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).await;
    drop(in_flight);

    let _entered = span.entered();
    let mut response = outcome.unwrap_or_else(|panic| panicked(panic.as_ref()));
    let status = response.status();
    let took = started.elapsed();
    if status.is_server_error() {
        tracing::warn!(http.response.status_code = status.as_u16(), event.duration = nanos(took), "request failed");
    } else {
        tracing::debug!(http.response.status_code = status.as_u16(), event.duration = nanos(took), "request answered");
    }
    observer.metrics.observe(call.labels(status), took);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::try_from(trace.to_string()) {
        headers.insert(X_TRACE_ID, value);
    }
    // Answers depend on who asks, and are not to be guessed at by browsers.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    response
}

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn trace_of(headers: &HeaderMap) -> TraceId {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    TraceId::from_headers(text("traceparent"), text("x-trace-id"))
}

/// The last address in `X-Forwarded-For` is the one that the nearest proxy saw; those before it are hearsay.
fn believe_proxy(request: &mut Request) {
    let told = request
        .headers()
        .get_all(X_FORWARDED_FOR)
        .iter()
        .next_back()
        .and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse::<IpAddr>().ok());
    if let Some(address) = told {
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(address, 0)));
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let reason = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(reason = reason.unwrap_or("unknown"), "a request handler panicked");
    failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "internal error")
}

/// Counts a request as in flight until dropped, also when the client goes away first.
struct InFlight(Gauge);

impl InFlight {
    fn enter(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What a request asks for, in the object API's terms.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    verb: &'static str,
    resource: String,
}

impl Call {
    fn of(method: &Method, path: &str, query: &str) -> Self {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let rest = match parts.as_slice() {
            ["api", _version, rest @ ..] => rest,
            ["apis", _group, _version, rest @ ..] => rest,
            _ => &[],
        };
        let (resource, named) = match rest {
            [] => return Self { verb: method_verb(method), resource: String::new() },
            ["namespaces", _, "status" | "finalize"] => ("namespaces", true),
            ["namespaces", _, resource, name @ ..] => (*resource, !name.is_empty()),
            [resource, name @ ..] => (*resource, !name.is_empty()),
        };
        let watches = query.split('&').any(|pair| matches!(pair, "watch" | "watch=true" | "watch=1"));
        let verb = match (method.as_str(), named) {
            ("GET", _) if watches => "watch",
            ("GET", true) => "get",
            ("GET", false) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", true) => "delete",
            ("DELETE", false) => "deletecollection",
            _ => method_verb(method),
        };
        Self { verb, resource: resource.to_owned() }
    }

    /// Only answers that no unknown resource gets carry its name, so that no caller can invent labels.
    fn labels(self, status: StatusCode) -> RequestLabels {
        let known = status.as_u16() < 400 || matches!(status.as_u16(), 409 | 410 | 422);
        RequestLabels {
            verb: self.verb,
            resource: if known { self.resource } else { String::new() },
            code: status.as_u16(),
        }
    }
}

fn method_verb(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "get",
        "HEAD" => "head",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "OPTIONS" => "options",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_named_in_kubernetes_terms() {
        for (method, path, query, verb, resource) in [
            ("GET", "/api/v1/configmaps", "", "list", "configmaps"),
            ("GET", "/api/v1/namespaces/a/configmaps", "limit=5&watch=true", "watch", "configmaps"),
            ("GET", "/api/v1/namespaces/a/configmaps/b", "", "get", "configmaps"),
            ("GET", "/api/v1/namespaces/a", "", "get", "namespaces"),
            ("PUT", "/api/v1/namespaces/a/finalize", "", "update", "namespaces"),
            (
                "DELETE",
                "/apis/networking.istio.io/v1/namespaces/a/virtualservices",
                "",
                "deletecollection",
                "virtualservices",
            ),
            ("PATCH", "/apis/g/v1/namespaces/a/things/b/status", "", "patch", "things"),
            ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", "", "create", "clusterroles"),
            ("GET", "/apis/g/v1", "", "get", ""),
            ("POST", "/auth/login", "", "post", ""),
            ("BREW", "/", "", "other", ""),
        ] {
            let call = Call::of(&method.parse().unwrap(), path, query);
            assert_eq!(call, Call { verb, resource: resource.into() }, "{method} {path}?{query}");
        }
    }

    #[test]
    fn callers_can_not_invent_labels() {
        let label =
            |code: u16| Call { verb: "get", resource: "x".into() }.labels(StatusCode::from_u16(code).unwrap()).resource;
        assert_eq!([200, 201, 409, 422].map(label), ["x"; 4]);
        assert_eq!([400, 401, 403, 404, 413, 504].map(label), [""; 6]);
    }

    #[test]
    fn only_the_nearest_proxy_is_believed() {
        let mut request = Request::builder()
            .header(X_FORWARDED_FOR, "1.1.1.1, 2.2.2.2")
            .header(X_FORWARDED_FOR, "3.3.3.3, 4.4.4.4")
            .body(axum::body::Body::empty())
            .unwrap();
        believe_proxy(&mut request);
        let address = request.extensions().get::<ConnectInfo<SocketAddr>>().unwrap().0.ip();
        assert_eq!(address.to_string(), "4.4.4.4");
    }
}
