//! What follows from the address that the server listens on: whether plain HTTP is spoken, and who must log in.

use std::net::IpAddr;

use crate::config::{AuthMode, ServerConfig};

/// Who can reach the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exposure {
    /// Only processes of this machine.
    pub loopback: bool,
    /// A proxy hands on requests from elsewhere.
    pub proxied: bool,
}

/// Whether callers need a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginPolicy {
    /// Whoever calls is the administrator of this machine's server.
    LocalAdministrator,
    /// Everybody needs one.
    Required,
}

/// The server would be open to anybody, or to nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{why}, so callers must log in, but there is no user yet. Create the first one with\n  \
     mcplane user create admin --role admin --data-dir DIR\nand start the server again"
)]
pub struct NoUsers {
    why: &'static str,
}

impl Exposure {
    /// The exposure of a listener on `address`.
    pub fn of(config: &ServerConfig, address: IpAddr) -> Self {
        Self { loopback: address.to_canonical().is_loopback(), proxied: config.behind_tls_proxy }
    }

    /// Whether plain HTTP is spoken; otherwise TLS only.
    pub fn allows_plain_http(self) -> bool {
        self.loopback || self.proxied
    }

    /// Whether every client is a process of this machine.
    pub fn is_local(self) -> bool {
        self.loopback && !self.proxied
    }

    /// Who must log in, given whether anybody can.
    ///
    /// # Errors
    /// If a login is required and nobody has one.
    pub fn login_policy(self, mode: AuthMode, users_exist: bool) -> Result<LoginPolicy, NoUsers> {
        let why = match mode {
            AuthMode::Auto if self.is_local() => return Ok(LoginPolicy::LocalAdministrator),
            AuthMode::Auto if self.proxied => "a proxy makes the server reachable from elsewhere",
            AuthMode::Auto => "the server listens to other machines",
            AuthMode::Required => "auth.mode is required",
        };
        if users_exist { Ok(LoginPolicy::Required) } else { Err(NoUsers { why }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposure(address: &str, proxied: bool) -> Exposure {
        let config = ServerConfig { behind_tls_proxy: proxied, ..ServerConfig::default() };
        Exposure::of(&config, address.parse().unwrap())
    }

    #[test]
    fn plain_http_stays_on_the_machine() {
        for (address, proxied, plain) in [
            ("127.0.0.1", false, true),
            ("127.8.9.1", false, true),
            ("::1", false, true),
            ("::ffff:127.0.0.1", false, true),
            ("0.0.0.0", false, false),
            ("::", false, false),
            ("10.0.0.7", false, false),
            ("10.0.0.7", true, true),
        ] {
            assert_eq!(exposure(address, proxied).allows_plain_http(), plain, "{address} {proxied}");
        }
    }

    #[test]
    fn only_the_machines_own_processes_need_no_login() {
        use AuthMode::{Auto, Required};
        for (address, proxied, mode, users, expected) in [
            ("127.0.0.1", false, Auto, false, Ok(LoginPolicy::LocalAdministrator)),
            ("127.0.0.1", false, Auto, true, Ok(LoginPolicy::LocalAdministrator)),
            ("127.0.0.1", false, Required, true, Ok(LoginPolicy::Required)),
            ("127.0.0.1", false, Required, false, Err("auth.mode is required")),
            ("127.0.0.1", true, Auto, false, Err("a proxy makes")),
            ("127.0.0.1", true, Auto, true, Ok(LoginPolicy::Required)),
            ("0.0.0.0", false, Auto, false, Err("the server listens to other machines")),
            ("0.0.0.0", false, Auto, true, Ok(LoginPolicy::Required)),
            ("10.0.0.7", true, Auto, false, Err("a proxy makes")),
        ] {
            let decided = exposure(address, proxied).login_policy(mode, users);
            match (&decided, expected) {
                (Ok(policy), Ok(wanted)) => assert_eq!(*policy, wanted, "{address}"),
                (Err(refusal), Err(words)) => {
                    let text = refusal.to_string();
                    assert!(text.starts_with(words) && text.contains("mcplane user create"), "{text}");
                }
                _ => panic!("{address} {proxied} {mode:?} {users}: {decided:?}"),
            }
        }
    }
}
