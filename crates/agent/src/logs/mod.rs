//! Reads what attempts said: for `kubectl logs`, and whoever else asks. A reader never holds up the program that writes.

mod entry;
mod reader;
mod tail;

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use mcplane_core::Timestamp;
use tokio::sync::Semaphore;

use crate::folder::Folder;
use reader::{Reader, Step};

/// How often a reader looks whether there is more.
const INTERVAL: Duration = Duration::from_millis(100);

/// Readers that look at a time. Those who wait take no thread: a thousand that follow would otherwise have hundreds.
const AT_ONCE: usize = 8;
static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);

/// Which part of a log, and how; the options of `kubectl logs`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on until the attempt has ended.
    pub follow: bool,
    /// Only this many of the last lines.
    pub tail_lines: Option<u64>,
    /// Only lines from this time on.
    pub since: Option<Timestamp>,
    /// At most so many bytes.
    pub limit_bytes: Option<u64>,
    /// The time of each line in front of it.
    pub timestamps: bool,
}

/// Pieces of a log, of at most some hundred kilobytes each.
pub type LogStream = BoxStream<'static, io::Result<Bytes>>;

/// Reads the log of the attempt in `folder`. Where old output has been dropped, a line of text says so.
pub fn read(folder: &Path, options: LogOptions) -> LogStream {
    let reader = Reader::new(Folder::new(folder), options);
    stream::unfold(Some(reader), move |reader| async move {
        let mut reader = reader?;
        loop {
            let permit = TURNS.acquire().await;
            let turn = tokio::task::spawn_blocking(move || {
                let step = reader.step();
                (reader, step)
            });
            let step;
            (reader, step) = match turn.await {
                Ok(turn) => turn,
                Err(error) => return Some((Err(io::Error::other(error)), None)),
            };
            drop(permit);
            match step {
                Ok(Step::Data(bytes)) => return Some((Ok(bytes), Some(reader))),
                Ok(Step::Wait) => tokio::time::sleep(INTERVAL).await,
                Ok(Step::End) => return None,
                Err(error) => return Some((Err(error), None)),
            }
        }
    })
    .boxed()
}
