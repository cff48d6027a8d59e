//! The `server` section.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use mcplane_core::units::{ByteSize, HumanDuration};

use super::{section, serde_as_text};

section! {
    /// Where and how the server listens.
    pub struct ServerConfig {
        /// Address and port; port 0 takes a free one. Anything but a loopback address speaks TLS only and demands
        /// authentication.
        listen: ListenAddress = ListenAddress::default(),
        /// Directory of everything that the server keeps: database, keys, certificates.
        data_dir: PathBuf = PathBuf::from("/var/lib/mcplane"),
        /// Whether a proxy in front of the server ends TLS, so that plain HTTP is spoken off loopback too.
        behind_tls_proxy: bool = false,
        /// Further names by which clients call the server; `*` allows any. `localhost` and `server.tls.san` need
        /// no mention, nor does this machine's name off loopback. Behind a proxy, and with a certificate of your own, any name is allowed
        /// unless this list names some.
        allowed_hosts: Vec<String> = Vec::new(),
        /// Origins of web pages, such as `https://console.example.com`, that may call the server besides its own.
        allowed_origins: Vec<String> = Vec::new(),
        /// Largest request body.
        max_body: ByteSize = ByteSize(3 << 20),
        /// Longest time until a request is answered; watches and other streams go on for longer.
        request_timeout: HumanDuration = HumanDuration(Duration::from_secs(60)),
        /// Longest time from a connection's start, or from a request's first byte, until its headers are complete.
        header_timeout: HumanDuration = HumanDuration(Duration::from_secs(10)),
        /// Most connections at a time; further ones wait.
        max_connections: usize = 8192,
        /// How long requests may go on after the server was told to stop.
        graceful_stop: HumanDuration = HumanDuration(Duration::from_secs(10)),
        section
        /// Certificates.
        tls: TlsConfig,
    }
}

section! {
    /// Where the server's certificate comes from.
    pub struct TlsConfig {
        /// Further names and addresses in the certificate that the server issues for itself.
        san: Vec<String> = Vec::new(),
        /// PEM file of a certificate chain to use instead of one from the server's own authority.
        certificate: Option<PathBuf> = None,
        /// PEM file of the private key that belongs to the certificate.
        key: Option<PathBuf> = None,
    }
}

impl ServerConfig {
    pub(super) fn broken_rules(&self) -> Vec<String> {
        let mut rules = Vec::new();
        if self.tls.certificate.is_some() != self.tls.key.is_some() {
            rules.push("server.tls.certificate and server.tls.key need each other: set both or neither".to_owned());
        }
        if self.tls.certificate.is_some() && !self.tls.san.is_empty() {
            rules.push("server.tls.san has no effect on a certificate of your own: unset server.tls.certificate or server.tls.san".to_owned());
        }
        if !(1024..=1 << 30).contains(&self.max_body.0) {
            rules.push(format!("server.max-body is {}: it must lie between 1KiB and 1GiB", self.max_body));
        }
        for (key, value) in [("request-timeout", self.request_timeout), ("header-timeout", self.header_timeout)] {
            if value.0.is_zero() {
                rules.push(format!("server.{key} must be longer than 0s"));
            }
        }
        if self.max_connections == 0 {
            rules.push("server.max-connections must be at least 1".to_owned());
        }
        for host in self.allowed_hosts.iter().filter(|host| host.contains('/') || host.trim().is_empty()) {
            rules.push(format!("server.allowed-hosts has {host:?}: write a bare name such as mcplane.example.com"));
        }
        for origin in self.allowed_origins.iter().filter(|origin| !is_origin(origin)) {
            rules.push(format!(
                "server.allowed-origins has {origin:?}: write scheme and host, such as https://console.example.com"
            ));
        }
        rules
    }
}

fn is_origin(text: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|uri| {
        uri.scheme().is_some() && uri.authority().is_some() && uri.path() == "/" && !text.ends_with('/')
    })
}

/// An address and a port to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddress(pub SocketAddr);

serde_as_text!(ListenAddress);

impl Default for ListenAddress {
    fn default() -> Self {
        Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5080))
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numeric =
            text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
        numeric.parse().map(Self).map_err(|_| {
            format!("{text:?} is not an address and a port: write it like 127.0.0.1:5080, [::1]:5080 or 0.0.0.0:443")
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses() {
        for (text, shown) in
            [("127.0.0.1:5080", "127.0.0.1:5080"), ("localhost:0", "127.0.0.1:0"), ("[::1]:443", "[::1]:443")]
        {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), shown);
        }
        for bad in ["", "5080", "127.0.0.1", "example.com:80", "localhost:99999"] {
            assert!(bad.parse::<ListenAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn rules_between_values() {
        let broken = |change: fn(&mut ServerConfig)| {
            let mut config = ServerConfig::default();
            change(&mut config);
            config.broken_rules().join("\n")
        };
        assert!(broken(|c| c.tls.key = Some("k.pem".into())).contains("need each other"));
        assert!(broken(|c| c.max_body = ByteSize(5)).contains("between 1KiB and 1GiB"));
        assert!(broken(|c| c.request_timeout = HumanDuration(Duration::ZERO)).contains("request-timeout"));
        assert!(broken(|c| c.max_connections = 0).contains("at least 1"));
        assert!(broken(|c| c.allowed_hosts = vec!["http://a".into()]).contains("bare name"));
        for origin in ["console.example.com", "https://a/", "https://a/b", "*"] {
            let config = ServerConfig { allowed_origins: vec![origin.into()], ..ServerConfig::default() };
            assert_eq!(config.broken_rules().len(), 1, "{origin}");
        }
        let fine = ServerConfig { allowed_origins: vec!["https://a:8443".into()], ..ServerConfig::default() };
        assert!(fine.broken_rules().is_empty());
    }
}
