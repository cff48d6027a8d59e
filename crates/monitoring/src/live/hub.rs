//! All deployments of this server.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use foldhash::HashMap;
use mcplane_core::{Clock, Timestamp};

use super::{Labelling, Looked, Prediction, Rows, Tally, WatchConfig, Watched};
use crate::PredictionId;
use crate::profiles::Profile;
use crate::records::{Acknowledge, Found, Kind, Reader, Record, Recorder, RecorderConfig, Refusal};
use crate::windows::{Labelled, Traffic};

/// A window of traffic to be kept.
#[derive(Debug)]
pub struct Kept {
    /// `NAME.NAMESPACE`.
    pub host: String,
    /// Which version.
    pub subset: String,
    /// The window.
    pub traffic: Traffic,
}

/// How large windows are, by host.
pub type Sizes = HashMap<String, WatchConfig>;

#[derive(Debug, Default)]
struct Service {
    config: WatchConfig,
    versions: HashMap<String, Arc<Mutex<Watched>>>,
}

/// The windows of all deployments, and the records behind them.
#[derive(Debug)]
pub struct Hub {
    services: RwLock<HashMap<String, Service>>,
    recorder: Recorder,
    folder: PathBuf,
    clock: Arc<dyn Clock>,
}

fn lock(watched: &Mutex<Watched>) -> MutexGuard<'_, Watched> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// Opens the records in `folder`, and fills the windows from them; those that `sizes` does not name by host have the
    /// usual sizes. Blocking.
    ///
    /// # Errors
    /// When the folder can't be read or written.
    pub fn open(folder: &Path, config: RecorderConfig, sizes: Sizes, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let (recorder, _) = Recorder::open(folder, config, Arc::clone(&clock))?;
        let service = |config| Service { config, ..Service::default() };
        let services = sizes.into_iter().map(|(host, config)| (host, service(config))).collect();
        let hub = Self { services: RwLock::new(services), recorder, folder: folder.to_owned(), clock };
        hub.read_back()?;
        Ok(hub)
    }

    /// Predictions and labels again, in the order in which they came.
    fn read_back(&self) -> io::Result<()> {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        let waits = services.values().map(|service| service.config.outcomes.wait_ms);
        let from = self.clock.now() - waits.fold(WatchConfig::default().outcomes.wait_ms, i64::max);
        drop(services);
        let mut labels = Vec::new();
        Reader::scan(&self.folder.join("labels"), from, |record| labels.push(record))?;
        let mut labels = labels.into_iter().peekable();
        // Labels name predictions only; whose they are is known from the predictions.
        let mut whose: HashMap<PredictionId, Arc<Mutex<Watched>>> = HashMap::default();
        let join = |record: Record, whose: &HashMap<PredictionId, Arc<Mutex<Watched>>>| {
            if let (Some(watched), Ok(truth)) = (whose.get(&record.id), serde_json::from_slice(&record.body)) {
                lock(watched).labelled(record.at, record.id, truth);
            }
        };
        Reader::scan(&self.folder.join("predictions"), from, |record| {
            while let Some(label) = labels.next_if(|label| label.at < record.at) {
                join(label, &whose);
            }
            // What an older server wrote may say other things.
            let Ok(prediction) = serde_json::from_slice::<Prediction>(&record.body) else { return };
            let watched = self.watched(&prediction.host, &prediction.subset);
            lock(&watched).predicted(record.at, record.id, &prediction.rows);
            whose.insert(record.id, watched);
        })?;
        for label in labels {
            join(label, &whose);
        }
        // What was right before the start was counted before it.
        self.each(|_, _, watched| {
            watched.drain();
        });
        Ok(())
    }

    fn found(&self, host: &str, subset: &str) -> Option<Arc<Mutex<Watched>>> {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        services.get(host)?.versions.get(subset).cloned()
    }

    fn watched(&self, host: &str, subset: &str) -> Arc<Mutex<Watched>> {
        if let Some(watched) = self.found(host, subset) {
            return watched;
        }
        let mut services = self.services.write().unwrap_or_else(PoisonError::into_inner);
        let service = services.entry(host.to_owned()).or_default();
        let made = || Arc::new(Mutex::new(Watched::new(service.config)));
        Arc::clone(service.versions.entry(subset.to_owned()).or_insert_with(made))
    }

    /// A request was answered.
    pub fn answered(&self, host: &str, subset: &str, status: u16, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        lock(&self.watched(host, subset)).answered(self.clock.now(), status, us);
    }

    /// Something was predicted; it is in the windows at once, and on disk within [`crate::records::LOSS_WINDOW_MS`].
    ///
    /// # Errors
    /// When the disk does not keep up. The windows have it all the same.
    pub fn predicted(&self, host: &str, subset: &str, id: PredictionId, rows: Rows) -> Result<(), Refusal> {
        let prediction = Prediction { host: host.to_owned(), subset: subset.to_owned(), rows: rows.thinned() };
        let now = self.clock.now();
        lock(&self.watched(host, subset)).predicted(now, id, &prediction.rows);
        let body = serde_json::to_vec(&prediction).unwrap_or_default();
        self.recorder.prediction(Record { kind: Kind::Prediction, id, at: now, body })
    }

    /// Takes a label; `acknowledge` is called once it is durable.
    ///
    /// # Errors
    /// When it can't be taken; then nothing is.
    pub fn label(&self, labelling: &Labelling, acknowledge: Acknowledge) -> Result<(), Refusal> {
        let body = serde_json::to_vec(&labelling.truth).unwrap_or_default();
        let record = Record { kind: Kind::Label, id: labelling.id, at: self.clock.now(), body };
        self.recorder.label(record, acknowledge)
    }

    /// Joins a durable label with its prediction, of the services in `namespace`.
    pub fn join(&self, namespace: &str, labelling: Labelling) -> Labelled {
        let now = self.clock.now();
        let mut outcome = Labelled::Unknown;
        for watched in self.of_namespace(namespace) {
            outcome = lock(&watched).labelled(now, labelling.id, labelling.truth.clone());
            if outcome != Labelled::Unknown {
                break;
            }
        }
        outcome
    }

    fn of_namespace(&self, namespace: &str) -> Vec<Arc<Mutex<Watched>>> {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        let of = |host: &str| host.split_once('.').is_some_and(|(_, rest)| rest == namespace);
        services.iter().filter(|(host, _)| of(host)).flat_map(|(_, s)| s.versions.values().cloned()).collect()
    }

    /// What is on disk of a prediction. Blocking.
    ///
    /// # Errors
    /// When the disk can't be read.
    pub fn find(&self, id: PredictionId) -> io::Result<Found> {
        Reader::find(&self.folder, id)
    }

    /// How large the windows of a service are from now on; those that differ begin anew. What they are compared with stays.
    pub fn configure(&self, host: &str, config: WatchConfig) {
        let mut services = self.services.write().unwrap_or_else(PoisonError::into_inner);
        let service = services.entry(host.to_owned()).or_default();
        if service.config != config {
            service.config = config;
            for watched in service.versions.values() {
                lock(watched).resize(config);
            }
        }
    }

    /// Forgets the windows of a version.
    pub fn forget(&self, host: &str, subset: &str) {
        let mut services = self.services.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(service) = services.get_mut(host) {
            service.versions.remove(subset);
        }
    }

    /// The versions of a service that something was heard of.
    pub fn versions(&self, host: &str) -> Vec<String> {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        let mut versions: Vec<String> =
            services.get(host).map(|service| service.versions.keys().cloned().collect()).unwrap_or_default();
        versions.sort();
        versions
    }

    /// What the windows of a version say now.
    pub fn look(&self, host: &str, subset: &str, now: Timestamp) -> Option<Looked> {
        self.found(host, subset).map(|watched| lock(&watched).look(now))
    }

    /// What a version did since the last call.
    pub fn drain(&self, host: &str, subset: &str) -> Tally {
        self.found(host, subset).map(|watched| lock(&watched).drain()).unwrap_or_default()
    }

    /// Compares a version with this profile from now on.
    pub fn refer(&self, host: &str, subset: &str, profile: &Profile) {
        lock(&self.watched(host, subset)).refer(profile);
    }

    /// Whether a version is compared with something.
    pub fn is_referred(&self, host: &str, subset: &str) -> bool {
        self.found(host, subset).is_some_and(|watched| lock(&watched).is_referred())
    }

    /// The profile of a version's first window, once it is full and there is nothing else to compare with.
    pub fn first(&self, host: &str, subset: &str) -> Option<Profile> {
        self.found(host, subset).and_then(|watched| lock(&watched).first().cloned())
    }

    fn each(&self, mut act: impl FnMut(&str, &str, &mut Watched)) {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        for (host, service) in &*services {
            for (subset, watched) in &service.versions {
                act(host, subset, &mut lock(watched));
            }
        }
    }

    /// Requests, errors and predictions of each version since the start.
    pub fn totals(&self) -> Vec<(String, String, [u64; 3])> {
        let mut totals = Vec::new();
        self.each(|host, subset, watched| totals.push((host.to_owned(), subset.to_owned(), watched.counts())));
        totals.sort();
        totals
    }

    /// Windows of traffic that changed since the last call, to be kept.
    pub fn changed(&self) -> Vec<Kept> {
        let mut kept = Vec::new();
        self.each(|host, subset, watched| {
            if let Some(traffic) = watched.changed() {
                kept.push(Kept { host: host.to_owned(), subset: subset.to_owned(), traffic: traffic.clone() });
            }
        });
        kept
    }

    /// Puts a window back that was kept.
    pub fn restore(&self, kept: Kept) {
        lock(&self.watched(&kept.host, &kept.subset)).restore(kept.traffic);
    }

    /// Predictions that were not recorded, and records that could not be written.
    pub fn lost(&self) -> (u64, u64) {
        self.recorder.lost()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use mcplane_core::SystemClock;

    use super::*;
    use crate::statistics::Share;
    use crate::windows::{Observed, Predicted};

    const HOST: &str = "fraud.lab";

    fn hub(folder: &Path) -> Hub {
        Hub::open(folder, RecorderConfig::default(), Sizes::default(), Arc::new(SystemClock)).unwrap()
    }

    fn rows(age: f64) -> Rows {
        Rows {
            features: vec![("age".into(), vec![Observed::Number(age)])],
            predicted: vec![Predicted::Class("yes".into())],
        }
    }

    #[test]
    fn windows_are_back_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let first = hub(folder.path());
        let ids: Vec<PredictionId> = (0..10).map(|n| PredictionId::new(SystemClock.now(), 7, n)).collect();
        for (at, id) in ids.iter().enumerate() {
            first.predicted(HOST, "v1", *id, rows(at as f64)).unwrap();
            first.answered(HOST, "v1", 200, Duration::from_millis(3));
        }
        let (sender, receiver) = channel();
        let labelling = Labelling { id: ids[3], truth: Predicted::Class("yes".into()) };
        first.label(&labelling, Box::new(move |outcome| sender.send(outcome.is_ok()).unwrap())).unwrap();
        assert!(receiver.recv().unwrap());
        assert_eq!(first.join("elsewhere", labelling.clone()), Labelled::Unknown, "another namespace");
        assert_eq!(first.join("lab", labelling.clone()), Labelled::Joined);
        let mut kept = first.changed();
        assert_eq!((kept.len(), first.changed().len()), (1, 0));
        drop(first);

        let other = WatchConfig { rows: 5, ..WatchConfig::default() };
        let sizes = || Sizes::from_iter([(HOST.to_owned(), other)]);
        let small = Hub::open(folder.path(), RecorderConfig::default(), sizes(), Arc::new(SystemClock)).unwrap();
        small.configure(HOST, other);
        let right = small.look(HOST, "v1", SystemClock.now()).unwrap().right;
        assert_eq!(right, Share::new(1, 1), "sizes that are known from the beginning cost nothing");
        drop(small);

        let again = hub(folder.path());
        again.restore(kept.remove(0));
        let looked = again.look(HOST, "v1", SystemClock.now()).unwrap();
        assert_eq!((looked.traffic.requests, looked.right), (10, Share::new(1, 1)));
        assert_eq!(again.join("lab", labelling), Labelled::Repeated);
        assert!(again.drain(HOST, "v1").is_empty());
        assert_eq!(again.versions(HOST), ["v1"]);
        again.configure(HOST, WatchConfig { rows: 5, ..WatchConfig::default() });
        assert_eq!(again.look(HOST, "v1", SystemClock.now()).unwrap().traffic.requests, 0);
        again.forget(HOST, "v1");
        assert!(again.look(HOST, "v1", 0).is_none());
    }
}
