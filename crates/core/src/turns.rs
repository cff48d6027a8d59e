//! Work that keeps a processor busy, done beside the requests: some pieces at a time, some waiting, the rest turned away.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::{Error, Result};

/// A queue for work.
#[derive(Debug)]
pub struct Turns {
    places: Semaphore,
    running: Arc<Semaphore>,
    refusal: &'static str,
}

impl Turns {
    /// `running` pieces at a time and `waiting` more; `refusal` is the whole sentence for those who are turned away.
    pub fn new(running: usize, waiting: usize, refusal: &'static str) -> Self {
        Self { places: Semaphore::new(running + waiting), running: Arc::new(Semaphore::new(running)), refusal }
    }

    /// Does the work on a thread that may block, when its turn comes.
    ///
    /// # Errors
    /// Those of the work; [`Error::TooManyRequests`] when too many wait.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let _place = self
            .places
            .try_acquire()
            .map_err(|_| Error::TooManyRequests { message: self.refusal.to_owned(), retry_after_s: 1 })?;
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
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn few_run_some_wait_and_the_rest_is_turned_away() {
        let turns = Arc::new(Turns::new(2, 8, "later"));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = || {
            let (turns, now, most) = (Arc::clone(&turns), Arc::clone(&now), Arc::clone(&most));
            tokio::spawn(async move {
                let work = move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(50));
                    now.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                };
                turns.run(work).await
            })
        };
        let all: Vec<_> = (0..15).map(|_| work()).collect();
        let mut refused = 0;
        for one in all {
            refused += usize::from(matches!(one.await.unwrap(), Err(Error::TooManyRequests { .. })));
        }
        assert_eq!((refused, most.load(Ordering::SeqCst)), (5, 2));
    }
}
