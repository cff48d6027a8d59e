//! The folders of attempts: what an earlier process left, and what is kept no longer. Blocks.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mcplane_core::Timestamp;
use uuid::Uuid;

use super::Inner;
use super::watch::{self, End, Watched};
use crate::executor::{Adopted, AdoptedState, ExecutorError};
use crate::folder::{DRAFT, Folder, Record};

/// How long a shim that has its lock may take to write who it is.
const PATIENCE: Duration = Duration::from_millis(10);
const LOOKS: usize = 100;

/// Finds the attempts of earlier processes, ends what is left of those without a shim, and watches the others.
pub(super) fn adopt(inner: &Arc<Inner>) -> Result<Vec<Adopted>, ExecutorError> {
    let failed = || ExecutorError::machine("folder of attempts");
    let mut found = Vec::new();
    for entry in fs::read_dir(&inner.root).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(DRAFT) {
            let _ = fs::remove_dir_all(entry.path());
        } else if let Ok(attempt) = name.parse::<Uuid>()
            && inner.ledger().ended(attempt).is_none()
        {
            found.extend(adopt_one(inner, attempt));
        }
    }
    Ok(found)
}

fn adopt_one(inner: &Arc<Inner>, attempt: Uuid) -> Option<Adopted> {
    let folder = inner.folder(attempt);
    let record = match folder.record() {
        Ok(Some(record)) => record,
        broken => {
            tracing::warn!(%attempt, record = ?broken, "an attempt's record can't be read; it is removed");
            if folder.exit().ok().flatten().is_none() {
                watch::lose(&folder, None, "its record can't be read".into());
            }
            let _ = folder.remove();
            return None;
        }
    };
    let (task, fence) = (record.task, record.fence);
    let state = match look(inner, &folder, &record) {
        Look::Running(watched) => {
            inner.ledger().adopt(attempt, task, fence, Some(watched.process.clone()));
            watch::begin(inner, watched);
            AdoptedState::Running { pid: folder.started().ok().flatten().map(|started| started.pid) }
        }
        Look::Ended(end) => {
            inner.ledger().adopt(attempt, task, fence, None);
            if let Err(error) = folder.remove_work() {
                tracing::warn!(%attempt, %error, "the work folder of an attempt could not be removed");
            }
            match end {
                End::Exited(exit) => AdoptedState::Exited(exit),
                End::Lost(why) => AdoptedState::Lost(why),
            }
        }
        Look::NeverBegan => return None,
    };
    Some(Adopted { attempt, task, fence, state })
}

enum Look {
    Running(Watched),
    Ended(End),
    /// The server died before its shim knew what to do; there is nothing of it any more.
    NeverBegan,
}

fn look(inner: &Inner, folder: &Folder, record: &Record) -> Look {
    if folder.ended() {
        return Look::Ended(watch::conclude(folder, None));
    }
    if record.boot != inner.boot {
        return Look::Ended(watch::note_lost(folder, "the machine was restarted".into()));
    }
    for _ in 0..LOOKS {
        match folder.try_lock() {
            // The lock is kept until the end is noted: a shim that is only just starting finds that, and starts nothing.
            // Its session's number may be another's by now; the mark in the environment is not.
            Ok(Some(_lock)) if folder.began() => return Look::Ended(watch::conclude(folder, None)),
            Ok(Some(_lock)) => {
                return match folder.undo() {
                    Ok(()) => Look::NeverBegan,
                    Err(error) => Look::Ended(watch::note_lost(folder, format!("it never began: {error}"))),
                };
            }
            // A shim that is never told what to do ends soon.
            Ok(None) if !folder.began() => {}
            Ok(None) => {
                if let Some(process) = folder.holder().ok().flatten().and_then(|holder| holder.open()) {
                    let (attempt, fence) = (record.attempt, record.fence);
                    return Look::Running(Watched { attempt, fence, process: Arc::new(process), shim: None });
                }
            }
            Err(error) => return Look::Ended(watch::lose(folder, None, format!("its lock can't be read: {error}"))),
        }
        std::thread::sleep(PATIENCE);
    }
    Look::Ended(watch::lose(folder, None, "its shim does not say who it is".into()))
}

/// What a sweep removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Swept {
    /// The attempts.
    pub attempts: Vec<Uuid>,
    /// What they took.
    pub bytes: u64,
}

pub(super) fn sweep(inner: &Inner, older_than: Duration, most_bytes: u64, now: Timestamp) -> Swept {
    let age = i64::try_from(older_than.as_millis()).unwrap_or(i64::MAX);
    let mut kept: Vec<(Timestamp, Uuid, u64)> = Vec::new();
    for attempt in inner.ledger().settled() {
        let folder = inner.folder(attempt);
        kept.push((ended_at(&folder), attempt, size(folder.path()).unwrap_or(0)));
    }
    kept.sort_unstable();
    let mut total: u64 = kept.iter().map(|(_, _, bytes)| bytes).sum();
    let mut swept = Swept::default();
    for (at, attempt, bytes) in kept {
        if now.saturating_sub(at) <= age && total <= most_bytes {
            break;
        }
        match inner.folder(attempt).remove() {
            Ok(()) => {
                inner.ledger().forget(attempt);
                swept.attempts.push(attempt);
                swept.bytes += bytes;
                total -= bytes;
            }
            Err(error) => tracing::warn!(%attempt, %error, "the folder of an attempt could not be removed"),
        }
    }
    swept
}

/// When an attempt ended; long ago, if nobody can tell.
fn ended_at(folder: &Folder) -> Timestamp {
    let exit = folder.exit().ok().flatten().map(|exit| exit.finished_at);
    exit.or_else(|| folder.lost().ok().flatten().map(|lost| lost.at)).unwrap_or(0)
}

fn size(path: &Path) -> io::Result<u64> {
    let mut sum = 0;
    let mut open = vec![path.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                open.push(entry.path());
            } else {
                sum += metadata.len();
            }
        }
    }
    Ok(sum)
}
