//! The `auth` section.

use std::time::Duration;

use mcplane_core::units::HumanDuration;
use serde::{Deserialize, Serialize};

use super::section;

section! {
    /// Who may call.
    pub struct AuthConfig {
        /// `auto`: on loopback the caller is the only administrator and needs no login, elsewhere a login is required.
        /// `required`: a login is required on loopback too.
        mode: AuthMode = AuthMode::Auto,
        /// How long a login lasts.
        token_lifetime: HumanDuration = HumanDuration(Duration::from_secs(2 * 3600)),
    }
}

/// Whether callers must log in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthMode {
    /// On loopback nobody must, elsewhere everybody.
    #[default]
    Auto,
    /// Everybody must.
    Required,
}

impl AuthConfig {
    pub(super) fn broken_rules(&self) -> Vec<String> {
        const SHORTEST: Duration = Duration::from_secs(60);
        const LONGEST: Duration = Duration::from_secs(86_400);
        if (SHORTEST..=LONGEST).contains(&self.token_lifetime.0) {
            return Vec::new();
        }
        vec![format!("auth.token-lifetime is {}: it must lie between 1m and 1d", self.token_lifetime)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_live_neither_for_ever_nor_for_a_moment() {
        for seconds in [0, 59, 86_400 + 1] {
            let config =
                AuthConfig { token_lifetime: HumanDuration(Duration::from_secs(seconds)), ..AuthConfig::default() };
            assert_eq!(config.broken_rules().len(), 1, "{seconds}");
        }
    }
}
