//! The rows of attempts as the storage of pods.

use std::sync::{Arc, OnceLock, Weak};

use futures::future::BoxFuture;
use mcplane_apimachinery::resources::ResourceList;
use mcplane_apimachinery::resources::quota::Quota;
use mcplane_core::Result;
use mcplane_db::{Arg, Db, Operation, Tx};
use mcplane_objects::controllers::Content;
use mcplane_objects::storage::{
    Effect, Expect, Key, Page, Range, Refusal, ShownTable, Storage, Stored, Write, retract,
};

use crate::scheduler::Scheduler;
use crate::tasks::{Task, quota, store};

const TABLE: ShownTable = ShownTable { table: "attempts", namespace: Some("namespace"), name: "object_name" };

/// Storage of pods.
#[derive(Debug, Clone)]
pub struct PodStorage {
    db: Db,
    /// Who is told of tasks that are to end.
    scheduler: Arc<OnceLock<Weak<Scheduler>>>,
}

impl PodStorage {
    /// The pods in `db`.
    pub fn new(db: &Db) -> Self {
        Self { db: db.clone(), scheduler: Arc::default() }
    }

    /// Has `scheduler` told of tasks whose pods are deleted. It is made after the kinds are registered.
    pub fn attach(&self, scheduler: &Arc<Scheduler>) {
        // The first stays; a server has one.
        let _ = self.scheduler.set(Arc::downgrade(scheduler));
    }

    /// The scheduler, once there is one and as long as there is.
    pub(super) fn scheduler(&self) -> Option<Arc<Scheduler>> {
        self.scheduler.get().and_then(Weak::upgrade)
    }

    pub(super) fn db(&self) -> &Db {
        &self.db
    }
}

/// Pods are objects, and go as such; what they use is told by their tasks.
impl Content for PodStorage {
    fn empty<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<String>>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn used<'a>(&'a self, namespace: &'a str, quota: &'a Quota) -> BoxFuture<'a, Result<ResourceList>> {
        let now = self.db.clock().now();
        Box::pin(async move { quota::used(&self.db, namespace, quota, now).await })
    }
}

impl Storage for PodStorage {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Stored>>> {
        Box::pin(TABLE.get(&self.db, key))
    }

    fn list<'a>(&'a self, _: &'a Arc<str>, range: Range) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async move { TABLE.list(&self.db, &range).await })
    }

    fn write(&self, write: Write) -> BoxFuture<'_, Result<std::result::Result<Stored, Refusal>>> {
        Box::pin(async move {
            let (outcome, cancelled) = self.db.write(move |tx| Box::pin(delete(tx, write))).await?;
            if let Some(scheduler) = self.scheduler() {
                scheduler.tell_cancelled(&cancelled);
            }
            Ok(outcome)
        })
    }

    fn count<'a>(&'a self, _: &'a Arc<str>, namespace: &'a str) -> BoxFuture<'a, Result<i64>> {
        Box::pin(TABLE.count(&self.db, namespace))
    }

    fn open(&self, _: &Key, body: &Arc<str>) -> Result<Arc<str>> {
        Ok(Arc::clone(body))
    }
}

type Outcome = std::result::Result<Stored, Refusal>;

/// Begins the deletion of a pod whose attempt goes on, or takes one away whose attempt is over; tells which tasks are to end.
async fn delete(tx: &mut Tx, write: Write) -> Result<(Outcome, Vec<Task>)> {
    let Write { key, expect, effect, audit, .. } = write;
    // Under the lock nobody else writes, so what is read now stays true until the commit.
    tx.lock().await?;
    let sql = "SELECT task, attempt, revision, object FROM attempts WHERE namespace = $1 AND object_name = $2";
    let args = vec![Arg::from(Arc::clone(&key.namespace)), Arg::from(Arc::clone(&key.name))];
    let rows = tx.fetch(sql, args).await?;
    let Some(row) = rows.first() else { return Ok((Err(Refusal::Missing), vec![])) };
    match expect {
        Expect::Absent => return Ok((Err(Refusal::Exists), vec![])),
        Expect::Revision(wanted) if row.int(2)? != wanted => return Ok((Err(Refusal::Changed), vec![])),
        Expect::Revision(_) => {}
    }
    let (task, attempt, was) = (row.int(0)?, row.int(1)?, row.text(3)?);
    let mut cancelled = Vec::new();
    let (revision, body) = match effect {
        Effect::Put(body) => {
            let parts = (&key.resource, &key.namespace, &key.name);
            let change = tx.change(parts, Operation::Updated, |at| body.at(at), Some(was.into())).await?;
            let sql = "UPDATE attempts SET revision = $3, object = $4 WHERE task = $1 AND attempt = $2";
            let text = Arg::from(Arc::clone(&change.1));
            tx.execute(sql, vec![task.into(), attempt.into(), change.0.into(), text]).await?;
            let by = audit.as_ref().map_or("", |entry| &entry.actor);
            cancelled = store::cancel(tx, &[task], by).await?;
            // Of a task that was not running the pod goes at once.
            for task in cancelled.iter().filter(|task| task.state.is_final()) {
                super::show(tx, task).await?;
            }
            change
        }
        Effect::Remove(_) => {
            let change = retract(tx, &key, was).await?;
            let sql = "DELETE FROM attempts WHERE task = $1 AND attempt = $2";
            tx.execute(sql, vec![task.into(), attempt.into()]).await?;
            change
        }
    };
    if let Some(mut entry) = audit {
        if entry.name.is_empty() {
            entry.name = key.name.to_string();
        }
        tx.audit(entry);
    }
    Ok((Ok(Stored { namespace: key.namespace, name: key.name, revision, body }), cancelled))
}
