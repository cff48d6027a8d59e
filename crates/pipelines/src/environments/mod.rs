//! Python environments that functions run in, made once for each set of requirements.
//!
//! An environment is known by a digest of what it is made of: the interpreter, the packages, and where they come from. It
//! lies at `<data-dir>/environments/<digest>`, a link that appears when the environment is whole, so what is there can be
//! used. It is made by a task, whose log people can read, and whoever needs it waits for that task.

mod build;
mod python;
mod script;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mcplane_core::Result;
use mcplane_scheduler::jobs::Tasks;
use mcplane_scheduler::tasks::{State, Task};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

pub use python::{Python, Pythons};
pub use script::{Function, Install};

/// What an environment is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recipe {
    /// The interpreter, and what it comes with.
    pub python: Python,
    /// What is installed, in order.
    pub installs: Vec<Install>,
}

impl Recipe {
    /// What the environment is known by: SHA-256 in hex. The order of packages within an install makes no difference.
    pub fn key(&self) -> String {
        // Texts and lists of them always have a JSON form.
        let text = serde_json::to_string(self).unwrap_or_default();
        Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Why there is no environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the environment could not be made: {message}; its log is that of task {task}: `mcplane task logs {task}`")]
pub struct NotMade {
    /// The task that tried.
    pub task: String,
    /// How it ended.
    pub message: String,
}

/// All environments of this machine.
pub struct Environments {
    folder: PathBuf,
    tasks: Arc<dyn Tasks>,
    /// Environments that somebody makes or waits for.
    making: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Who waits for the end of which task.
    waiting: Mutex<HashMap<String, oneshot::Sender<Task>>>,
}

impl std::fmt::Debug for Environments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environments").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Environments {
    /// Environments below a folder, made by tasks.
    pub fn new(folder: PathBuf, tasks: Arc<dyn Tasks>) -> Self {
        Self { folder, tasks, making: Mutex::default(), waiting: Mutex::default() }
    }

    /// The environment of a recipe, if it is there.
    pub fn find(&self, recipe: &Recipe) -> Option<PathBuf> {
        let target = self.folder.join(recipe.key());
        is_whole(&target).then_some(target)
    }

    /// The environment of a recipe, made now if it is not there; its task belongs to `namespace`.
    ///
    /// # Errors
    /// When the task can't be made; inside, when it failed.
    pub async fn ready(&self, recipe: &Recipe, namespace: &str, trace: &str) -> Result<Result<PathBuf, NotMade>> {
        let key = recipe.key();
        let target = self.folder.join(&key);
        if is_whole(&target) {
            return Ok(Ok(target));
        }
        let turn = Arc::clone(lock(&self.making).entry(key.clone()).or_default());
        let _turn = turn.lock().await;
        let made = self.make(recipe, &key, &target, namespace, trace).await;
        if Arc::strong_count(&turn) <= 2 {
            lock(&self.making).remove(&key);
        }
        made
    }

    async fn make(
        &self,
        recipe: &Recipe,
        key: &str,
        target: &Path,
        namespace: &str,
        trace: &str,
    ) -> Result<Result<PathBuf, NotMade>> {
        if is_whole(target) {
            return Ok(Ok(target.to_owned()));
        }
        let build = self.folder.join(".made").join(format!("{}-{}", &key[..16], uuid::Uuid::new_v4().simple()));
        let new = build::new_task(recipe, key, &target.display().to_string(), &build.display().to_string());
        let submitted = self.tasks.submit(namespace, vec![new], trace).await?;
        let Some(task) = submitted.into_iter().next() else {
            return Err(mcplane_core::Error::internal("a task that was made is not there"));
        };
        let task = self.end_of(namespace, task).await?;
        if task.state == State::Succeeded && is_whole(target) {
            return Ok(Ok(target.to_owned()));
        }
        let message = if task.message.is_empty() { task.state.name().to_owned() } else { task.message };
        Ok(Err(NotMade { task: task.id, message }))
    }

    async fn end_of(&self, namespace: &str, task: Task) -> Result<Task> {
        let (sender, receiver) = oneshot::channel();
        lock(&self.waiting).insert(task.id.clone(), sender);
        // It may have ended before anybody waited.
        if let Some(now) = self.tasks.find(namespace, &task.id).await?
            && now.state.is_final()
        {
            lock(&self.waiting).remove(&task.id);
            return Ok(now);
        }
        receiver.await.map_err(|_| mcplane_core::Error::internal("nobody listens to tasks any more"))
    }

    /// A task has ended that may have made an environment.
    pub fn ended(&self, task: Task) {
        if let Some(waiting) = lock(&self.waiting).remove(&task.id) {
            // Whoever waited may have been told to stop.
            let _ = waiting.send(task);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_whole(target: &Path) -> bool {
    target.join("bin").join("python").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(version: &str, installs: &[&[&str]]) -> Recipe {
        let install = |words: &&[&str]| Install {
            options: vec![],
            requirements: words.iter().map(|word| (*word).to_owned()).collect(),
        };
        let python = Python { executable: "/usr/bin/python3".to_owned(), version: version.to_owned(), parents: vec![] };
        Recipe { python, installs: installs.iter().map(install).collect() }
    }

    #[test]
    fn an_environment_is_known_by_what_it_is_made_of() {
        let key = |version, installs: &[&[&str]]| recipe(version, installs).key();
        let first = key("3.11.7", &[&["kfp==2.17.0"]]);
        assert_eq!(first, key("3.11.7", &[&["kfp==2.17.0"]]));
        assert_eq!(first.len(), 64);
        for other in [
            key("3.12.0", &[&["kfp==2.17.0"]]),
            key("3.11.7", &[&["kfp==2.14.3"]]),
            key("3.11.7", &[&["kfp==2.17.0"], &["pandas"]]),
            key("3.11.7", &[]),
        ] {
            assert_ne!(first, other);
        }
    }
}
