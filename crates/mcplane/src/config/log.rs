//! The `log` section.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::{section, serde_as_text};

section! {
    /// What is logged, and how.
    pub struct LogConfig {
        /// `text`, `json` (Elastic Common Schema), or `auto`: text on a terminal, JSON otherwise.
        format: LogFormat = LogFormat::Auto,
        /// `error`, `warn`, `info`, `debug` or `trace`, also for single parts, as in `info,mcplane_db=debug`.
        level: LogFilter = LogFilter::default(),
    }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Text,
    /// Elastic Common Schema, one object a line.
    Json,
}

/// Which events are logged, in the syntax of `tracing`'s filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

serde_as_text!(LogFilter);

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl LogFilter {
    /// The filter as `tracing` wants it.
    pub fn filter(&self) -> EnvFilter {
        EnvFilter::new(&self.0)
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
        // A filter takes a bare word for a module's name, so that a misspelt level would silence everything else.
        let words_are_levels = text
            .split(',')
            .map(|directive| directive.rsplit_once('=').map_or(directive, |(_, level)| level).trim())
            .all(|level| LEVELS.contains(&level.to_ascii_lowercase().as_str()));
        if !words_are_levels || EnvFilter::try_new(text).is_err() {
            return Err(format!(
                "{text:?} is not a log level: write error, warn, info, debug or trace, or info,mcplane_db=debug"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        for good in ["info", "WARN", "info,mcplane_db=debug", "off"] {
            assert!(good.parse::<LogFilter>().is_ok(), "{good}");
        }
        for bad in ["", "inof", "info,db", "info,=,"] {
            assert!(bad.parse::<LogFilter>().is_err(), "{bad}");
        }
    }
}
