//! What attempts write. It is kept in segments beside the attempts, outside the database; who runs them reads it.

pub(crate) mod http;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use mcplane_core::{Result, Timestamp};
use uuid::Uuid;

/// Which part of a log is wanted, as `kubectl logs` asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Part {
    /// Go on until the attempt has ended.
    pub follow: bool,
    /// The last so many lines.
    pub tail_lines: Option<u64>,
    /// Nothing older.
    pub since: Option<Timestamp>,
    /// At most so many bytes.
    pub limit_bytes: Option<u64>,
    /// With the time before each line.
    pub timestamps: bool,
}

/// Lines on their way out.
pub type Lines = BoxStream<'static, Result<Bytes>>;

/// Reads logs.
pub trait Logs: Send + Sync {
    /// A part of what an attempt wrote; empty for one that wrote nothing or is forgotten.
    fn read(&self, attempt: Uuid, part: Part) -> BoxFuture<'_, Result<Lines>>;
}
