//! What attempts write. It is kept in segments beside the attempts, outside the database; who runs them reads it.

pub(crate) mod http;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt as _, empty};
use mcplane_agent::ProcessExecutor;
use mcplane_agent::executor::ExecutorError;
pub use mcplane_agent::logs::LogOptions;
use mcplane_core::{Error, Result};
use uuid::Uuid;

/// Lines on their way out.
pub type Lines = BoxStream<'static, Result<Bytes>>;

/// Reads logs.
pub trait Logs: Send + Sync {
    /// A part of what an attempt wrote; empty for one that wrote nothing or is forgotten.
    fn read(&self, attempt: Uuid, options: LogOptions) -> BoxFuture<'_, Result<Lines>>;
}

impl Logs for ProcessExecutor {
    fn read(&self, attempt: Uuid, options: LogOptions) -> BoxFuture<'_, Result<Lines>> {
        let lines = match self.logs(attempt, options) {
            Ok(lines) => Ok(lines.map(|piece| piece.map_err(Error::internal)).boxed()),
            // It has not begun here, or its log is older than logs are kept.
            Err(ExecutorError::Unknown(_)) => Ok(empty().boxed()),
            Err(error) => Err(Error::internal(error)),
        };
        Box::pin(std::future::ready(lines))
    }
}
