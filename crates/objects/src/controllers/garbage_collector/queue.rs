//! Uids that wait to be looked at: each once, failed ones again after a while.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::Notify;

/// Uids looked at together: enough to fill a group commit.
const CONCURRENT: usize = 64;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<String>,
    /// What is in `waiting`.
    known: HashSet<String>,
    /// What is being looked at; if it is added meanwhile, it must be looked at once more.
    busy: HashSet<String>,
    failures: HashMap<String, u32>,
}

/// What came of looking at a uid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing is left to do until it changes.
    Done,
    /// It must be looked at again, later.
    Retry,
}

impl Queue {
    pub(super) fn add(&self, uids: impl IntoIterator<Item = String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut added = false;
        for uid in uids {
            if state.known.insert(uid.clone()) {
                state.waiting.push_back(uid);
                added = true;
            }
        }
        if added {
            self.filled.notify_one();
        }
    }

    fn take(&self) -> Option<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is busy comes back to the queue when it is done.
        let place = state.waiting.iter().position(|uid| !state.busy.contains(uid))?;
        let uid = state.waiting.remove(place)?;
        state.known.remove(&uid);
        state.busy.insert(uid.clone());
        Some(uid)
    }

    /// How long to wait before the uid is tried again; `None` if it is done.
    fn settle(&self, uid: &str, outcome: Outcome) -> Option<Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.busy.remove(uid);
        if outcome == Outcome::Done {
            state.failures.remove(uid);
            return None;
        }
        let failures = state.failures.entry(uid.to_owned()).or_default();
        *failures += 1;
        Some((FIRST_WAIT * 2u32.saturating_pow(*failures - 1)).min(LONGEST_WAIT))
    }

    /// Looks at everything that is added, for ever.
    pub(super) async fn work<F: Future<Output = Outcome>>(&self, attend: impl Fn(String) -> F) {
        let mut running = FuturesUnordered::new();
        let mut delayed = FuturesUnordered::new();
        loop {
            while running.len() < CONCURRENT
                && let Some(uid) = self.take()
            {
                let outcome = attend(uid.clone());
                running.push(async move { (uid, outcome.await) });
            }
            tokio::select! {
                Some((uid, outcome)) = running.next() => {
                    if let Some(wait) = self.settle(&uid, outcome) {
                        delayed.push(async move {
                            tokio::time::sleep(wait).await;
                            uid
                        });
                    }
                }
                Some(uid) = delayed.next() => self.add([uid]),
                () = self.filled.notified() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn each_uid_is_looked_at_once_and_failures_again() {
        let queue = Queue::default();
        queue.add(["a", "b", "a"].map(str::to_owned));
        let looks = AtomicU32::new(0);
        let work = queue.work(|uid| {
            let look = looks.fetch_add(1, Ordering::SeqCst);
            async move { if uid == "b" && look < 4 { Outcome::Retry } else { Outcome::Done } }
        });
        // Four looks at `b`: at once, after 100 ms, 200 ms and 400 ms.
        assert!(tokio::time::timeout(Duration::from_secs(5), work).await.is_err());
        assert_eq!(looks.load(Ordering::SeqCst), 5);
    }
}
