//! Values that a template takes from elsewhere: secrets, config maps and the pod itself.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, EnvFromSource, EnvVar, EnvVarSource, KeyToPath, Secret, Volume, VolumeMount,
};
use kube::Api;
use mcplane_agent::protocol::File;

use crate::tasks::Task;

/// Why an attempt can't be made ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A sentence for whoever submitted the task: it is wrong, and stays so.
    Wrong(String),
    /// What has to be read is away just now.
    Away(String),
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self::Wrong(why)
    }
}

impl From<mcplane_core::Error> for Refusal {
    fn from(error: mcplane_core::Error) -> Self {
        let why = error.to_string();
        if error.http_status() < 500 { Self::Wrong(why) } else { Self::Away(why) }
    }
}

/// What a secret or a config map holds.
type Entries = BTreeMap<String, Vec<u8>>;

/// Reads what templates name, each object once.
pub(super) struct Resolver<'r> {
    client: &'r kube::Client,
    namespace: &'r str,
    read: BTreeMap<(bool, String), Option<Entries>>,
}

impl<'r> Resolver<'r> {
    pub(super) fn new(client: &'r kube::Client, namespace: &'r str) -> Self {
        Self { client, namespace, read: BTreeMap::new() }
    }

    /// The entries of a secret or a config map; `None` if there is none.
    async fn entries(&mut self, secret: bool, name: &str) -> Result<Option<&Entries>, Refusal> {
        let key = (secret, name.to_owned());
        if !self.read.contains_key(&key) {
            let failed = |error: kube::Error| {
                let why = format!("{name:?} could not be read: {error}");
                match error {
                    kube::Error::Api(status) if status.code < 500 => Refusal::Wrong(why),
                    _ => Refusal::Away(why),
                }
            };
            let found = if secret {
                let found = Api::<Secret>::namespaced(self.client.clone(), self.namespace).get_opt(name).await;
                let data = found.map_err(failed)?.map(|secret| secret.data.unwrap_or_default());
                data.map(|data| data.into_iter().map(|(key, value)| (key, value.0)).collect())
            } else {
                let found = Api::<ConfigMap>::namespaced(self.client.clone(), self.namespace).get_opt(name).await;
                found.map_err(failed)?.map(|map| {
                    let texts = map.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into_bytes()));
                    let bytes = map.binary_data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
                    texts.chain(bytes).collect()
                })
            };
            self.read.insert(key.clone(), found);
        }
        Ok(self.read.get(&key).and_then(Option::as_ref))
    }

    async fn required(&mut self, secret: bool, name: &str, optional: Option<bool>) -> Result<Entries, Refusal> {
        match self.entries(secret, name).await? {
            Some(entries) => Ok(entries.clone()),
            None if optional == Some(true) => Ok(BTreeMap::new()),
            None => Err(format!("{} {name:?} not found", kind(secret)).into()),
        }
    }

    /// Variables from whole objects.
    pub(super) async fn env_from(&mut self, sources: &[EnvFromSource]) -> Result<Vec<(String, String)>, Refusal> {
        let mut env = Vec::new();
        for source in sources {
            let (secret, name, optional) = match (&source.secret_ref, &source.config_map_ref) {
                (Some(secret), _) => (true, &secret.name, secret.optional),
                (None, Some(map)) => (false, &map.name, map.optional),
                (None, None) => continue,
            };
            let prefix = source.prefix.as_deref().unwrap_or_default();
            for (key, value) in self.required(secret, name, optional).await? {
                env.push((format!("{prefix}{key}"), text(secret, name, &key, value)?));
            }
        }
        Ok(env)
    }

    /// Variables one by one; `$(NAME)` of earlier ones is replaced, as Kubernetes does.
    pub(super) async fn env(
        &mut self,
        task: &Task,
        vars: &[EnvVar],
        env: &mut Vec<(String, String)>,
    ) -> Result<(), Refusal> {
        for var in vars {
            let value = match (&var.value_from, &var.value) {
                (Some(from), _) => match self.value_from(task, from).await? {
                    Some(value) => value,
                    None => continue,
                },
                (None, value) => expand(value.as_deref().unwrap_or_default(), env),
            };
            env.push((var.name.clone(), value));
        }
        Ok(())
    }

    async fn value_from(&mut self, task: &Task, from: &EnvVarSource) -> Result<Option<String>, Refusal> {
        if let Some(field) = &from.field_ref {
            return Ok(Some(match field.field_path.as_str() {
                "metadata.namespace" => task.namespace.to_string(),
                "metadata.name" => task.name.clone(),
                "metadata.uid" => super::attempt_id(&task.id, task.attempt).to_string(),
                "spec.nodeName" => task.node.as_deref().unwrap_or_default().to_owned(),
                other => return Err(format!("fieldRef {other:?} is not supported here").into()),
            }));
        }
        let (secret, name, key, optional) = match (&from.secret_key_ref, &from.config_map_key_ref) {
            (Some(secret), _) => (true, &secret.name, &secret.key, secret.optional),
            (None, Some(map)) => (false, &map.name, &map.key, map.optional),
            (None, None) => {
                return Err("a variable takes its value from something that is not supported here".to_owned().into());
            }
        };
        match self.required(secret, name, optional).await?.remove(key) {
            Some(value) => Ok(Some(text(secret, name, key, value)?)),
            None if optional == Some(true) => Ok(None),
            None => Err(format!("couldn't find key {key} in {} {}/{name}", kind(secret), self.namespace).into()),
        }
    }

    /// Files of the volumes that a container mounts, below the attempt's working directory.
    pub(super) async fn files(&mut self, volumes: &[Volume], mounts: &[VolumeMount]) -> Result<Vec<File>, Refusal> {
        let mut files = Vec::new();
        for mount in mounts {
            let volume = volumes.iter().find(|volume| volume.name == mount.name);
            let volume = volume.ok_or_else(|| format!("volumeMounts: there is no volume {:?}", mount.name))?;
            let dir = mount.mount_path.trim_start_matches('/');
            let (secret, name, optional, items, mode) = match (&volume.secret, &volume.config_map) {
                (Some(secret), _) => {
                    let name = secret.secret_name.clone().unwrap_or_default();
                    (true, name, secret.optional, &secret.items, secret.default_mode)
                }
                (None, Some(map)) => (false, map.name.clone(), map.optional, &map.items, map.default_mode),
                (None, None) if volume.empty_dir.is_some() => continue,
                (None, None) => {
                    return Err(format!("volume {:?} is of a kind that is not supported here", volume.name).into());
                }
            };
            let entries = self.required(secret, &name, optional).await?;
            let mode = mode.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(if secret { 0o400 } else { 0o644 });
            files.extend(chosen(entries, items.as_deref())?.into_iter().map(|(path, content)| File {
                path: std::path::Path::new(dir).join(path),
                content,
                mode,
            }));
        }
        Ok(files)
    }
}

fn chosen(mut entries: Entries, items: Option<&[KeyToPath]>) -> Result<Vec<(String, Vec<u8>)>, String> {
    let Some(items) = items else { return Ok(entries.into_iter().collect()) };
    let pick = |item: &KeyToPath| match entries.remove(&item.key) {
        Some(content) => Ok((item.path.clone(), content)),
        None => Err(format!("volume references a key that is not there: {}", item.key)),
    };
    items.iter().map(pick).collect()
}

fn kind(secret: bool) -> &'static str {
    if secret { "secret" } else { "configmap" }
}

/// Never quotes the value, which may be secret.
fn text(secret: bool, name: &str, key: &str, value: Vec<u8>) -> Result<String, String> {
    String::from_utf8(value).map_err(|_| format!("{key} of {} {name:?} is no text", kind(secret)))
}

/// Replaces `$(NAME)` by what is known; `$$(NAME)` stays as `$(NAME)`, and so does what is not known.
pub(crate) fn expand(text: &str, env: &[(String, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        if let Some(after) = tail.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = tail.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match env.iter().rev().find(|(known, _)| known == name) {
                Some((_, value)) => out.push_str(value),
                None => out.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            out.push('$');
            rest = tail;
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded_as_kubernetes_does() {
        let env = [("A".to_owned(), "1".to_owned()), ("A".to_owned(), "2".to_owned())];
        assert_eq!(expand("x$(A)y", &env), "x2y");
        assert_eq!(expand("$(B) $$(A) $A $", &env), "$(B) $(A) $A $");
        assert_eq!(expand("$(A", &env), "$(A");
    }
}
