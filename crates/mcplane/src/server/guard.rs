//! What every request passes before routing: the host and origin check against DNS rebinding, the size of its body,
//! and the time it may take.
//!
//! A web page can have its own name resolve to 127.0.0.1 and then reach a local server as its "same origin". Such a
//! request still carries the page's name as Host, so a local server answers only to its own names.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::uri::Authority;
use http::{HeaderMap, StatusCode, header};
use http_body_util::Limited;

use super::exposure::Exposure;
use super::reply::failure;
use crate::config::ServerConfig;

const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Which names and pages the server answers to.
#[derive(Debug, Clone)]
pub struct HostPolicy {
    /// Names, lower case and without port; `None` allows any.
    hosts: Option<Vec<String>>,
    /// Whether any address will do as a host: nobody can make an address point elsewhere.
    addresses: bool,
    /// Origins besides the request's own host, lower case.
    origins: Vec<String>,
}

impl HostPolicy {
    /// The policy for a listener; `names` are those in the server's own certificate, none for a certificate of the
    /// user's.
    ///
    /// Behind a proxy, and with a certificate that we did not issue, the server can't know its names, so any will do
    /// there unless the configuration lists some. There a stolen name gains nothing without a token either.
    pub fn new(config: &ServerConfig, exposure: Exposure, names: &[String]) -> Self {
        let configured = config.allowed_hosts.iter().chain(&config.tls.san).map(|host| bare_host(host));
        let unknown = !exposure.is_local() && (exposure.proxied || names.is_empty());
        let any = config.allowed_hosts.iter().any(|host| host == "*") || unknown && config.allowed_hosts.is_empty();
        let mut hosts: Vec<String> = LOCAL_NAMES.map(str::to_owned).into_iter().chain(configured).collect();
        if !exposure.is_local() {
            hosts.extend(names.iter().map(|name| name.to_ascii_lowercase()));
        }
        let listen = config.listen.0.ip();
        if !listen.is_unspecified() {
            hosts.push(listen.to_string());
        }
        let origins = config.allowed_origins.iter().map(|origin| origin.to_ascii_lowercase()).collect();
        Self { hosts: (!any).then_some(hosts), addresses: !exposure.is_local(), origins }
    }

    fn check(&self, uri_authority: Option<&Authority>, headers: &HeaderMap) -> Result<(), String> {
        let mut header_values = headers.get_all(header::HOST).iter();
        let from_header = match (header_values.next(), header_values.next()) {
            (Some(value), None) => Some(
                value
                    .to_str()
                    .ok()
                    .and_then(|text| text.parse::<Authority>().ok())
                    .ok_or_else(|| "the Host header is not a host".to_owned())?,
            ),
            (None, _) => None,
            (Some(_), Some(_)) => return Err("the request has several Host headers".to_owned()),
        };
        let host = uri_authority.or(from_header.as_ref()).ok_or_else(|| "the request names no host".to_owned())?;
        for authority in uri_authority.into_iter().chain(from_header.as_ref()) {
            self.check_host(authority)?;
        }
        headers.get_all(header::ORIGIN).iter().try_for_each(|origin| self.check_origin(origin.to_str().ok(), host))
    }

    fn check_host(&self, authority: &Authority) -> Result<(), String> {
        let name = bare_host(authority.host());
        let plain = !authority.as_str().contains('@');
        let is_address = self.addresses && name.parse::<IpAddr>().is_ok();
        if plain && (is_address || self.hosts.as_ref().is_none_or(|hosts| hosts.contains(&name))) {
            return Ok(());
        }
        Err(format!("host {name:?} is not one of this server's names; server.allowed-hosts can add it"))
    }

    fn check_origin(&self, origin: Option<&str>, host: &Authority) -> Result<(), String> {
        let origin = origin.unwrap_or_default().to_ascii_lowercase();
        let own = origin.split_once("://").is_some_and(|(scheme, authority)| {
            let default_port = match scheme {
                "http" => ":80",
                "https" => ":443",
                _ => return false,
            };
            let without_default =
                |authority: &str| authority.strip_suffix(default_port).unwrap_or(authority).to_owned();
            without_default(authority) == without_default(&host.as_str().to_ascii_lowercase())
        });
        if own || self.origins.contains(&origin) {
            return Ok(());
        }
        Err(format!("origin {origin:?} may not call this server; server.allowed-origins can add it"))
    }
}

/// A host without port, brackets, final dot and capitals.
fn bare_host(host: &str) -> String {
    let name = host.parse::<Authority>().map_or_else(|_| host.to_owned(), |authority| authority.host().to_owned());
    name.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

/// Refuses requests for other hosts and from other origins.
pub(super) async fn check_host(
    State(policy): State<std::sync::Arc<HostPolicy>>,
    request: Request,
    next: Next,
) -> Response {
    match policy.check(request.uri().authority(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(message) => {
            tracing::warn!(message, "refused a request");
            failure(StatusCode::FORBIDDEN, "Forbidden", &message)
        }
    }
}

/// Paths, by how they begin, whose handlers hold requests to limits of their own.
#[derive(Debug, Clone, Copy, Default)]
pub struct OwnLimits {
    /// They limit the bodies that they read.
    pub bodies: &'static [Paths],
    /// They stream bodies of any length, and limit how long nothing may come.
    pub streams: &'static [Paths],
}

/// How the paths of one part of the application begin; `*` stands for any one segment.
pub type Paths = &'static [&'static str];

fn begins(path: &str, wanted: &str) -> bool {
    let Some((before, after)) = wanted.split_once('*') else { return path.starts_with(wanted) };
    let rest = path.strip_prefix(before).and_then(|rest| rest.find('/').map(|end| &rest[end..]));
    rest.is_some_and(|rest| begins(rest, after))
}

impl OwnLimits {
    fn of_body(self, path: &str) -> bool {
        self.bodies.iter().chain(self.streams).flat_map(|paths| *paths).any(|wanted| begins(path, wanted))
    }

    fn of_time(self, path: &str) -> bool {
        self.streams.iter().flat_map(|paths| *paths).any(|wanted| begins(path, wanted))
    }
}

/// Refuses bodies over a number of bytes: at once if the client says how long it is, else when it gets that far.
pub(super) async fn limit_body(State((limit, own)): State<(u64, OwnLimits)>, request: Request, next: Next) -> Response {
    if own.of_body(request.uri().path()) {
        return next.run(request).await;
    }
    let told =
        request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|length| length > limit) {
        let message = format!("the request body is larger than {} bytes", limit);
        return failure(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message);
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    next.run(request.map(|body| Body::new(Limited::new(body, limit)))).await
}

/// Gives up on requests that are not answered in time. What is streamed after the answer began is not limited.
pub(super) async fn limit_time(
    State((limit, own)): State<(Duration, OwnLimits)>,
    request: Request,
    next: Next,
) -> Response {
    if own.of_time(request.uri().path()) {
        return next.run(request).await;
    }
    tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        failure(StatusCode::GATEWAY_TIMEOUT, "Timeout", &format!("the request was not answered within {limit:?}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(listen: &str, change: fn(&mut ServerConfig)) -> HostPolicy {
        let mut config = ServerConfig { listen: listen.parse().unwrap(), ..ServerConfig::default() };
        change(&mut config);
        let exposure = Exposure::of(&config, config.listen.0.ip());
        HostPolicy::new(&config, exposure, &["node1".to_owned()])
    }

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn host_allowed(policy: &HostPolicy, host: &str) -> bool {
        policy.check(None, &headers(&[(header::HOST, host)])).is_ok()
    }

    #[test]
    fn a_local_server_answers_to_local_names_only() {
        let local = policy("127.0.0.1:5080", |_| {});
        for host in ["localhost", "LOCALHOST:5080", "127.0.0.1:1", "[::1]:5080", "localhost."] {
            assert!(host_allowed(&local, host), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:5080", "user@localhost", "node1"]
        {
            assert!(!host_allowed(&local, host), "{host}");
        }
        let named = policy("127.0.0.1:5080", |c| c.allowed_hosts = vec!["Dev.example:9".into()]);
        assert!(host_allowed(&named, "dev.example:5080") && !host_allowed(&named, "evil.example"));
        assert!(host_allowed(&policy("127.0.0.1:5080", |c| c.allowed_hosts = vec!["*".into()]), "evil.example"));
    }

    #[test]
    fn elsewhere_names_are_the_certificates_and_the_configured() {
        let everywhere = policy("0.0.0.0:443", |_| {});
        for (host, allowed) in
            [("node1:443", true), ("10.1.2.3", true), ("[fd00::1]:443", true), ("evil.example", false)]
        {
            assert_eq!(host_allowed(&everywhere, host), allowed, "{host}");
        }
        let named = policy("10.0.0.7:443", |c| c.allowed_hosts = vec!["mcplane.example".into()]);
        for (host, allowed) in
            [("mcplane.example", true), ("node1:443", true), ("10.0.0.7", true), ("evil.example", false)]
        {
            assert_eq!(host_allowed(&named, host), allowed, "{host}");
        }
    }

    #[test]
    fn names_that_can_not_be_known_are_limited_once_configured() {
        assert!(host_allowed(&policy("127.0.0.1:5080", |c| c.behind_tls_proxy = true), "public.example"));
        let config = ServerConfig { listen: "0.0.0.0:443".parse().unwrap(), ..ServerConfig::default() };
        let exposure = Exposure::of(&config, config.listen.0.ip());
        assert!(host_allowed(&HostPolicy::new(&config, exposure, &[]), "public.example"));
        let proxied = policy("127.0.0.1:5080", |c| {
            c.behind_tls_proxy = true;
            c.allowed_hosts = vec!["mcplane.example".into()];
        });
        assert!(host_allowed(&proxied, "mcplane.example") && !host_allowed(&proxied, "evil.example"));
    }

    #[test]
    fn requests_name_one_host() {
        let local = policy("127.0.0.1:5080", |_| {});
        assert!(local.check(None, &HeaderMap::new()).is_err());
        let mut two = headers(&[(header::HOST, "localhost")]);
        two.append(header::HOST, "localhost".parse().unwrap());
        assert!(local.check(None, &two).is_err());
        let authority: Authority = "localhost:5080".parse().unwrap();
        assert!(local.check(Some(&authority), &HeaderMap::new()).is_ok());
        assert!(local.check(Some(&authority), &headers(&[(header::HOST, "evil.example")])).is_err());
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let local = policy("127.0.0.1:5080", |c| c.allowed_origins = vec!["https://Console.example".into()]);
        let allowed = |host: &str, origin: &str| {
            local.check(None, &headers(&[(header::HOST, host), (header::ORIGIN, origin)])).is_ok()
        };
        assert!(allowed("localhost:5080", "http://localhost:5080"));
        assert!(allowed("localhost", "https://localhost:443"));
        assert!(allowed("localhost:5080", "https://console.example"));
        for origin in
            ["http://localhost:8888", "https://evil.example", "null", "file://localhost:5080", "http://127.0.0.1:5080"]
        {
            assert!(!allowed("localhost:5080", origin), "{origin}");
        }
    }
}
