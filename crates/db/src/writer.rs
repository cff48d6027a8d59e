//! Group commit. One task owns the writing connection; whatever waits for it becomes one transaction. SQLite's has a thread of
//! its own, on which its statements and syncs run.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use mcplane_core::{Clock, Error, Result};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

use crate::checkpoint::Checkpoints;
use crate::connection::WriteConnection;
use crate::feed::Feed;
use crate::open::Db;
use crate::sql::Dialect;
use crate::tx::{Tx, Unit};

/// Units of one transaction at most, so that no waiter waits for an endless group.
const GROUP: usize = 256;
/// Units that may wait; beyond, callers wait to hand theirs over.
const QUEUE: usize = 4096;
/// Pause before the writer looks, unasked, whether a commit without an answer came through.
const CATCH_UP: Duration = Duration::from_millis(500);

#[derive(Clone)]
pub(crate) struct Writer {
    queue: Sender<Command>,
}

enum Command {
    Write(Job),
    /// Publish what was committed without our knowledge.
    CatchUp,
    Stop(oneshot::Sender<()>),
}

struct Job {
    unit: Unit,
    done: oneshot::Sender<Result<()>>,
}

impl Writer {
    /// `connection` is made already.
    pub(crate) async fn start(mut connection: WriteConnection, feed: Arc<Feed>, clock: Arc<dyn Clock>) -> Result<Self> {
        let sql = "SELECT revision, compacted FROM head";
        let rows = connection.fetch(sql, vec![]).await?;
        let row = rows.first().ok_or_else(|| Error::internal("the head row is missing"))?;
        feed.start_at(row.int(0)?, row.int(1)?);
        let (sender, queue) = channel(QUEUE);
        let (dialect, checkpoints) = (connection.dialect(), connection.checkpoints());
        let tx = Tx::new(connection, Arc::clone(&feed));
        let work = run(queue, tx, feed, clock, checkpoints);
        match dialect {
            Dialect::Sqlite => {
                let runtime = Handle::current();
                let thread = std::thread::Builder::new().name("sqlite-writer".to_owned());
                thread.spawn(move || runtime.block_on(work)).map_err(Error::internal)?;
            }
            Dialect::Postgres => drop(tokio::spawn(work)),
        }
        Ok(Self { queue: sender })
    }

    pub(crate) async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.queue.send(Command::Stop(done)).await.is_ok() {
            // An error means that the writer is gone already, which is what we want.
            let _ = stopped.await;
        }
    }
}

impl Db {
    /// Runs `unit` in the next group's transaction. When this returns `Ok`, its effects are durable and published.
    ///
    /// Dropping the returned future leaves open whether the unit runs; it is never half done. A unit that waits for
    /// another write waits for ever.
    ///
    /// # Errors
    /// The unit's own error, with its effects undone; [`Error::Unavailable`] when the commit failed, after which the
    /// effects may or may not be there, as after any lost answer.
    pub async fn write<T, F>(&self, unit: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>> + Send + 'static,
    {
        let (give, result) = oneshot::channel();
        let unit: Unit = Box::new(move |tx| {
            Box::pin(async move {
                let value = unit(tx).await?;
                // Nobody waits for the value when the caller went away; the write stands all the same.
                let _ = give.send(value);
                Ok(())
            })
        });
        let (done, outcome) = oneshot::channel();
        let stopping = || Error::Unavailable { message: "the server is stopping".to_owned(), source: None };
        self.writer().queue.send(Command::Write(Job { unit, done })).await.map_err(|_| stopping())?;
        outcome.await.map_err(|_| stopping())??;
        result.await.map_err(|_| Error::internal("a unit of work gave no result"))
    }
}

async fn run(
    mut queue: Receiver<Command>,
    mut tx: Tx,
    feed: Arc<Feed>,
    clock: Arc<dyn Clock>,
    checkpoints: Option<Checkpoints>,
) {
    let mut in_doubt = false;
    let stop = loop {
        let first = if in_doubt {
            tokio::time::timeout(CATCH_UP, queue.recv()).await.unwrap_or(Some(Command::CatchUp))
        } else {
            queue.recv().await
        };
        let first = match first {
            None => break None,
            Some(Command::Stop(done)) => break Some(done),
            Some(first) => Some(first),
        };
        let mut group = Group { first, queue: &mut queue, waiting: Vec::new(), stop: None };
        let committed = group.commit(&mut tx, clock.now(), in_doubt).await;
        in_doubt = committed.is_err();
        if let Err(error) = &committed {
            if group.waiting.is_empty() {
                tracing::debug!(?error, "the database is still away");
            } else {
                tracing::error!(?error, units = group.waiting.len(), "a group of writes could not be committed");
            }
            tx.roll_back().await;
        }
        group.answer(committed.is_ok());
        if let Some(checkpoints) = &checkpoints {
            checkpoints.committed();
        }
        if let Some(done) = group.stop {
            break Some(done);
        }
    };
    feed.close();
    if let Some(checkpoints) = checkpoints {
        checkpoints.stop().await;
    }
    // Closing SQLite's last connection writes the log back, so that the next start has nothing to recover.
    if let Err(error) = tx.close().await {
        tracing::warn!(%error, "closing the database failed");
    }
    if let Some(done) = stop {
        let _ = done.send(());
    }
}

/// One transaction and those who wait for it.
struct Group<'q> {
    first: Option<Command>,
    queue: &'q mut Receiver<Command>,
    waiting: Vec<(oneshot::Sender<Result<()>>, Result<()>)>,
    stop: Option<oneshot::Sender<()>>,
}

impl Group<'_> {
    async fn commit(&mut self, tx: &mut Tx, now: i64, in_doubt: bool) -> Result<()> {
        let begun = tx.begin(now, in_doubt).await;
        if let Err(error) = begun {
            // All who wait learn of it now, not one connection attempt after the other.
            while let Some(job) = self.next() {
                self.waiting.push((job.done, Ok(())));
            }
            return Err(error);
        }
        while let Some(Job { unit, done }) = self.next() {
            match tx.run_unit(unit).await {
                Ok(outcome) => self.waiting.push((done, outcome)),
                Err(error) => {
                    self.waiting.push((done, Ok(())));
                    return Err(error);
                }
            }
            if tx.is_full() {
                break;
            }
        }
        tx.commit().await
    }

    /// The next unit that belongs to this group, those that arrived since it began included.
    fn next(&mut self) -> Option<Job> {
        while self.stop.is_none() && self.waiting.len() < GROUP {
            match self.first.take().or_else(|| self.queue.try_recv().ok())? {
                // Nothing of it was done yet, and nobody waits for it any more.
                Command::Write(job) if job.done.is_closed() => {}
                Command::Write(job) => return Some(job),
                Command::CatchUp => {}
                Command::Stop(done) => self.stop = Some(done),
            }
        }
        None
    }

    fn answer(&mut self, committed: bool) {
        for (done, outcome) in self.waiting.drain(..) {
            let _ = done.send(outcome.and_then(|()| if committed { Ok(()) } else { Err(uncommitted()) }));
        }
    }
}

fn uncommitted() -> Error {
    Error::Unavailable { message: "the write could not be committed; try again".to_owned(), source: None }
}
