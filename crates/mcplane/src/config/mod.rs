//! Configuration: one small struct a section, read from flags, environment, file and defaults, in that order of
//! precedence. A section is passed to the part that it configures; nothing reads configuration on its own.
//!
//! To add a section: write its struct with [`section!`] in a file of its own, add a field to [`Config`], its
//! documentation to [`reference()`] and its rules to [`Config::broken_rules`].

mod agent;
mod auth;
mod errors;
mod layers;
mod log;
mod scheduler;
mod server;
mod serving;
mod show;
mod store;
mod tracking;
mod values;

use serde::{Deserialize, Serialize};

pub use agent::{AgentConfig, CapacityConfig};
pub use auth::{AuthConfig, AuthMode};
pub use errors::{ConfigError, ConfigErrors};
pub use layers::{Input, Loaded, Override, Setting, Source, load, nearest_key};
pub use log::{LogConfig, LogFilter, LogFormat};
pub use scheduler::{Persistence, SchedulerConfig, SchedulerType};
pub use server::{ListenAddress, ServerConfig, TlsConfig};
pub use serving::{ServingAuth, ServingConfig};
pub use show::{Style, explain, render_table, render_yaml};
pub use store::{StoreConfig, StoreUrl};
pub use tracking::{ArtifactUri, TrackingConfig};

/// Everything that can be set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Config {
    /// What runs work on this machine.
    pub agent: AgentConfig,
    /// Who may call.
    pub auth: AuthConfig,
    /// What is logged, and how.
    pub log: LogConfig,
    /// When work runs.
    pub scheduler: SchedulerConfig,
    /// Where and how the server listens.
    pub server: ServerConfig,
    /// Models that answer, and the gateway in front of them.
    pub serving: ServingConfig,
    /// Where objects are kept.
    pub store: StoreConfig,
    /// Experiments, models and their artifacts.
    pub tracking: TrackingConfig,
}

/// Documentation of one key, taken from the field's own doc comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDoc {
    /// The whole key, such as `server.max-body`.
    pub key: String,
    /// What it means.
    pub text: String,
}

/// The documentation of every key, in the order of declaration.
pub fn reference() -> Vec<KeyDoc> {
    let mut docs = Vec::new();
    ServerConfig::document("server", &mut docs);
    StoreConfig::document("store", &mut docs);
    AuthConfig::document("auth", &mut docs);
    LogConfig::document("log", &mut docs);
    TrackingConfig::document("tracking", &mut docs);
    SchedulerConfig::document("scheduler", &mut docs);
    AgentConfig::document("agent", &mut docs);
    ServingConfig::document("serving", &mut docs);
    docs
}

impl Config {
    /// Rules between values, each a whole sentence.
    pub fn broken_rules(&self) -> Vec<String> {
        let mut rules = self.server.broken_rules();
        rules.extend(self.store.broken_rules());
        rules.extend(self.auth.broken_rules());
        rules.extend(self.tracking.broken_rules());
        rules.extend(self.scheduler.broken_rules());
        rules.extend(self.agent.broken_rules());
        rules.extend(self.serving.broken_rules());
        rules
    }
}

/// Declares a section: the struct, its defaults and the documentation of its keys, from one text.
/// A field `name: section Type` is a section within the section.
macro_rules! section {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])+ $field:ident : $type:ty = $default:expr, )+
            $( section $(#[doc = $inner_doc:literal])+ $inner:ident : $inner_type:ty, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "kebab-case", default)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )+
            $( $(#[doc = $inner_doc])+ pub $inner: $inner_type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ $( $inner: <$inner_type>::default(), )* }
            }
        }

        impl $name {
            pub(in crate::config) fn document(prefix: &str, docs: &mut Vec<crate::config::KeyDoc>) {
                $( docs.push(crate::config::KeyDoc {
                    key: format!("{prefix}.{}", stringify!($field).trim_start_matches("r#").replace('_', "-")),
                    text: [$($doc),+].concat().trim().to_owned(),
                }); )+
                $( <$inner_type>::document(&format!("{prefix}.{}", stringify!($inner).replace('_', "-")), docs); )*
            }
        }
    };
}
pub(in crate::config) use section;

/// Serialises and reads a type through its `Display` and `FromStr`.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(in crate::config) use serde_as_text;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_is_documented() {
        let keys: BTreeSet<String> = layers::default_keys();
        let documented: BTreeSet<String> = reference().into_iter().map(|doc| doc.key).collect();
        assert_eq!(keys, documented);
        assert!(reference().iter().all(|doc| doc.text.ends_with('.')), "documentation is whole sentences");
    }

    #[test]
    fn defaults_break_no_rule() {
        assert_eq!(Config::default().broken_rules(), Vec::<String>::new());
    }
}
