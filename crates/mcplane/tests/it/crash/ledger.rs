//! What the writers know about each object, and what every revision stands for.

use super::revision;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

/// Payload of an object; none when there is no object.
pub(super) type Value = Option<String>;

#[derive(Default)]
pub(super) struct Ledger(Mutex<State>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Known>,
    /// What each revision did: name and payload, none for a deletion.
    revisions: BTreeMap<u64, (String, Value)>,
    /// Revisions that a writer was told, and so must come by in every watch.
    acknowledged: BTreeSet<u64>,
    /// How many watchers have shown a revision.
    shown: BTreeMap<u64, usize>,
    /// Highest revision that anybody had seen when the server last died.
    horizon: u64,
    writes: usize,
    doubts: usize,
}

#[derive(Default)]
struct Known {
    value: Value,
    revision: u64,
    /// What a write without answer would have left.
    doubt: Option<Value>,
}

impl Ledger {
    /// The state that a writer starts from.
    pub(super) fn value(&self, name: &str) -> (Value, u64) {
        let state = self.0.lock().unwrap();
        state.objects.get(name).map_or((None, 0), |known| (known.value.clone(), known.revision))
    }

    /// A write is under way: until it is answered, both outcomes are possible.
    pub(super) fn attempt(&self, name: &str, value: Value) {
        self.0.lock().unwrap().objects.entry(name.to_owned()).or_default().doubt = Some(value);
    }

    /// The server has answered with success; deletions come without a revision.
    pub(super) fn acknowledge(&self, name: &str, revision: Option<u64>) {
        let mut state = self.0.lock().unwrap();
        let known = state.objects.get_mut(name).unwrap();
        known.value = known.doubt.take().expect("an attempt comes first");
        known.revision = revision.unwrap_or(0);
        let value = known.value.clone();
        state.writes += 1;
        if let Some(revision) = revision {
            assert!(
                revision > state.horizon,
                "{name}: revision {revision} is from before the crash, which had {}",
                state.horizon
            );
            state.acknowledged.insert(revision);
            state.means(revision, name, value);
        }
    }

    pub(super) fn acknowledge_marker(&self, map: &ConfigMap) {
        self.attempt(&map.name_any(), Some(String::new()));
        self.acknowledge(&map.name_any(), Some(revision(map)));
    }

    /// A watcher was shown a revision.
    pub(super) fn shown(&self, revision: u64, name: &str, value: Value) {
        let mut state = self.0.lock().unwrap();
        *state.shown.entry(revision).or_default() += 1;
        state.means(revision, name, value);
    }

    /// After a restart: what was acknowledged is there, what was in doubt is one or the other, nothing else exists.
    pub(super) fn settle(&self, found: &[ConfigMap]) {
        let mut state = self.0.lock().unwrap();
        let mut found: BTreeMap<String, (String, u64)> =
            found.iter().map(|map| (map.name_any(), (payload(map), revision(map)))).collect();
        let mut doubts = 0;
        for (name, known) in &mut state.objects {
            let actual = found.remove(name);
            let (value, at) = actual.map_or((None, 0), |(value, at)| (Some(value), at));
            match known.doubt.take() {
                Some(doubt) => {
                    doubts += 1;
                    assert!(value == known.value || value == doubt, "{name} is {value:?}, never written so");
                    if value == known.value && value.is_some() {
                        assert_eq!(at, known.revision, "{name} changed its revision but not its content");
                    }
                }
                None => {
                    assert_eq!((&value, at), (&known.value, known.revision), "{name}: an acknowledged write is lost")
                }
            }
            (known.value, known.revision) = (value, at);
        }
        assert!(found.is_empty(), "nobody wrote {found:?}");
        state.doubts += doubts;
        let known: Vec<(String, Value, u64)> = state
            .objects
            .iter()
            .filter(|(_, known)| known.revision > 0)
            .map(|(name, known)| (name.clone(), known.value.clone(), known.revision))
            .collect();
        for (name, value, revision) in known {
            state.means(revision, &name, value);
        }
        state.horizon = state.revisions.keys().next_back().copied().unwrap_or(0);
    }

    /// Every acknowledged revision has come by in each watch (once: a watcher refuses what does not rise).
    pub(super) fn every_watcher_saw_all(&self, watchers: usize) {
        let state = self.0.lock().unwrap();
        for revision in &state.acknowledged {
            let shown = state.shown.get(revision).copied().unwrap_or(0);
            let what = &state.revisions[revision];
            assert_eq!(shown, watchers, "revision {revision} ({what:?}) was shown to {shown} of {watchers} watchers");
        }
        for (revision, shown) in &state.shown {
            assert_eq!(*shown, watchers, "revision {revision} was shown to {shown} of {watchers} watchers");
        }
    }

    /// Acknowledged writes and writes in doubt so far.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.0.lock().unwrap();
        (state.writes, state.doubts)
    }
}

impl State {
    fn means(&mut self, revision: u64, name: &str, value: Value) {
        let meaning = (name.to_owned(), value);
        let known = self.revisions.entry(revision).or_insert_with(|| meaning.clone());
        assert_eq!(*known, meaning, "revision {revision} stands for two things");
    }
}

/// The unique text in an object.
pub(super) fn payload(map: &ConfigMap) -> String {
    map.data.as_ref().and_then(|data| data.get("v")).cloned().unwrap_or_default()
}
