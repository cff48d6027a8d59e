//! A watch that goes on over crashes from the last revision that it was shown.

use super::ledger::{Ledger, payload};
use super::{Connection, NAMESPACE, revision};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(super) struct Watcher {
    mirror: Arc<Mutex<BTreeMap<String, u64>>>,
    reached: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl Watcher {
    pub(super) fn start(connection: Connection, from: &str, ledger: Arc<Ledger>) -> Self {
        let mirror = Arc::new(Mutex::new(BTreeMap::new()));
        let (reach, reached) = watch::channel(from.parse().expect("a revision is a number"));
        let task = tokio::spawn(follow(connection, reach, mirror.clone(), ledger));
        Self { mirror, reached, task }
    }

    /// Waits until the watch has come to `revision`.
    pub(super) async fn catch_up(&mut self, revision: u64) {
        let reached = self.reached.wait_for(|reached| *reached >= revision);
        let Ok(reached) = tokio::time::timeout(Duration::from_secs(30), reached).await else {
            panic!("a watch does not get to revision {revision}: it is at {}", *self.reached.borrow());
        };
        if reached.is_err() {
            // The task has panicked: show its own words.
            (&mut self.task).await.expect("watch");
        }
    }

    /// The events, applied one after the other, give what a list gives.
    pub(super) fn agrees_with(&self, truth: &[ConfigMap]) {
        let truth: BTreeMap<String, u64> = truth.iter().map(|map| (map.name_any(), revision(map))).collect();
        assert_eq!(*self.mirror.lock().unwrap(), truth, "the watch shows another world than the list");
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    mut connection: Connection,
    reach: watch::Sender<u64>,
    mirror: Arc<Mutex<BTreeMap<String, u64>>>,
    ledger: Arc<Ledger>,
) {
    loop {
        let Ok(client) = connection.wait_for(Option::is_some).await.map(|client| client.clone()) else { return };
        let Some(client) = client else { continue };
        let maps: Api<ConfigMap> = Api::namespaced(client, NAMESPACE);
        let from = reach.borrow().to_string();
        let parameters = WatchParams::default().timeout(60);
        match maps.watch(&parameters, &from).await {
            Ok(events) => {
                let mut events = events.boxed();
                while let Ok(Some(event)) = events.try_next().await {
                    take(event, &reach, &mirror, &ledger);
                }
            }
            Err(kube::Error::Api(status)) if status.code < 500 => panic!("a watch from {from} is refused: {status:?}"),
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn take(
    event: WatchEvent<ConfigMap>,
    reach: &watch::Sender<u64>,
    mirror: &Mutex<BTreeMap<String, u64>>,
    ledger: &Ledger,
) {
    let last = *reach.borrow();
    let mut mirror = mirror.lock().unwrap();
    let (map, now, before) = match event {
        WatchEvent::Added(map) => (map, true, false),
        WatchEvent::Modified(map) => (map, true, true),
        WatchEvent::Deleted(map) => (map, false, true),
        WatchEvent::Bookmark(bookmark) => {
            let at: u64 = bookmark.metadata.resource_version.parse().expect("a revision is a number");
            assert!(at >= last, "a bookmark goes back from {last} to {at}");
            reach.send_replace(at);
            return;
        }
        WatchEvent::Error(status) => panic!("a watch at {last} breaks with {status:?}"),
    };
    let (name, at) = (map.name_any(), revision(&map));
    assert!(at > last, "{name}: revision {at} after {last}");
    let known = if now { mirror.insert(name.clone(), at) } else { mirror.remove(&name) };
    assert_eq!(known.is_some(), before, "{name} at {at}: an event before this one is missing");
    ledger.shown(at, &name, now.then(|| payload(&map)));
    drop(mirror);
    reach.send_replace(at);
}
