//! Stopping in two steps: a request to stop, which everything long-lived watches, and the end of patience.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Tells all parts of the server when to stop. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    stop: CancellationToken,
    kill: CancellationToken,
}

impl Shutdown {
    /// A server that goes on until told otherwise.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops at SIGTERM or SIGINT, and at once at the second of them.
    ///
    /// # Errors
    /// When the signals can't be watched.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let told = shutdown.clone();
        tokio::spawn(async move {
            for action in [Self::request, Self::force] {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                tracing::info!(signal = name, "told to stop");
                action(&told);
            }
        });
        Ok(shutdown)
    }

    /// Asks everything to end what it is doing.
    pub fn request(&self) {
        self.stop.cancel();
    }

    /// Ends everything at once.
    pub fn force(&self) {
        self.stop.cancel();
        self.kill.cancel();
    }

    /// Whether the server was told to stop.
    pub fn is_requested(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Done as soon as the server is told to stop.
    pub fn requested(&self) -> WaitForCancellationFuture<'_> {
        self.stop.cancelled()
    }

    /// Done as soon as patience ends.
    pub fn forced(&self) -> WaitForCancellationFuture<'_> {
        self.kill.cancelled()
    }

    /// The request to stop as a token, for parts that know nothing of this type: a watch ends its stream, a
    /// controller its loop, when it is cancelled.
    pub fn token(&self) -> CancellationToken {
        self.stop.clone()
    }
}
