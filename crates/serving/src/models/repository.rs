//! Which versions there are.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use mcplane_core::turns::Turns;
use mcplane_core::{Error, Result};

use super::types::{About, Loaded, Version};
use super::warm::warm;
use crate::engine::Engine;
use crate::metrics::Metrics;

/// What is known of a version.
#[derive(Debug, Clone)]
enum State {
    Ready(Arc<Loaded>),
    /// It could not be loaded, and why.
    Failed(Arc<str>),
}

/// A version in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Name of the model.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Whether it answers.
    pub ready: bool,
    /// Why it does not.
    pub reason: String,
}

type Versions = BTreeMap<Version, State>;

/// All models of a server.
#[derive(Debug)]
pub struct Repository {
    engine: Arc<dyn Engine>,
    models: RwLock<HashMap<Arc<str>, Versions>>,
    metrics: Metrics,
}

/// Longest name of a model, in bytes.
const MAX_NAME: usize = 253;
/// Requests that may wait for a slow model; more are turned away.
const MOST_WAITING: usize = 256;

impl Repository {
    /// An empty repository.
    pub fn new(engine: Arc<dyn Engine>, metrics: Metrics) -> Self {
        Self { engine, models: RwLock::default(), metrics }
    }

    /// Loads a version, which takes a while: not for a thread that has other work. A version of that number that is
    /// ready is swapped for the new one at once; if the new one is broken, the old one goes on.
    ///
    /// # Errors
    /// `BadRequest` when the name or the content is no good.
    pub fn load(&self, name: &str, version: Version, content: &[u8]) -> Result<Arc<Loaded>> {
        self.load_as(name, version, content, None)
    }

    /// [`Repository::load`], for a revision of a service.
    ///
    /// # Errors
    /// As for [`Repository::load`].
    pub fn load_as(&self, name: &str, version: Version, content: &[u8], about: Option<About>) -> Result<Arc<Loaded>> {
        if name.is_empty() || name.len() > MAX_NAME || name.contains(['/', '?', '#']) || version == 0 {
            let message = format!(
                "{name:?} with version {version} is no name of a model: versions begin with 1, names have no slash"
            );
            return Err(Error::BadRequest(message));
        }
        let started = Instant::now();
        let model = match self.engine.load(content) {
            Ok(model) => model,
            Err(error) => {
                let reason: Arc<str> = error.to_string().into();
                let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
                let versions = models.entry(name.into()).or_default();
                if !matches!(versions.get(&version), Some(State::Ready(_))) {
                    versions.insert(version, State::Failed(reason));
                }
                return Err(Error::BadRequest(format!("model {name:?} version {version}: {error}")));
            }
        };
        warm(name, &*model);
        let took = started.elapsed();
        let metrics = self.metrics.of_version(name, version);
        metrics.loaded(model.memory(), took);
        // Such a model answers one request at a time; another is decoded meanwhile.
        let turns =
            model.is_slow().then(|| Turns::new(2, MOST_WAITING, "too many requests wait for the model; try again"));
        let (name, version_text) = (Arc::<str>::from(name), version.to_string());
        let loaded = Arc::new(Loaded { name: name.clone(), version, version_text, model, took, metrics, about, turns });
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        let old = models.entry(name).or_default().insert(version, State::Ready(loaded.clone()));
        // The old version may be large: it is freed without anybody waiting for the lock.
        drop(models);
        drop(old);
        Ok(loaded)
    }

    /// Forgets a version; `false` when it was not there.
    pub fn unload(&self, name: &str, version: Version) -> bool {
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        let Some(versions) = models.get_mut(name) else { return false };
        let old = versions.remove(&version);
        if versions.is_empty() {
            models.remove(name);
        }
        drop(models);
        if old.is_some() {
            self.metrics.forget(name, version);
        }
        old.is_some()
    }

    /// Forgets all versions.
    pub(crate) fn clear(&self) {
        for listed in self.list() {
            self.unload(&listed.name, listed.version);
        }
    }

    /// The version that answers: the one asked for, or the highest that is ready.
    ///
    /// # Errors
    /// `Missing` when there is none, `Unavailable` when it could not be loaded.
    pub fn get(&self, name: &str, version: Option<Version>) -> Result<Arc<Loaded>> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        let versions = models.get(name).ok_or_else(|| Error::Missing(format!("there is no model {name:?}")))?;
        let state = match version {
            Some(version) => versions.get(&version),
            None => {
                let ready = |state: &&State| matches!(state, State::Ready(_));
                versions.values().rev().find(ready).or_else(|| versions.values().next_back())
            }
        };
        match state {
            Some(State::Ready(loaded)) => Ok(loaded.clone()),
            Some(State::Failed(reason)) => Err(Error::Unavailable {
                message: format!("model {name:?} could not be loaded: {reason}"),
                source: None,
            }),
            None => {
                let version = version.unwrap_or_default();
                Err(Error::Missing(format!("model {name:?} has no version {version}; it has {:?}", versions.keys())))
            }
        }
    }

    /// Versions of a model that are ready, lowest first.
    pub fn versions(&self, name: &str) -> Vec<Version> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        let ready = |(version, state): (&Version, &State)| matches!(state, State::Ready(_)).then_some(*version);
        models.get(name).map(|versions| versions.iter().filter_map(ready).collect()).unwrap_or_default()
    }

    /// Every version of every model, by name and version.
    pub fn list(&self) -> Vec<Listed> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::new();
        for (name, versions) in models.iter() {
            for (&version, state) in versions {
                let reason = if let State::Failed(reason) = state { reason.to_string() } else { String::new() };
                all.push(Listed { name: name.to_string(), version, ready: reason.is_empty(), reason });
            }
        }
        drop(models);
        all.sort_by(|one, other| (&one.name, one.version).cmp(&(&other.name, other.version)));
        all
    }

    /// Whether every version could be loaded.
    pub fn is_ready(&self) -> bool {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        models.values().flat_map(BTreeMap::values).all(|state| matches!(state, State::Ready(_)))
    }
}
