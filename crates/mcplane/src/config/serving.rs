//! The `serving` section.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use mcplane_core::units::{ByteSize, HumanDuration};
use serde::{Deserialize, Serialize};

use super::section;
use super::server::ListenAddress;
use crate::plane::Allowed;

/// The control port that has the usual data plane beside it.
const USUAL: u16 = 5080;

/// Who may ask services for predictions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServingAuth {
    /// Whoever reaches the data plane, as long as only this machine can and `auth.mode` does not demand logins.
    #[default]
    Auto,
    /// Who shows a token with the right to `create` `inferenceservices/infer`.
    Required,
    /// Whoever reaches the data plane.
    Open,
}

section! {
    /// Models that answer, and the gateway in front of them.
    pub struct ServingConfig {
        /// Address and port of the data plane, which answers to any host. If it is not set, 127.0.0.1:5081 beside a
        /// server on port 5080, and a free port of 127.0.0.1 beside any other; DATA_DIR/server.json tells which. Off loopback it
        /// speaks TLS only.
        listen: Option<ListenAddress> = None,
        /// Who may ask for predictions: `auto` (whoever reaches the data plane, as long as only this machine can and
        /// `auth.mode` does not demand logins), `required` (who shows a token with the right to create inferenceservices/infer)
        /// or `open` (whoever reaches the data plane).
        auth: ServingAuth = ServingAuth::Auto,
        /// Domain below which services are called: NAME.NAMESPACE.DOMAIN.
        domain: String = "localhost".to_owned(),
        /// Largest request, before and after it is unpacked.
        max_body: ByteSize = ByteSize(64 << 20),
        /// Largest model.
        max_model: ByteSize = ByteSize(1 << 30),
        /// onnxruntime's library, 1.17 or later, for models that the built-in engine does not run: of its releases, or
        /// libonnxruntime.so.* of the folder onnxruntime/capi in its Python package.
        onnxruntime_library: Option<PathBuf> = None,
        /// Longest time until a request is answered, where its route says nothing.
        timeout: HumanDuration = HumanDuration(Duration::from_secs(60)),
        /// Proxies whose X-Forwarded-For is believed, as addresses or networks.
        trusted_proxies: Vec<String> = Vec::new(),
        /// Hosts, besides services, to which VirtualServices may send requests: names, `*.example.com`, addresses or
        /// networks.
        upstreams: Vec<String> = Vec::new(),
        /// Headers that name the user, who stays on one version; the first that a request has counts.
        user_headers: Vec<String> = vec!["x-user-id".to_owned()],
        /// Header that names the region.
        region_header: String = "x-region".to_owned(),
    }
}

impl ServingConfig {
    /// Where the data plane listens, beside a server at `control`.
    pub fn address(&self, control: SocketAddr) -> SocketAddr {
        let port = if control.port() == USUAL { USUAL + 1 } else { 0 };
        self.listen.map_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port), |listen| listen.0)
    }

    pub(super) fn broken_rules(&self) -> Vec<String> {
        let mut rules = Vec::new();
        for (key, value) in [("max-body", self.max_body), ("max-model", self.max_model)] {
            if !(1024..=1 << 34).contains(&value.0) {
                rules.push(format!("serving.{key} is {value}: it must lie between 1KiB and 16GiB"));
            }
        }
        if self.timeout.0.is_zero() {
            rules.push("serving.timeout must be longer than 0s".to_owned());
        }
        if self.domain.is_empty() || self.domain.starts_with('.') || self.domain.contains(['/', ':']) {
            rules.push(format!("serving.domain is {:?}: write a bare name such as models.example.com", self.domain));
        }
        for network in self.trusted_proxies.iter().filter(|text| Allowed::network(text).is_none()) {
            rules.push(format!(
                "serving.trusted-proxies has {network:?}: write an address or a network such as 10.0.0.0/8"
            ));
        }
        rules.extend(Allowed::parse(&self.upstreams).err().map(|error| format!("serving.upstreams: {error}")));
        for name in self.user_headers.iter().chain([&self.region_header]) {
            if name.parse::<http::HeaderName>().is_err() {
                rules
                    .push(format!("serving.user-headers and serving.region-header name headers, and {name:?} is none"));
            }
        }
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_plane_is_beside_the_control_port() {
        let at = |config: &ServingConfig, control: &str| config.address(control.parse().unwrap()).to_string();
        let config = ServingConfig::default();
        assert_eq!(at(&config, "127.0.0.1:5080"), "127.0.0.1:5081");
        assert_eq!(at(&config, "0.0.0.0:5080"), "127.0.0.1:5081");
        assert_eq!(at(&config, "127.0.0.1:43210"), "127.0.0.1:0");
        let told = ServingConfig { listen: Some("0.0.0.0:80".parse().unwrap()), ..config };
        assert_eq!(at(&told, "127.0.0.1:5080"), "0.0.0.0:80");
    }

    #[test]
    fn rules_are_whole_sentences() {
        let wrong = ServingConfig {
            max_model: ByteSize(1),
            domain: "http://x".into(),
            trusted_proxies: vec!["x".into()],
            upstreams: vec!["a/b/c".into()],
            user_headers: vec!["no header".into()],
            ..ServingConfig::default()
        };
        assert_eq!(wrong.broken_rules().len(), 5, "{:?}", wrong.broken_rules());
    }
}
