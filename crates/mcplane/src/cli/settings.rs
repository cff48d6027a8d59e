//! Flags that set configuration, shared by the commands that need a server's configuration.

use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;
use crate::config::{Input, Loaded, Override, load};

/// Flags of the settings that people set most; `--set` reaches all others.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings (flags win over environment, file and defaults)")]
pub(super) struct Settings {
    /// Configuration file; without it DATA_DIR/mcplane.yaml is read if it exists
    #[arg(long, value_name = "FILE", env = "MCPLANE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Directory of database, keys and certificates
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Address and port, such as 127.0.0.1:5080; off loopback TLS and logins are required
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Address and port of the data plane, where models answer; 127.0.0.1:5081 beside port 5080
    #[arg(long, value_name = "ADDR:PORT")]
    serving_listen: Option<String>,
    /// Database: sqlite, or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Where clients put artifacts of new experiments: mlflow-artifacts:/ (through the server), or a URL
    #[arg(long, value_name = "URI")]
    default_artifact_root: Option<String>,
    /// Where artifacts sent through the server are kept: a directory, s3://, gs:// or az://
    #[arg(long, value_name = "URI")]
    artifacts_destination: Option<String>,
    /// Directory of MLflow's own web pages (mlflow/server/js/build of its Python package)
    #[arg(long, value_name = "DIR")]
    mlflow_ui: Option<String>,
    /// Speak plain HTTP off loopback, because a proxy in front ends TLS
    #[arg(long)]
    behind_tls_proxy: bool,
    /// auto, text or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// error, warn, info, debug or trace, also for single parts: info,mcplane_db=debug
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Any setting, such as server.max-body=8MiB; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Settings {
    /// Nothing but where the data is.
    pub(super) fn of(data_dir: String, store: Option<String>) -> Self {
        Self { data_dir: Some(data_dir), store, ..Self::default() }
    }

    /// Reads the configuration with these flags on top.
    pub(super) fn load(&self) -> Result<Loaded, Failure> {
        Ok(load(&self.input(Input::from_process())?)?)
    }

    fn input(&self, base: Input) -> Result<Input, Failure> {
        let mut flags = Vec::new();
        for assignment in &self.set {
            let (key, text) = assignment
                .split_once('=')
                .ok_or_else(|| Failure::usage(format!("--set {assignment:?}: write it like server.max-body=8MiB")))?;
            flags.push(Override { key: key.trim().into(), text: text.into(), flag: "--set".into() });
        }
        // Later values win: a flag of its own over --set.
        let named = [
            ("server.data-dir", "--data-dir", &self.data_dir),
            ("server.listen", "--listen", &self.listen),
            ("serving.listen", "--serving-listen", &self.serving_listen),
            ("store.url", "--store", &self.store),
            ("tracking.default-artifact-root", "--default-artifact-root", &self.default_artifact_root),
            ("tracking.artifacts-destination", "--artifacts-destination", &self.artifacts_destination),
            ("tracking.mlflow-ui", "--mlflow-ui", &self.mlflow_ui),
            ("log.format", "--log-format", &self.log_format),
            ("log.level", "--log-level", &self.log_level),
        ];
        for (key, flag, value) in named {
            flags.extend(value.as_ref().map(|text| Override {
                key: key.into(),
                text: text.clone(),
                flag: flag.into(),
            }));
        }
        if self.behind_tls_proxy {
            let (key, flag) = ("server.behind-tls-proxy".into(), "--behind-tls-proxy".into());
            flags.push(Override { key, text: "true".into(), flag });
        }
        Ok(Input { flags, file: self.config.clone(), ..base })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_name_themselves_as_sources() {
        let settings = Settings {
            listen: Some("127.0.0.1:1".into()),
            behind_tls_proxy: true,
            set: vec!["server.listen=127.0.0.1:2".into(), "server.max-body = 8MiB".into()],
            ..Settings::default()
        };
        let loaded = load(&settings.input(Input::default()).unwrap()).unwrap();
        assert_eq!(loaded.config.server.listen.0.port(), 1);
        assert_eq!(loaded.config.server.max_body.0, 8 << 20);
        let source = |key: &str| loaded.settings.iter().find(|s| s.key == key).unwrap().source.to_string();
        assert_eq!(source("server.listen"), "--listen");
        assert_eq!(source("server.max-body"), "--set");
        assert_eq!(source("server.behind-tls-proxy"), "--behind-tls-proxy");
    }

    #[test]
    fn an_assignment_needs_a_value() {
        let settings = Settings { set: vec!["server.max-body".into()], ..Settings::default() };
        assert!(settings.input(Input::default()).unwrap_err().text().contains("write it like"));
    }
}
