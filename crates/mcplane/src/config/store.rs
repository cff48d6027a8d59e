//! The `store` section.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use mcplane_core::units::HumanDuration;

use super::{section, serde_as_text};

section! {
    /// Where objects are kept.
    pub struct StoreConfig {
        /// Database: `sqlite` for one file in the data directory, or a URL such as `postgres://USER@HOST/DATABASE`.
        url: StoreUrl = StoreUrl::default(),
        /// How far back a watch can resume; older changes are compacted away.
        retention: HumanDuration = HumanDuration(Duration::from_secs(3600)),
        /// Time between compactions.
        compaction_interval: HumanDuration = HumanDuration(Duration::from_secs(300)),
    }
}

impl StoreConfig {
    pub(super) fn broken_rules(&self) -> Vec<String> {
        let mut rules = Vec::new();
        if self.compaction_interval.0.is_zero() {
            rules.push("store.compaction-interval must be longer than 0s".to_owned());
        }
        if self.retention.0 < Duration::from_secs(60) {
            rules.push(format!("store.retention is {}: watches need at least 1m to resume", self.retention));
        }
        rules
    }
}

/// A database's URL. It may hold a password: [`fmt::Debug`] and [`StoreUrl::redacted`] leave it out, [`fmt::Display`]
/// does not, because configuration passes through it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(String);

serde_as_text!(StoreUrl);

impl Default for StoreUrl {
    fn default() -> Self {
        Self("sqlite".to_owned())
    }
}

impl StoreUrl {
    /// Whether the store is the SQLite file in the data directory.
    pub fn is_sqlite(&self) -> bool {
        self.0 == "sqlite"
    }

    /// The URL with its password, for the database driver.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The URL without its password.
    pub fn redacted(&self) -> String {
        redact(&self.0)
    }
}

/// Replaces the password of a URL, in the authority or the query, by `***`.
pub(super) fn redact(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (before_query, query) = rest.split_once('?').map_or((rest, None), |(before, query)| (before, Some(query)));
    // A password may hold any character that its author forgot to escape, so the last @ ends it.
    let before_query = match before_query.rsplit_once('@') {
        Some((userinfo, host)) => {
            let user = userinfo.split_once(':').map_or(userinfo.to_owned(), |(user, _)| format!("{user}:***"));
            format!("{user}@{host}")
        }
        None => before_query.to_owned(),
    };
    let query = query.map_or_else(String::new, |query| {
        let shown: Vec<String> = query
            .split('&')
            .map(|pair| match pair.split_once('=') {
                Some((name, _)) if name.to_ascii_lowercase().contains("password") => format!("{name}=***"),
                _ => pair.to_owned(),
            })
            .collect();
        format!("?{}", shown.join("&"))
    });
    format!("{scheme}://{before_query}{query}")
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "sqlite" || text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("{:?} is not a store: write sqlite or postgres://USER@HOST/DATABASE", redact(text)))
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({:?})", self.redacted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (url, shown) in [
            ("postgres://me:secret@db/x", "postgres://me:***@db/x"),
            ("postgres://me:se@c/ret@db:5432/x?sslmode=require", "postgres://me:***@db:5432/x?sslmode=require"),
            ("postgres://db/x?user=me&password=secret", "postgres://db/x?user=me&password=***"),
            ("postgres://me@db/x", "postgres://me@db/x"),
            ("sqlite", "sqlite"),
        ] {
            let parsed: StoreUrl = url.parse().unwrap();
            assert_eq!(parsed.redacted(), shown);
            assert!(!format!("{parsed:?}").contains("secret"));
        }
        let error = "mysql://me:secret@db/x".parse::<StoreUrl>().unwrap_err();
        assert!(!error.contains("secret") && error.contains("postgres://USER@HOST/DATABASE"), "{error}");
    }

    #[test]
    fn rules() {
        let config = StoreConfig { retention: HumanDuration(Duration::from_secs(5)), ..StoreConfig::default() };
        assert_eq!(config.broken_rules(), ["store.retention is 5s: watches need at least 1m to resume"]);
    }
}
