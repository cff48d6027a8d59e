//! Python environments that functions run in, made once for each set of requirements.
//!
//! An environment is known by a digest of what it is made of: the interpreter, the packages, and where they come from. It
//! lies at `<data-dir>/environments/<digest>`, a link that appears when the environment is whole, so what is there can be
//! used. It is made by a task, whose log people can read, and whoever needs it waits for that task. Which are kept, `upkeep` says.

mod build;
mod metrics;
mod python;
mod script;
mod upkeep;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use mcplane_core::{Error, Result};
use mcplane_scheduler::jobs::Tasks;
use mcplane_scheduler::tasks::{State, Task};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

pub use metrics::Metrics;
pub use python::{Python, Pythons};
pub use script::{Function, Install};
pub use upkeep::Limits;
use upkeep::{Found, Shelf};

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
    limits: Limits,
    metrics: Metrics,
    /// Held by whoever marks an environment as used, or drops one that is not.
    shelf: tokio::sync::Mutex<()>,
    /// Bytes of environments, which do not change.
    sizes: Mutex<HashMap<String, u64>>,
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
    /// Environments below a folder, made by tasks, and kept within limits.
    pub fn new(folder: PathBuf, tasks: Arc<dyn Tasks>, limits: Limits, metrics: Metrics) -> Self {
        Self {
            folder,
            tasks,
            limits,
            metrics,
            shelf: tokio::sync::Mutex::default(),
            sizes: Mutex::default(),
            making: Mutex::default(),
            waiting: Mutex::default(),
        }
    }

    /// The environment of a recipe, if it is there.
    pub fn find(&self, recipe: &Recipe) -> Option<PathBuf> {
        let target = self.folder.join(recipe.key());
        is_whole(&target).then_some(target)
    }

    /// The environment of a recipe for a run, which holds it until the run is over; made now if it is not there. Its task
    /// belongs to `namespace`.
    ///
    /// # Errors
    /// When the task can't be made; inside, when it failed.
    pub async fn ready(
        &self,
        recipe: &Recipe,
        run: &str,
        namespace: &str,
        trace: &str,
    ) -> Result<Result<PathBuf, NotMade>> {
        let key = recipe.key();
        let target = self.folder.join(&key);
        let (marked, holder) = (key.clone(), run.to_owned());
        let shelf = self.shelf.lock().await;
        self.on_disk(move |shelf| shelf.mark(&marked, &holder)).await?;
        drop(shelf);
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
        let build = self.folder.join(upkeep::MADE).join(format!("{}-{}", &key[..16], uuid::Uuid::new_v4().simple()));
        let new = build::new_task(recipe, key, &target.display().to_string(), &build.display().to_string());
        let submitted = self.tasks.submit(namespace, vec![new], trace).await?;
        let Some(task) = submitted.into_iter().next() else {
            return Err(Error::internal("a task that was made is not there"));
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
        receiver.await.map_err(|_| Error::internal("nobody listens to tasks any more"))
    }

    /// Removes environments that nobody holds and that have no place any more; `open` tells the runs that have not ended.
    ///
    /// # Errors
    /// Of the disk, or those of `open`.
    pub async fn tidy(&self, open: impl AsyncFnOnce() -> Result<HashSet<String>>) -> Result<()> {
        let now = SystemTime::now();
        let (marked, keys) = self.on_disk(|shelf| Ok((shelf.marked()?, shelf.keys()?))).await?;
        // Asked after the marks were read: a run that is not open now has marked its last.
        let open = open().await?;
        let over: Vec<_> = marked.into_iter().filter(|(_, run)| !open.contains(run)).collect();
        let sizes = self.sizes(keys).await?;
        let (limits, known) = (self.limits, sizes.clone());
        let shelf = self.shelf.lock().await;
        let dropping = move |shelf: &Shelf| {
            over.iter().try_for_each(|(key, run)| shelf.unmark(key, run))?;
            let condemned = upkeep::condemned(shelf.all(&known)?, limits, now);
            condemned.iter().try_for_each(|one| shelf.drop_link(&one.key))?;
            shelf.forget_missing()?;
            Ok(condemned)
        };
        let dropped = self.on_disk(dropping).await?;
        drop(shelf);
        self.tell(&sizes, &dropped, now);
        self.on_disk(move |shelf| shelf.clear(now)).await
    }

    /// Bytes of the environments that are there. Each is measured once.
    async fn sizes(&self, keys: Vec<String>) -> Result<HashMap<String, u64>> {
        let mut sizes = lock(&self.sizes).clone();
        let sizes = self
            .on_disk(move |shelf| {
                sizes.retain(|key, _| keys.contains(key));
                for key in keys {
                    sizes.entry(key).or_insert_with_key(|key| shelf.bytes(key));
                }
                Ok(sizes)
            })
            .await?;
        lock(&self.sizes).clone_from(&sizes);
        Ok(sizes)
    }

    fn tell(&self, sizes: &HashMap<String, u64>, dropped: &[Found], now: SystemTime) {
        for one in dropped {
            let unused = now.duration_since(one.used_at).unwrap_or_default().as_secs();
            tracing::info!(
                environment = one.key,
                bytes = one.bytes,
                unused_seconds = unused,
                "an environment is removed"
            );
            lock(&self.sizes).remove(&one.key);
        }
        let gone: u64 = dropped.iter().map(|one| one.bytes).sum();
        let left = sizes.values().sum::<u64>().saturating_sub(gone);
        self.metrics.removed.inc_by(dropped.len() as u64);
        self.metrics.count.set(i64::try_from(sizes.len().saturating_sub(dropped.len())).unwrap_or(i64::MAX));
        self.metrics.bytes.set(i64::try_from(left).unwrap_or(i64::MAX));
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shelf) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let shelf = Shelf { folder: self.folder.clone() };
        let done = tokio::task::spawn_blocking(move || work(&shelf)).await.map_err(Error::internal)?;
        let folder = self.folder.display();
        done.map_err(|error| Error::Unavailable { message: format!("{folder} can't be used: {error}"), source: None })
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
