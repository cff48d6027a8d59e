//! The `tracking` section. Its keys are named as MLflow's server names its flags.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use mcplane_blobs::Location;
use mcplane_core::units::ByteSize;
use mcplane_egress::Policy;
use mcplane_tracking::Push;
use mcplane_tracking::artifacts::is_proxied;

use super::{section, serde_as_text};

section! {
    /// Experiments, models and their artifacts.
    pub struct TrackingConfig {
        /// Where artifacts of new experiments go, as clients see it: `mlflow-artifacts:/` sends them through this server,
        /// a URL such as `s3://bucket/prefix` has clients reach that place themselves, and
        /// `http://HOST/api/2.0/mlflow-artifacts/artifacts` is this server by its address.
        default_artifact_root: ArtifactUri = ArtifactUri("mlflow-artifacts:/".to_owned()),
        /// Where artifacts that come through this server are kept: a directory or a URL of the schemes file, s3, gs and az;
        /// `artifacts` in the data directory if empty.
        artifacts_destination: ArtifactUri = ArtifactUri(String::new()),
        /// Largest artifact that comes through this server.
        max_artifact: ByteSize = ByteSize(1 << 40),
        /// Buckets of others, such as `s3://models`, from which models may be registered: the server reads and copies them.
        model_sources: Vec<String> = Vec::new(),
        /// Directory of MLflow's own web pages, `mlflow/server/js/build` of its Python package; none are served if empty.
        mlflow_ui: String = String::new(),
        /// Whom webhooks may reach besides public hosts by https: hosts such as `hooks.internal` and `*.internal`, networks such as
        /// `10.0.0.0/8`; these also without TLS.
        webhook_hosts: Vec<String> = Vec::new(),
        /// Server that is told of runs as OpenLineage events, such as `http://marquez:5000`; its key comes from OPENLINEAGE_API_KEY in
        /// the environment. None is if empty.
        openlineage_url: String = String::new(),
    }
}

impl TrackingConfig {
    pub(super) fn broken_rules(&self) -> Vec<String> {
        let Self { default_artifact_root: root, artifacts_destination: destination, .. } = self;
        let mut rules = Vec::new();
        if !is_proxied(&root.0)
            && let Err(error) = Location::parse(&root.0)
        {
            rules.push(format!("tracking.default-artifact-root: {error}"));
        }
        if !destination.0.is_empty()
            && let Err(error) = Location::parse(&destination.0)
        {
            rules.push(format!("tracking.artifacts-destination: {error}"));
        }
        rules.extend(self.webhook_policy().err().map(|error| format!("tracking.webhook-hosts: {error}")));
        rules.extend(self.openlineage(None).err().map(|error| format!("tracking.openlineage-url: {error}")));
        rules.extend(self.sources().err().map(|error| format!("tracking.model-sources: {error}")));
        rules
    }

    /// Buckets from which models may be registered.
    ///
    /// # Errors
    /// For what is no bucket.
    pub fn sources(&self) -> mcplane_core::Result<Vec<Location>> {
        let bucket = |url: &String| match Location::parse(url)? {
            location if location.is_local() => {
                Err(mcplane_core::Error::bad_request(format!("{url} is a directory and no bucket")))
            }
            location => Ok(location),
        };
        self.model_sources.iter().map(bucket).collect()
    }

    /// Whom webhooks may reach.
    ///
    /// # Errors
    /// For what is neither a host nor a network.
    pub fn webhook_policy(&self) -> mcplane_core::Result<Policy> {
        Policy::allowing(&self.webhook_hosts).map_err(mcplane_core::Error::bad_request)
    }

    /// Who is told of runs, with that key.
    ///
    /// # Errors
    /// For what is no URL, or no key.
    pub fn openlineage(&self, key: Option<&str>) -> mcplane_core::Result<Option<Push>> {
        let url = Some(self.openlineage_url.trim()).filter(|url| !url.is_empty());
        url.map(|url| Push::new(url, key.filter(|key| !key.is_empty()))).transpose()
    }

    /// Where artifacts that come through the server are kept.
    ///
    /// # Errors
    /// For a destination that breaks the rules.
    pub fn destination(&self, data_dir: &Path) -> mcplane_core::Result<Location> {
        match self.artifacts_destination.0.as_str() {
            "" => {
                let absolute: PathBuf =
                    std::path::absolute(data_dir.join("artifacts")).map_err(mcplane_core::Error::internal)?;
                Ok(Location::File(absolute))
            }
            url => Location::parse(url),
        }
    }
}

/// A place for artifacts, without credentials: those come from the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactUri(pub String);

serde_as_text!(ArtifactUri);

impl FromStr for ArtifactUri {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.split_once("://").is_some_and(|(_, rest)| {
            rest.split('/').next().is_some_and(|host| host.contains(':') && host.contains('@'))
        }) {
            return Err(
                "an artifact location holds no password: give it in the environment, such as AWS_SECRET_ACCESS_KEY"
                    .to_owned(),
            );
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ArtifactUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_checked() {
        let rules = |root: &str, destination: &str| {
            let (root, destination) = (root.parse().unwrap(), destination.parse().unwrap());
            TrackingConfig {
                default_artifact_root: root,
                artifacts_destination: destination,
                ..TrackingConfig::default()
            }
            .broken_rules()
        };
        assert_eq!(rules("s3://bucket/a", "/srv/artifacts"), Vec::<String>::new());
        assert_eq!(rules("mlflow-artifacts:/", "gs://bucket"), Vec::<String>::new());
        assert_eq!(rules("http://h:1/api/2.0/mlflow-artifacts/artifacts", ""), Vec::<String>::new());
        assert_eq!(rules("http://h:1/elsewhere", "").len(), 1);
        assert_eq!(rules("ftp://x", "relative").len(), 2);
        let config = TrackingConfig {
            webhook_hosts: vec!["http://x".to_owned()],
            openlineage_url: "marquez".to_owned(),
            ..TrackingConfig::default()
        };
        assert_eq!(config.broken_rules().len(), 2, "{:?}", config.broken_rules());
        assert!("s3://key:secret@bucket".parse::<ArtifactUri>().is_err());
    }
}
