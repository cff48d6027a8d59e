//! SQLite's write-ahead log is copied into the database beside the writer.
//!
//! SQLite would do it within a commit, and whoever waits for that commit would wait for thousands of pages and two syncs
//! more. Another connection may do it at the same time as the writer writes (<https://sqlite.org/wal.html#ckpt>), so the
//! writer is left with what little came since, once the log has grown to its limit and is to begin anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(250);
/// Commits that are worth a copy: an idle server's few are left to the writer's limit.
const COMMITS: u64 = 200;

/// The task that copies; ends with [`Self::stop`], or when dropped.
pub(crate) struct Checkpoints {
    commits: Arc<AtomicU64>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Checkpoints {
    pub(crate) fn start(options: SqliteConnectOptions) -> Self {
        let commits = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(options, Arc::clone(&commits), stopped));
        Self { commits, stop, task }
    }

    /// Counts a commit.
    pub(crate) fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    /// Closes the connection, so that the writer's is the last.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the task that copies the log of the database failed");
        }
    }
}

async fn run(options: SqliteConnectOptions, commits: Arc<AtomicU64>, mut stopped: oneshot::Receiver<()>) {
    let mut connection: Option<SqliteConnection> = None;
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            () = tokio::time::sleep(PAUSE) => {}
        }
        if commits.load(Ordering::Relaxed) < COMMITS {
            continue;
        }
        commits.store(0, Ordering::Relaxed);
        // What fails here is done within a commit once the log has reached its limit.
        if let Err(error) = copy(&options, &mut connection).await {
            tracing::debug!(%error, "the log of the database could not be copied");
            connection = None;
        }
    }
    if let Some(connection) = connection {
        // Whatever it says, the connection is gone.
        let _ = connection.close().await;
    }
}

async fn copy(options: &SqliteConnectOptions, connection: &mut Option<SqliteConnection>) -> sqlx::Result<()> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(options.connect().await?),
    };
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").await.map(drop)
}
