//! Requests under a policy.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::RootCertStore;

use crate::{Policy, Target};

/// What a request may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until the connection stands.
    pub connect: Duration,
    /// For everything.
    pub total: Duration,
    /// Bytes of an answer that are read; what comes after is dropped.
    pub answer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), total: Duration::from_secs(30), answer: 64 << 10 }
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// When to come again, if it said so in seconds.
    pub retry_after: Option<Duration>,
    /// The beginning of the body.
    pub body: Vec<u8>,
}

/// Why there is no answer. Neither path nor query of the URL are told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The host may not be reached at that address, or not without TLS.
    #[error("{host} is at {address}, which may not be reached")]
    Refused {
        /// The host as the URL has it.
        host: String,
        /// Where it was found.
        address: IpAddr,
    },
    /// The host may not be reached without TLS.
    #[error("{0} may be reached by https only")]
    Plain(String),
    /// The host has no address.
    #[error("{0} can't be resolved")]
    Unresolved(String),
    /// It did not answer in time.
    #[error("{0} did not answer in time")]
    Late(String),
    /// It could not be connected to, or broke off.
    #[error("{host} could not be reached: {reason}")]
    Unreachable {
        /// The host as the URL has it.
        host: String,
        /// Why.
        reason: String,
    },
}

/// Sends requests to where others say.
#[derive(Debug)]
pub struct Egress {
    policy: Arc<Policy>,
    limits: Limits,
    /// With TLS and without it: a resolver does not learn the scheme of a request. Made when first needed: most servers never
    /// send anything, and reading authorities takes time.
    clients: [OnceLock<Result<reqwest::Client, String>>; 2],
}

impl Egress {
    /// Nothing is sent before it is asked for.
    pub fn new(policy: Policy, limits: Limits) -> Self {
        Self { policy: Arc::new(policy), limits, clients: Default::default() }
    }

    /// Whom it may reach.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether a target could be reached now. A request looks again.
    ///
    /// # Errors
    /// What stands against it.
    pub async fn check(&self, target: &Target) -> Result<(), Failure> {
        let resolver = Resolver { policy: Arc::clone(&self.policy), plain: target.is_plain() };
        match target.address() {
            Some(address) => resolver.admit(target.host(), &[SocketAddr::new(address, target.port())]),
            None => tokio::time::timeout(self.limits.connect, resolver.find(target.host()))
                .await
                .map_err(|_| Failure::Unresolved(target.host().to_owned()))?
                .map(drop),
        }
    }

    /// Posts a body.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post(&self, target: &Target, headers: HeaderMap, body: Bytes) -> Result<Answer, Failure> {
        // An address is connected to without looking it up, so it is checked here; names are checked by the resolver.
        if let Some(address) = target.address() {
            let resolver = Resolver { policy: Arc::clone(&self.policy), plain: target.is_plain() };
            resolver.admit(target.host(), &[SocketAddr::new(address, target.port())])?;
        } else if target.is_plain() && !self.policy.allows_plain(target.host()) {
            return Err(Failure::Plain(target.host().to_owned()));
        }
        let failed = |error: &reqwest::Error| explain(target, error);
        let client = self.client(target)?;
        let request = client.post(target.url().clone()).headers(headers).body(body);
        let mut response = request.send().await.map_err(|error| failed(&error))?;
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let status = response.status();
        let mut body = Vec::new();
        while body.len() < self.limits.answer
            && let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))?
        {
            let room = self.limits.answer - body.len();
            body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        }
        Ok(Answer { status, retry_after: retry_after.map(Duration::from_secs), body })
    }

    fn client(&self, target: &Target) -> Result<reqwest::Client, Failure> {
        let plain = target.is_plain();
        let made = self.clients[usize::from(plain)].get_or_init(|| build(&self.policy, self.limits, plain));
        let unusable =
            |reason: &String| Failure::Unreachable { host: target.host().to_owned(), reason: reason.clone() };
        made.as_ref().cloned().map_err(unusable)
    }
}

fn build(policy: &Arc<Policy>, limits: Limits, plain: bool) -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls(plain)?)
        .dns_resolver(Arc::new(Resolver { policy: Arc::clone(policy), plain }))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .http1_only()
        .no_proxy()
        // Who is connected to is decided for each request.
        .pool_max_idle_per_host(0)
        .user_agent(concat!("mcplane/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(limits.connect)
        .timeout(limits.total)
        .build()
        .map_err(|error| error.to_string())
}

/// TLS by the system's authorities.
fn tls(plain: bool) -> Result<rustls::ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    if plain {
        return Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth());
    }
    let verifier =
        rustls_platform_verifier::Verifier::new(provider).map_err(|error| format!("no authorities: {error}"))?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

/// Finds the addresses of a host, all of which must be allowed.
#[derive(Debug, Clone)]
struct Resolver {
    policy: Arc<Policy>,
    plain: bool,
}

impl Resolver {
    async fn find(&self, host: &str) -> Result<Vec<SocketAddr>, Failure> {
        let unresolved = || Failure::Unresolved(host.to_owned());
        let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await.map_err(|_| unresolved())?.collect();
        if found.is_empty() {
            return Err(unresolved());
        }
        self.admit(host, &found).map(|()| found)
    }

    fn admit(&self, host: &str, addresses: &[SocketAddr]) -> Result<(), Failure> {
        if self.plain && !self.policy.allows_plain(host) {
            return Err(Failure::Plain(host.to_owned()));
        }
        match addresses.iter().find(|address| !self.policy.allows(host, address.ip(), self.plain)) {
            // By TLS it would do.
            Some(address) if self.plain && self.policy.allows(host, address.ip(), false) => {
                Err(Failure::Plain(host.to_owned()))
            }
            Some(address) => Err(Failure::Refused { host: host.to_owned(), address: address.ip() }),
            None => Ok(()),
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let found = this.find(name.as_str()).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The reason below all that say only that something below them failed.
fn explain(target: &Target, error: &reqwest::Error) -> Failure {
    let mut reason: &(dyn std::error::Error + 'static) = error;
    loop {
        if let Some(failure) = reason.downcast_ref::<Failure>() {
            return failure.clone();
        }
        match reason.source() {
            Some(below) => reason = below,
            None => break,
        }
    }
    let host = target.host().to_owned();
    if error.is_timeout() {
        return Failure::Late(host);
    }
    Failure::Unreachable { host, reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers each connection with the same bytes; gives its port.
    async fn server(answer: &'static str, wait: Duration) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                let _ = stream.read(&mut request).await;
                tokio::time::sleep(wait).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        port
    }

    async fn post(rules: &[&str], url: &str) -> Result<Answer, Failure> {
        let limits = Limits { connect: Duration::from_secs(2), total: Duration::from_millis(500), answer: 8 };
        let egress = Egress::new(Policy::allowing(rules).unwrap(), limits);
        egress.post(&Target::parse(url).unwrap(), HeaderMap::new(), Bytes::from_static(b"{}")).await
    }

    const GOOD: &str = "HTTP/1.1 429 Too Many\r\nretry-after: 7\r\ncontent-length: 12\r\n\r\nabcdefghijkl";

    #[tokio::test]
    async fn what_is_not_allowed_is_not_connected_to() {
        let port = server(GOOD, Duration::ZERO).await;
        for host in ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"] {
            let refused = post(&[], &format!("https://{host}:{port}/")).await;
            assert!(matches!(refused, Err(Failure::Refused { .. })), "{host} {refused:?}");
            let refused = post(&["hooks.example"], &format!("http://{host}:{port}/")).await;
            assert!(matches!(refused, Err(Failure::Plain(_))), "{host} {refused:?}");
        }
        let refused = post(&[], &format!("https://localhost:{port}/")).await;
        assert!(matches!(&refused, Err(Failure::Refused { host, .. }) if host == "localhost"), "{refused:?}");
        // The name might have been of that network.
        let plain = post(&["10.0.0.0/8"], "http://8.8.8.8.nip.invalid/").await;
        assert!(matches!(plain, Err(Failure::Unresolved(_))), "{plain:?}");
        // A network is named, and the name's address is not in it.
        let refused = post(&["10.0.0.0/8"], &format!("http://localhost:{port}/")).await;
        assert!(matches!(refused, Err(Failure::Refused { .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn answers_are_bounded() {
        let port = server(GOOD, Duration::ZERO).await;
        for (rule, host) in [("localhost", "localhost"), ("127.0.0.0/8", "127.0.0.1"), ("127.0.0.1", "localhost")] {
            // The name may have an address of IPv6 too, which the second rule does not hold.
            let rules = if rule == "127.0.0.1" { vec![rule, "::1"] } else { vec![rule] };
            let answer = post(&rules, &format!("http://{host}:{port}/x?y")).await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.body.as_slice()), (429, &b"abcdefgh"[..]));
            assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));
        }
    }

    #[tokio::test]
    async fn redirects_are_answers() {
        let away = "HTTP/1.1 307 Away\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n";
        let port = server(away, Duration::ZERO).await;
        let answer = post(&["127.0.0.1"], &format!("http://127.0.0.1:{port}/")).await.unwrap();
        assert_eq!(answer.status.as_u16(), 307);
    }

    #[tokio::test]
    async fn failures_say_why_and_not_where() {
        let port = server(GOOD, Duration::from_secs(5)).await;
        let late = post(&["127.0.0.1"], &format!("http://127.0.0.1:{port}/secret")).await.unwrap_err();
        assert_eq!(late, Failure::Late("127.0.0.1".to_owned()));
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let away = post(&["127.0.0.1"], &format!("http://127.0.0.1:{closed}/secret")).await.unwrap_err().to_string();
        assert!(away.contains("127.0.0.1 could not be reached") && !away.contains("secret"), "{away}");
        let unknown = post(&[], "https://no-such-host.invalid/").await;
        assert_eq!(unknown, Err(Failure::Unresolved("no-such-host.invalid".to_owned())));
        let egress = Egress::new(Policy::default(), Limits::default());
        let unknown = egress.check(&Target::parse("https://no-such-host.invalid/").unwrap()).await;
        assert_eq!(unknown, Err(Failure::Unresolved("no-such-host.invalid".to_owned())));
        assert!(egress.check(&Target::parse("https://8.8.8.8/").unwrap()).await.is_ok());
    }

    #[tokio::test]
    async fn tls_is_not_spoken_to_those_who_do_not() {
        let port = server(GOOD, Duration::ZERO).await;
        let failed = post(&["127.0.0.1"], &format!("https://127.0.0.1:{port}/")).await;
        assert!(matches!(failed, Err(Failure::Unreachable { .. })), "{failed:?}");
    }
}
