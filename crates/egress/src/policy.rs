//! Who may be reached.

use std::net::IpAddr;

use crate::address::{Network, is_beside, is_public, meant};

/// Which hosts may be reached: public ones by TLS, and those that the operator names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
    everything: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Host(String),
    /// Names that end so, after a dot.
    Below(String),
    Network(Network),
}

impl Policy {
    /// For targets that the operator gives: all may be reached.
    pub fn everything() -> Self {
        Self { rules: vec![], everything: true }
    }

    /// Public hosts, and those that are named besides: `host.example`, `*.example`, `10.0.0.7`, `10.0.0.0/8`.
    ///
    /// # Errors
    /// A sentence about what is neither a host nor a network.
    pub fn allowing<T: AsRef<str>>(names: &[T]) -> Result<Self, String> {
        let rules = names.iter().map(|name| Rule::parse(name.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self { rules, everything: false })
    }

    /// Whether a host may be reached without TLS. Hosts that are named may: the operator knows the way to them.
    pub fn allows_plain(&self, host: &str) -> bool {
        let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        self.everything
            || self.names(host)
            || address.is_some_and(|address| self.has(address))
            // Whether the name's addresses lie in a network that is named is seen when they are known.
            || (address.is_none() && self.rules.iter().any(|rule| matches!(rule, Rule::Network(_))))
    }

    /// Whether `host`, which has that address, may be reached, by TLS or without it.
    pub(crate) fn allows(&self, host: &str, address: IpAddr, plain: bool) -> bool {
        self.everything
            || self.has(address)
            || (self.names(host) && !is_beside(address))
            || (!plain && is_public(address))
    }

    fn names(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        self.rules.iter().any(|rule| match rule {
            Rule::Host(name) => name.eq_ignore_ascii_case(host),
            Rule::Below(end) => {
                host.len() > end.len() + 1
                    && host.get(host.len() - end.len()..).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
                    && host.as_bytes().get(host.len() - end.len() - 1) == Some(&b'.')
            }
            Rule::Network(_) => false,
        })
    }

    fn has(&self, address: IpAddr) -> bool {
        let holds = |network: &Network| network.contains(address) || network.contains(meant(address));
        self.rules.iter().any(|rule| matches!(rule, Rule::Network(network) if holds(network)))
    }
}

impl Rule {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let name = text.strip_prefix("*.").unwrap_or(text).trim_end_matches('.');
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_');
        match Network::parse(text) {
            Some(network) => Ok(Self::Network(network)),
            // What consists of numbers would be an address in a spelling that is not read as a name.
            None if name.is_empty() || !name.bytes().all(plain) || !name.bytes().any(|c| c.is_ascii_alphabetic()) => {
                Err(format!(
                    "{text:?} is neither a host, such as hooks.example or *.example, nor a network, such as 10.0.0.0/8"
                ))
            }
            None if name.len() < text.trim_end_matches('.').len() => Ok(Self::Below(name.to_owned())),
            None => Ok(Self::Host(name.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rules: &[&str], host: &str, address: &str, plain: bool) -> bool {
        Policy::allowing(rules).unwrap().allows(host, address.parse().unwrap(), plain)
    }

    #[test]
    fn public_hosts_are_reached_by_tls() {
        assert!(allows(&[], "example.com", "8.8.8.8", false));
        assert!(!allows(&[], "example.com", "8.8.8.8", true));
        assert!(!allows(&[], "localhost", "127.0.0.1", false));
        assert!(!allows(&[], "x", "::ffff:127.0.0.1", false));
    }

    #[test]
    fn named_hosts_are_reached_where_they_are() {
        assert!(allows(&["Hooks.internal"], "hooks.INTERNAL.", "10.0.0.1", true));
        assert!(allows(&["*.internal"], "a.b.internal", "10.0.0.1", true));
        assert!(!allows(&["*.internal"], "internal", "10.0.0.1", true));
        assert!(!allows(&["*.internal"], "xinternal", "10.0.0.1", true));
        assert!(!allows(&["hooks.internal"], "other.internal", "10.0.0.1", false));
        for metadata in ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "0.0.0.0", "fe80::1"] {
            assert!(!allows(&["hooks.internal"], "hooks.internal", metadata, false), "{metadata}");
        }
        assert!(allows(&["169.254.169.254"], "anything", "169.254.169.254", true));
    }

    #[test]
    fn networks_are_reached_by_any_name() {
        assert!(allows(&["10.0.0.0/8"], "a", "10.1.2.3", true));
        assert!(allows(&["10.0.0.0/8"], "a", "::ffff:10.1.2.3", true));
        assert!(!allows(&["10.0.0.0/8"], "a", "11.1.2.3", true));
        let policy = Policy::allowing(&["10.0.0.0/8"]).unwrap();
        assert!(policy.allows_plain("any.name") && policy.allows_plain("10.0.0.1") && !policy.allows_plain("11.0.0.1"));
        assert!(!Policy::default().allows_plain("any.name") && Policy::everything().allows_plain("any.name"));
    }

    #[test]
    fn what_is_neither_host_nor_network_is_told() {
        for wrong in ["", "*", "*.", "http://x", "a b", "10.0.0.0/99", "127.1", "host:80", "*.*.x"] {
            assert!(Policy::allowing(&[wrong]).unwrap_err().contains("neither a host"), "{wrong}");
        }
    }
}
