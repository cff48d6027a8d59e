//! Hosts besides services that requests may be sent to.

use ipnet::IpNet;

/// Which hosts the operator allows. Nobody else can open them: who writes a VirtualService must not reach what only this
/// machine can.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    names: Vec<String>,
    /// Ends of names, with their dot.
    below: Vec<String>,
    networks: Vec<IpNet>,
}

impl Allowed {
    /// Reads names, `*.example.com`, addresses and networks.
    ///
    /// # Errors
    /// A sentence about what is none of these.
    pub fn parse(texts: &[String]) -> Result<Self, String> {
        let mut allowed = Self::default();
        for text in texts {
            let name = text.trim().to_ascii_lowercase();
            let plain = |name: &str| {
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
            };
            if let Some(network) = Self::network(&name) {
                allowed.networks.push(network);
            } else if let Some(end) = name.strip_prefix("*.").filter(|end| plain(end)) {
                allowed.below.push(format!(".{end}"));
            } else if plain(&name) {
                allowed.names.push(name);
            } else {
                return Err(format!("{text:?} is no host: write a name, *.example.com, an address or a network"));
            }
        }
        Ok(allowed)
    }

    /// An address or a network.
    pub fn network(text: &str) -> Option<IpNet> {
        text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
    }

    /// Whether requests may go to a host, which is in small letters.
    pub fn has(&self, host: &str) -> bool {
        match host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>() {
            Ok(address) => self.networks.iter().any(|network| network.contains(&address)),
            Err(_) => {
                self.names.iter().any(|name| name == host) || self.below.iter().any(|end| host.ends_with(end.as_str()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_allowed() {
        let texts = ["models.example.com", "*.svc.example", "10.0.0.0/8", "127.0.0.1", "::1"].map(str::to_owned);
        let allowed = Allowed::parse(&texts).unwrap();
        for host in ["models.example.com", "a.svc.example", "10.1.2.3", "127.0.0.1", "[::1]"] {
            assert!(allowed.has(host), "{host}");
        }
        for host in ["example.com", "svc.example", "11.0.0.1", "127.0.0.2", "localhost", "[::2]", "evilsvc.example"] {
            assert!(!allowed.has(host), "{host}");
        }
        assert!(Allowed::parse(&["http://x".to_owned()]).is_err());
        assert!(!Allowed::default().has("127.0.0.1"));
    }
}
