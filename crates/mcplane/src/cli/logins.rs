//! The file of logins: `~/.config/mcplane/config`, in kubeconfig format, so that `kubectl --kubeconfig` reads it too.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use kube::config::Kubeconfig;
use serde_json::json;

use super::failure::Failure;
use crate::server::{PRIVATE, write_atomically};

/// One server, and who one is there.
#[derive(Clone, Default)]
pub(super) struct Login {
    /// Name of context and cluster.
    pub(super) name: String,
    /// The server's URL.
    pub(super) server: String,
    /// The certificate authority to trust, as PEM; without one the system's.
    pub(super) authority_pem: Option<String>,
    /// The user's name, for people to read.
    pub(super) user: Option<String>,
    /// What proves it.
    pub(super) token: Option<String>,
    /// Where commands work when told no namespace.
    pub(super) namespace: Option<String>,
}

impl Login {
    /// A kubeconfig of this login alone.
    pub(super) fn kubeconfig(&self) -> Result<Kubeconfig, Failure> {
        let mut kubeconfig = empty();
        self.put_into(&mut kubeconfig)?;
        Ok(kubeconfig)
    }

    fn put_into(&self, kubeconfig: &mut Kubeconfig) -> Result<(), Failure> {
        let mut cluster = json!({"server": self.server});
        if let Some(pem) = &self.authority_pem {
            cluster["certificate-authority-data"] = BASE64.encode(pem).into();
        }
        let mut context = json!({"cluster": self.name});
        if let Some(namespace) = &self.namespace {
            context["namespace"] = namespace.as_str().into();
        }
        let name = &self.name;
        let malformed = |error: serde_json::Error| Failure::from_error("can't build a kubeconfig", &error);
        // An entry without a credential would make kubectl ask for one.
        if let Some(token) = &self.token {
            let user = format!("{}@{name}", self.user.as_deref().unwrap_or("token"));
            context["user"] = user.as_str().into();
            kubeconfig.auth_infos.retain(|known| known.name != user);
            let entry = json!({"name": user, "user": {"token": token}});
            kubeconfig.auth_infos.push(serde_json::from_value(entry).map_err(malformed)?);
        }
        kubeconfig.clusters.retain(|known| known.name != *name);
        kubeconfig.contexts.retain(|known| known.name != *name);
        let named = |key: &str, value| json!({"name": name, key: value});
        kubeconfig.clusters.push(serde_json::from_value(named("cluster", cluster)).map_err(malformed)?);
        kubeconfig.contexts.push(serde_json::from_value(named("context", context)).map_err(malformed)?);
        kubeconfig.current_context = Some(name.clone());
        Ok(())
    }
}

fn empty() -> Kubeconfig {
    Kubeconfig { api_version: Some("v1".to_owned()), kind: Some("Config".to_owned()), ..Kubeconfig::default() }
}

/// The text of a kubeconfig.
pub(super) fn to_yaml(kubeconfig: &Kubeconfig) -> Result<String, Failure> {
    serde_norway::to_string(kubeconfig).map_err(|error| Failure::from_error("can't write a kubeconfig", &error))
}

/// Where logins are kept.
pub(super) fn path(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let set = |name: &str| environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("MCPLANE_KUBECONFIG").or_else(|| {
        let base = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
        Some(base.join("mcplane/config"))
    })
}

/// Reads a file of logins; a missing one holds none.
pub(super) fn read(path: &Path) -> Result<Kubeconfig, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Ok(empty()),
        Ok(text) => Kubeconfig::from_yaml(&text)
            .map_err(|error| Failure::from_error(format!("{} is no kubeconfig", path.display()), &error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(empty()),
        Err(error) => Err(Failure::from_error(format!("can't read {}", path.display()), &error)),
    }
}

/// Adds a login, or replaces the one of the same server, and makes it the current one.
pub(super) fn remember(path: &Path, login: &Login) -> Result<(), Failure> {
    let mut kubeconfig = read(path)?;
    login.put_into(&mut kubeconfig)?;
    let text = to_yaml(&kubeconfig)?;
    let failed = |error| Failure::from_error(format!("can't write {}", path.display()), &error);
    if let Some(dir) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    }
    write_atomically(path, text.as_bytes(), PRIVATE).map_err(failed)
}

/// The name of the context for a server: the current one if it is for that server, else the first that is.
pub(super) fn context_for(kubeconfig: &Kubeconfig, server: &str) -> Option<String> {
    let is_for_server = |name: &str| {
        let context = kubeconfig.contexts.iter().find(|context| context.name == name)?.context.as_ref()?;
        let cluster = kubeconfig.clusters.iter().find(|cluster| cluster.name == context.cluster)?.cluster.as_ref()?;
        (cluster.server.as_deref()?.trim_end_matches('/') == server).then(|| name.to_owned())
    };
    let current = kubeconfig.current_context.as_deref().and_then(is_for_server);
    current.or_else(|| kubeconfig.contexts.iter().find_map(|context| is_for_server(&context.name)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn login(host: &str, token: &str) -> Login {
        Login {
            name: host.into(),
            server: format!("https://{host}"),
            authority_pem: Some("PEM".into()),
            user: Some("ann".into()),
            token: Some(token.into()),
            namespace: None,
        }
    }

    #[test]
    fn logins_are_kept_privately_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mcplane/config");
        for (host, token) in [("a:1", "one"), ("b:1", "two"), ("a:1", "three")] {
            remember(&path, &login(host, token)).unwrap();
        }
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("three") && text.contains("two") && !text.contains("one"), "{text}");
        let kubeconfig = read(&path).unwrap();
        assert_eq!((kubeconfig.clusters.len(), kubeconfig.auth_infos.len()), (2, 2));
        assert_eq!(kubeconfig.current_context.as_deref(), Some("a:1"));
        assert_eq!(context_for(&kubeconfig, "https://b:1").as_deref(), Some("b:1"));
        assert_eq!(context_for(&kubeconfig, "https://c:1"), None);
    }

    #[test]
    fn foreign_fields_survive() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        std::fs::write(&path, "apiVersion: v1\nkind: Config\nclusters: []\nhouse: rules\n").unwrap();
        remember(&path, &login("a:1", "t")).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains("house: rules"));
        std::fs::write(&path, "clusters: 7").unwrap();
        assert!(remember(&path, &login("a:1", "t")).unwrap_err().text().contains("is no kubeconfig"));
    }

    #[test]
    fn the_file_lies_where_configuration_lies() {
        let at = |pairs: &[(&str, &str)]| {
            path(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        assert_eq!(at(&[("HOME", "/h")]), Some("/h/.config/mcplane/config".into()));
        assert_eq!(at(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]), Some("/x/mcplane/config".into()));
        assert_eq!(at(&[("HOME", "/h"), ("MCPLANE_KUBECONFIG", "/k")]), Some("/k".into()));
        assert_eq!(at(&[]), None);
    }
}
