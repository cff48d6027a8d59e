//! What can be wrong with a configuration; all of it is told at once.

use std::fmt;
use std::path::PathBuf;

use super::layers::Source;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// There is no such key.
    UnknownKey {
        /// The key as given.
        key: String,
        /// Where it was given.
        source: Source,
        /// The key that was probably meant.
        nearest: Option<String>,
    },
    /// The value does not fit the key.
    WrongValue {
        /// The key.
        key: String,
        /// The value as given, without secrets.
        value: String,
        /// Where it was given.
        source: Source,
        /// What is expected.
        reason: String,
    },
    /// The file can't be used at all.
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Values that do not go together.
    Rule(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { key, source, nearest } => {
                write!(f, "unknown key {key:?} in {source}")?;
                match nearest {
                    Some(nearest) => write!(f, ": did you mean {nearest:?}?"),
                    None => f.write_str(": `mcplane config explain` lists all keys"),
                }
            }
            Self::WrongValue { key, value, source, reason } => write!(f, "{key} = {value} in {source}: {reason}"),
            Self::File { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::Rule(sentence) => f.write_str(sentence),
        }
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is wrong")?;
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl std::error::Error for ConfigErrors {}
