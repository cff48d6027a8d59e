//! Passwords are hashed beside the requests, few at a time: each costs 19 MiB of memory and tens of milliseconds of a core.

use std::sync::Arc;

use mcplane_core::{Error, Result};
use tokio::sync::Semaphore;

use super::password;

/// Hashes under way at most, however many cores there are.
const MOST_RUNNING: usize = 4;
/// Requests that may wait for their turn; more are turned away.
const MOST_WAITING: usize = 64;

/// Bounds how many passwords are hashed at once.
pub(super) struct Hasher {
    places: Semaphore,
    running: Arc<Semaphore>,
}

impl Hasher {
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let running = cores.min(MOST_RUNNING);
        Self { places: Semaphore::new(running + MOST_WAITING), running: Arc::new(Semaphore::new(running)) }
    }

    /// See [`password::hash`].
    ///
    /// # Errors
    /// As there; [`Error::TooManyRequests`] when too many wait.
    pub(super) async fn hash(&self, password: String) -> Result<String> {
        self.run(move || password::hash(&password)).await
    }

    /// See [`password::verify`].
    ///
    /// # Errors
    /// As there; [`Error::TooManyRequests`] when too many wait.
    pub(super) async fn verify(&self, password: String, stored: Option<String>) -> Result<bool> {
        self.run(move || password::verify(&password, stored.as_deref())).await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let _place = self.places.try_acquire().map_err(|_| Error::TooManyRequests {
            message: "too many passwords are being checked at once; try again".to_owned(),
            retry_after_s: 1,
        })?;
        // The permit goes with the work: a client that goes away must not make room before its work is done.
        let turn = Arc::clone(&self.running).acquire_owned().await.map_err(Error::internal)?;
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        work.await.map_err(Error::internal)?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn few_run_some_wait_and_the_rest_is_turned_away() {
        let hasher = Hasher::new();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = || {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            hasher.run(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(1));
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            })
        };
        let capacity = hasher.places.available_permits();
        let outcomes = futures::future::join_all((0..capacity + 5).map(|_| work())).await;
        let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::TooManyRequests { .. }))).count();
        assert_eq!(refused, 5);
        assert!(outcomes.iter().filter(|outcome| outcome.is_ok()).count() == capacity);
        assert!(most.load(Ordering::SeqCst) <= MOST_RUNNING);
    }
}
