//! From a pod's template to an assignment of the agent's.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use mcplane_agent::protocol::{Assignment, Limits, LogLimits};
use mcplane_apimachinery::quantity::Quantity;
use uuid::Uuid;

use super::resolve::{Refusal, Resolver, expand};
use super::{Inner, NO_IMAGE, environment};
use crate::tasks::{Outcome, Task, Work};

/// Why there is no assignment.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// The attempt can't run at all.
    Impossible(Outcome),
    /// What it needs is away; it may be there in a moment.
    Away(String),
}

impl From<Refusal> for Obstacle {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Wrong(why) => Self::Impossible(Outcome::impossible("CreateContainerConfigError", why)),
            Refusal::Away(why) => Self::Away(why),
        }
    }
}

impl Inner {
    /// What the agent is told of an attempt.
    pub(super) async fn assignment(&self, attempt: Uuid, task: &Task) -> Result<Assignment, Obstacle> {
        let refuse = |why: String| Obstacle::from(Refusal::Wrong(why));
        let Work::Pod(template) = &task.spec.work else { return Err(refuse("the task has no pod".to_owned())) };
        let template: PodTemplateSpec = serde_json::from_value(template.clone()).map_err(|e| refuse(e.to_string()))?;
        let spec = template.spec.ok_or_else(|| refuse("the template has no spec".to_owned()))?;
        let [container] = &spec.containers[..] else {
            return Err(refuse("a pod runs as one process here: give it exactly one container".to_owned()));
        };
        if spec.init_containers.as_ref().is_some_and(|containers| !containers.is_empty()) {
            return Err(refuse("init containers are not supported here".to_owned()));
        }
        let image = container.image.as_deref().unwrap_or_default();
        let (command, args) =
            (container.command.clone().unwrap_or_default(), container.args.clone().unwrap_or_default());
        let chosen = self
            .images
            .choose(image, command, args)
            .map_err(|why| Obstacle::Impossible(Outcome::impossible(NO_IMAGE, why)))?;
        if let Some(warning) = &chosen.warning {
            self.warn(task, "UnmappedImage", warning).await;
        }
        let account = spec.service_account_name.as_deref().unwrap_or("default");
        let mut env = environment::inherited();
        if let Some(image) = &chosen.image {
            enter(&mut env, image);
        }
        env.extend(self.surroundings.of(task, account).await.map_err(Refusal::from)?);
        let mut resolver = Resolver::new(&self.client, &task.namespace);
        env.extend(resolver.env_from(container.env_from.as_deref().unwrap_or_default()).await?);
        resolver.env(task, container.env.as_deref().unwrap_or_default(), &mut env).await?;
        let (volumes, mounts) = (spec.volumes.unwrap_or_default(), container.volume_mounts.clone().unwrap_or_default());
        let files = resolver.files(&volumes, &mounts).await?;
        let code = match &task.spec.code {
            Some(digest) => Some(self.archives.local(digest).await.map_err(Refusal::from)?),
            None => None,
        };
        let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
        Ok(Assignment {
            attempt,
            task: task.no,
            fence: task.attempt,
            name: task.name.clone(),
            namespace: task.namespace.to_string(),
            command: chosen.command.iter().map(|word| expand(word, &env)).collect(),
            env: last_of_each(env),
            files,
            fresh: task.spec.fresh.clone(),
            working_dir: container.working_dir.as_deref().filter(|dir| !dir.is_empty()).map(PathBuf::from),
            code,
            limits: limits.map(read_limits).unwrap_or_default(),
            deadline: task.spec.timeout_ms.map(duration),
            grace: duration(task.spec.grace_ms),
            log: LogLimits::default(),
        })
    }
}

fn duration(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn read_limits(limits: &BTreeMap<String, ApiQuantity>) -> Limits {
    let read = |name: &str| limits.get(name).and_then(|text| text.0.parse::<Quantity>().ok());
    Limits {
        cpu_milli: read("cpu").and_then(|cpu| u64::try_from(cpu.milli()).ok()),
        memory_bytes: read("memory").and_then(|memory| u64::try_from(memory.value()).ok()),
        ..Limits::default()
    }
}

/// Puts the programs of an image's environment first.
fn enter(env: &mut Vec<(String, String)>, image: &super::Image) {
    if !image.venv.is_empty() {
        let path = env.iter().rev().find(|(name, _)| name == "PATH").map_or("/usr/bin:/bin", |(_, value)| value);
        let path = format!("{}/bin:{path}", image.venv);
        env.push(("PATH".to_owned(), path));
        env.push(("VIRTUAL_ENV".to_owned(), image.venv.clone()));
    }
    env.extend(image.env.clone());
}

/// What is said last of a variable holds.
fn last_of_each(env: Vec<(String, String)>) -> Vec<(String, String)> {
    env.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect()
}
