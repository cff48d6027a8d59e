//! Passwords are hashed beside the requests, few at a time: each costs 19 MiB of memory and tens of milliseconds of a core.

use mcplane_core::Result;
use mcplane_core::turns::Turns;

use super::password;

/// Hashes under way at most, however many cores there are.
const MOST_RUNNING: usize = 4;
/// Requests that may wait for their turn; more are turned away.
const MOST_WAITING: usize = 64;

/// Bounds how many passwords are hashed at once.
pub(super) struct Hasher(Turns);

impl Hasher {
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Turns::new(
            cores.min(MOST_RUNNING),
            MOST_WAITING,
            "too many passwords are being checked at once; try again",
        ))
    }

    /// See [`password::hash`].
    ///
    /// # Errors
    /// As there; [`mcplane_core::Error::TooManyRequests`] when too many wait.
    pub(super) async fn hash(&self, password: String) -> Result<String> {
        self.0.run(move || password::hash(&password)).await
    }

    /// See [`password::verify`].
    ///
    /// # Errors
    /// As there; [`mcplane_core::Error::TooManyRequests`] when too many wait.
    pub(super) async fn verify(&self, password: String, stored: Option<String>) -> Result<bool> {
        self.0.run(move || password::verify(&password, stored.as_deref())).await
    }
}
