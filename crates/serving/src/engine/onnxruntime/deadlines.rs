//! Ends runs that take too long: a model may have a loop without an end.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use ort::session::{NoSelectedOutputs, RunOptions};

/// A run, as the library lets it be stopped.
pub(super) type Run = RunOptions<NoSelectedOutputs>;

/// Watches runs, all of which may take the same time, so that they end in the order in which they began.
#[derive(Debug, Clone)]
pub(super) struct Deadlines {
    runs: Sender<(Instant, Weak<Run>)>,
    /// How long a run may take.
    pub(super) longest: Duration,
}

impl Deadlines {
    /// Starts the thread that watches.
    pub(super) fn start(longest: Duration) -> io::Result<Self> {
        let (runs, begun) = channel::<(Instant, Weak<Run>)>();
        let watch = move || {
            for (end, run) in begun {
                thread::sleep(end.saturating_duration_since(Instant::now()));
                if let Some(run) = run.upgrade() {
                    // It fails for a run that ended meanwhile.
                    let _ = run.terminate();
                }
            }
        };
        thread::Builder::new().name("onnxruntime-deadlines".to_owned()).spawn(watch)?;
        Ok(Self { runs, longest })
    }

    /// Watches a run from now until it is dropped.
    pub(super) fn watch(&self, run: &Arc<Run>) {
        // A time beyond what clocks count is none.
        let Some(end) = Instant::now().checked_add(self.longest) else { return };
        // The thread ends with the last sender only.
        let _ = self.runs.send((end, Arc::downgrade(run)));
    }
}
