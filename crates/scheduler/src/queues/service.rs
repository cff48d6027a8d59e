//! The rules of queues, and their few lines of SQL.

use std::collections::BTreeMap;
use std::sync::Arc;

use mcplane_apimachinery::names::NameRule;
use mcplane_core::{Error, Grant, Result};
use mcplane_db::{Arg, Row};
use mcplane_objects::audit;

use super::{Queue, QueueSettings};
use crate::dispatch::Event;
use crate::scheduler::Scheduler;
use crate::tasks::{State, notes};

const COLUMNS: &str = "namespace, name, paused, weight, most";

fn read(row: &Row) -> Result<QueueSettings> {
    Ok(QueueSettings {
        namespace: row.text(0)?.into(),
        name: row.text(1)?.into(),
        paused: row.int(2)? != 0,
        weight: row.int(3)?,
        most: row.int(4)?,
    })
}

impl Scheduler {
    /// Settings of all queues that have any.
    pub(crate) async fn queue_settings(&self) -> Result<Vec<QueueSettings>> {
        let sql = format!("SELECT {COLUMNS} FROM queues ORDER BY namespace, name");
        self.db.fetch(sql, vec![]).await?.iter().map(read).collect()
    }

    /// The queues of the grant's namespace that hold tasks or are set up.
    pub async fn queues(&self, grant: &Grant) -> Result<Vec<Queue>> {
        let namespace = grant.namespace()?;
        let sql = format!("SELECT {COLUMNS} FROM queues WHERE namespace = $1");
        let settings = self.db.fetch(sql, vec![namespace.into()]).await?;
        let mut queues: BTreeMap<Arc<str>, Queue> = BTreeMap::new();
        for row in &settings {
            let settings = read(row)?;
            queues.insert(Arc::clone(&settings.name), Queue { settings, waiting: 0, ready: 0, running: 0 });
        }
        let sql = "SELECT queue, state, count(*) FROM tasks WHERE namespace = $1 AND state < 3 GROUP BY queue, state";
        for row in self.db.fetch(sql, vec![namespace.into()]).await? {
            let name: Arc<str> = row.text(0)?.into();
            let queue = queues.entry(Arc::clone(&name)).or_insert_with(|| usual(namespace, name));
            match State::from_code(row.int(1)?)? {
                State::Waiting => queue.waiting = row.int(2)?,
                State::Ready => queue.ready = row.int(2)?,
                _ => queue.running = row.int(2)?,
            }
        }
        Ok(queues.into_values().collect())
    }

    /// Changes what a queue is told; what is `None` stays.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a bad name or number.
    pub async fn set_queue(
        &self,
        grant: &Grant,
        name: &str,
        paused: Option<bool>,
        weight: Option<i64>,
        most: Option<i64>,
    ) -> Result<QueueSettings> {
        NameRule::Dns1123Label.check(name).map_err(|why| Error::bad_request(format!("queue {name:?}: {why}")))?;
        if weight.is_some_and(|weight| !(1..=1_000).contains(&weight)) || most.is_some_and(|most| most < 0) {
            return Err(Error::bad_request("weight must be 1 to 1000, and limit not negative"));
        }
        let namespace = grant.namespace()?;
        self.require_namespace(namespace)?;
        let entry = audit::entry(grant, "update", name, "allowed", 200, "");
        let paused = paused.map(i64::from);
        let insert = [Arg::from(namespace), Arg::from(name), paused.into(), weight.into(), most.into()];
        let args = insert.to_vec();
        let sql = format!(
            "INSERT INTO queues ({COLUMNS}) VALUES ($1, $2, coalesce($3, 0), coalesce($4, 1), coalesce($5, 0)) \
             ON CONFLICT (namespace, name) DO UPDATE SET paused = coalesce($3, queues.paused), \
             weight = coalesce($4, queues.weight), most = coalesce($5, queues.most) RETURNING {COLUMNS}"
        );
        let rows = self
            .db
            .write(move |tx| {
                Box::pin(async move {
                    tx.audit(entry);
                    notes::leave(tx, &[notes::QUEUES]).await?;
                    tx.fetch(sql, args).await
                })
            })
            .await?;
        self.tell(Event::Queues);
        rows.first().map(read).transpose()?.ok_or_else(|| Error::internal("a queue that was written is not there"))
    }
}

fn usual(namespace: &str, name: Arc<str>) -> Queue {
    let settings = QueueSettings { namespace: namespace.into(), name, paused: false, weight: 1, most: 0 };
    Queue { settings, waiting: 0, ready: 0, running: 0 }
}
