//! How object stores are reached: the variables that every tool of the field reads, handed in by whoever starts.

use std::collections::BTreeMap;
use std::fmt;

/// Credentials and endpoints. The library reads no environment of its own.
#[derive(Clone, Default)]
pub struct BlobsConfig(BTreeMap<String, String>);

impl BlobsConfig {
    /// Picks what it knows from an environment: `AWS_*` and `MLFLOW_S3_ENDPOINT_URL`, `GOOGLE_*` and
    /// `STORAGE_EMULATOR_HOST`, `AZURE_*`, and the proxies `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`.
    pub fn from_vars<K: Into<String>, V: Into<String>>(vars: impl IntoIterator<Item = (K, V)>) -> Self {
        const PREFIXES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];
        const NAMES: [&str; 5] =
            ["MLFLOW_S3_ENDPOINT_URL", "STORAGE_EMULATOR_HOST", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"];
        let known = |name: &str| PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name);
        let vars = vars.into_iter().map(|(name, value)| (name.into().to_ascii_uppercase(), value.into()));
        Self(vars.filter(|(name, value)| known(name) && !value.is_empty()).collect())
    }

    /// The value of the first of some variables that is set.
    pub(crate) fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.0.get(*name)).map(String::as_str)
    }

    /// The variables with a prefix, names in lower case.
    pub(crate) fn with_prefix(&self, prefix: &'static str) -> impl Iterator<Item = (String, &str)> {
        let found = self.0.iter().filter(move |(name, _)| name.starts_with(prefix));
        found.map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
    }
}

impl fmt::Debug for BlobsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlobsConfig")?;
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_what_it_knows_and_shows_no_value() {
        let vars = [("AWS_SECRET_ACCESS_KEY", "hunter2"), ("PATH", "/bin"), ("https_proxy", "p"), ("AWS_REGION", "")];
        let config = BlobsConfig::from_vars(vars);
        assert_eq!(format!("{config:?}"), r#"BlobsConfig{"AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY"}"#);
        assert_eq!(config.first(&["AWS_REGION", "HTTPS_PROXY"]), Some("p"));
        let aws: Vec<_> = config.with_prefix("AWS_").collect();
        assert_eq!(aws, [("aws_secret_access_key".to_owned(), "hunter2")]);
    }
}
