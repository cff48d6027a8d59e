//! What is loaded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use mcplane_core::{Error, Result};
use tokio::sync::{Semaphore, watch};

use super::types::Revision;
use crate::engine::Engine;
use crate::metrics::Metrics;
use crate::models::{About, Loaded, Repository};

/// Models that are loaded at a time: it takes processors and memory that answers need.
const LOADS_AT_ONCE: usize = 2;

/// A revision that answers.
#[derive(Debug, Clone)]
pub struct Running {
    /// What it is.
    pub revision: Revision,
    /// What answers.
    pub loaded: Arc<Loaded>,
}

/// Why a revision does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) message: String,
    /// Whether another try would end the same way.
    pub(super) lasting: bool,
}

#[derive(Debug, Default)]
struct State {
    running: BTreeMap<u64, Arc<Running>>,
    faults: HashMap<u64, Fault>,
}

/// One service, as far as it is loaded.
#[derive(Debug)]
pub struct Service {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    uid: String,
    repository: Arc<Repository>,
    state: RwLock<State>,
}

impl Service {
    /// The newest revision that is ready.
    pub fn newest(&self) -> Option<Arc<Running>> {
        self.read(|state| state.running.values().next_back().cloned())
    }

    /// A revision by its number.
    pub fn running(&self, number: u64) -> Option<Arc<Running>> {
        self.read(|state| state.running.get(&number).cloned())
    }

    /// Numbers of all that is loaded, lowest first.
    pub fn numbers(&self) -> Vec<u64> {
        self.read(|state| state.running.keys().copied().collect())
    }

    /// Its models, with the number of the revision as version.
    pub fn repository(&self) -> &Arc<Repository> {
        &self.repository
    }

    pub(super) fn fault(&self, number: u64) -> Option<Fault> {
        self.read(|state| state.faults.get(&number).cloned())
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What whoever directs traffic says of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pin {
    /// Revisions that must stay loaded.
    pub keep: BTreeSet<u64>,
    /// Where traffic goes, by revision in percent; empty for all of it to the newest that is ready.
    pub traffic: Vec<(u64, u32)>,
}

/// What is said of services, by namespace and name.
pub type Pins = HashMap<(String, String), Pin>;

type Key = (String, String);

/// All services of this process.
pub struct Fleet {
    engine: Arc<dyn Engine>,
    metrics: Metrics,
    services: RwLock<HashMap<Key, Arc<Service>>>,
    changes: watch::Sender<u64>,
    /// `None` until it is known what must be kept.
    pins: watch::Sender<Option<Arc<Pins>>>,
    loads: Arc<Semaphore>,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl Fleet {
    /// Nothing yet.
    pub fn new(engine: Arc<dyn Engine>, metrics: Metrics) -> Self {
        Self {
            engine,
            metrics,
            services: RwLock::default(),
            changes: watch::Sender::new(0),
            pins: watch::Sender::new(None),
            loads: Arc::new(Semaphore::new(LOADS_AT_ONCE)),
        }
    }

    /// Tells of each change of what is loaded.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Says what must be kept loaded, and what becomes of traffic.
    pub fn pin(&self, pins: Pins) {
        self.pins.send_if_modified(|known| {
            let differs = known.as_deref() != Some(&pins);
            *known = Some(Arc::new(pins));
            differs
        });
    }

    /// What must be kept loaded.
    pub(super) fn pins(&self) -> watch::Receiver<Option<Arc<Pins>>> {
        self.pins.subscribe()
    }

    /// What is said of one service; `None` while nothing is known.
    pub(super) fn pin_of(&self, namespace: &str, name: &str) -> Option<Pin> {
        let pins = self.pins.borrow().clone()?;
        Some(pins.get(&(namespace.to_owned(), name.to_owned())).cloned().unwrap_or_default())
    }

    /// A service that is known here.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        services.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// All services, by namespace and name.
    pub fn all(&self) -> Vec<Arc<Service>> {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Arc<Service>> = services.values().cloned().collect();
        drop(services);
        all.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
        all
    }

    /// The service of that uid; what another of its name had loaded is freed.
    pub(super) fn enter(&self, namespace: &str, name: &str, uid: &str) -> Arc<Service> {
        let mut services = self.services.write().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(known) = services.get(&key).filter(|known| known.uid == uid) {
            return Arc::clone(known);
        }
        let service = Arc::new(Service {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            repository: Arc::new(Repository::new(Arc::clone(&self.engine), self.metrics.within(namespace))),
            state: RwLock::default(),
        });
        let old = services.insert(key, Arc::clone(&service));
        drop(services);
        old.inspect(|old| old.repository.clear());
        service
    }

    /// Forgets services that are not among those of `alive`, by namespace, name and uid.
    pub fn retain(&self, alive: impl Fn(&str, &str, &str) -> bool) {
        let mut services = self.services.write().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<Key> = services
            .iter()
            .filter(|(_, service)| !alive(&service.namespace, &service.name, &service.uid))
            .map(|(key, _)| key.clone())
            .collect();
        let freed: Vec<_> = gone.iter().filter_map(|key| services.remove(key)).collect();
        drop(services);
        freed.iter().for_each(|service| service.repository.clear());
    }

    /// Loads a revision beside the threads that answer, and lets it answer; or notes why it can't.
    pub(super) async fn load(&self, service: &Arc<Service>, revision: Revision, content: Bytes) -> Result<()> {
        let slot = Arc::clone(&self.loads).acquire_owned().await.map_err(Error::internal)?;
        let (repository, name, number) = (Arc::clone(&service.repository), service.name.clone(), revision.number);
        let about = About::new(&revision);
        let loading = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            repository.load_as(&name, number, &content, Some(about))
        });
        match loading.await.map_err(Error::internal)? {
            Ok(loaded) => {
                service.change(|state| {
                    state.faults.remove(&number);
                    state.running.insert(number, Arc::new(Running { revision, loaded }));
                });
                self.changes.send_modify(|count| *count += 1);
                Ok(())
            }
            Err(error) => {
                self.failed(service, number, &error);
                Err(error)
            }
        }
    }

    /// Notes why a revision can't answer.
    pub(super) fn failed(&self, service: &Service, number: u64, error: &Error) {
        let lasting = error.http_status() < 500;
        service.change(|state| state.faults.insert(number, Fault { message: error.to_string(), lasting }));
    }

    /// Unloads what is not in `keep`. Requests that have begun end on what they began with.
    pub(super) fn unload(&self, service: &Service, keep: &BTreeSet<u64>) {
        let gone = service.change(|state| {
            state.faults.retain(|number, _| keep.contains(number));
            let gone: Vec<u64> = state.running.keys().copied().filter(|number| !keep.contains(number)).collect();
            gone.iter().filter_map(|number| state.running.remove(number)).collect::<Vec<_>>()
        });
        for number in service.repository.list().iter().map(|listed| listed.version) {
            if !keep.contains(&number) {
                service.repository.unload(&service.name, number);
            }
        }
        if !gone.is_empty() {
            self.changes.send_modify(|count| *count += 1);
        }
    }
}
