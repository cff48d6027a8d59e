//! The rules of tasks.

use std::collections::HashMap;
use std::sync::Arc;

use mcplane_core::{Error, Grant, Result, Subject, Timestamp};
use mcplane_db::Tx;
use mcplane_objects::audit;

use super::quota;
use super::store::{self, AttemptOf, Filter, Pending, Submission};
use super::types::{NewTask, State, Task};
use crate::dispatch::Event;
use crate::pods;
use crate::scheduler::Scheduler;

/// Tasks that one call may submit.
pub const MOST_AT_ONCE: usize = 1_000;
/// Tasks that a page of a list holds at most.
const LONGEST_PAGE: i64 = 1_000;
/// Bytes of what an attempt says of how far it is.
const MOST_PROGRESS: usize = 16 << 10;

impl Scheduler {
    /// Submits tasks: all of them, or none. A task whose unique key an unfinished task has, or whose idempotency key any
    /// has, is not made; that task is given in its place.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for what can't be a task, [`Error::NotFound`] without the namespace.
    pub async fn submit_tasks(&self, grant: &Grant, new: Vec<NewTask>) -> Result<Vec<Task>> {
        if new.len() > MOST_AT_ONCE {
            return Err(Error::bad_request(format!("at most {MOST_AT_ONCE} tasks may be submitted at once")));
        }
        let context = grant.context();
        let by = Submission {
            namespace: grant.namespace()?.into(),
            created_by: context.caller.name.clone(),
            trace: context.trace.to_string(),
            process: self.identity.clone(),
        };
        let entry = audit::entry(grant, "create", "", "allowed", 201, &format!("{} tasks", new.len()));
        self.submit(by, new, Some(entry)).await
    }

    pub(crate) async fn submit(
        &self,
        by: Submission,
        new: Vec<NewTask>,
        entry: Option<mcplane_db::audit::Entry>,
    ) -> Result<Vec<Task>> {
        new.iter().try_for_each(NewTask::check)?;
        self.require_namespace(&by.namespace)?;
        let (tasks, made) = self
            .db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let (tasks, made) = insert_new(tx, &by, new).await?;
                    if let Some(entry) = entry {
                        tx.audit(entry);
                    }
                    Ok((tasks, made))
                })
            })
            .await?;
        self.metrics.submitted(made.len());
        self.tell(Event::Pending(made));
        Ok(tasks)
    }

    /// A task of the grant's namespace.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none.
    pub async fn task(&self, grant: &Grant, id: &str) -> Result<Task> {
        store::get(&self.db, grant.namespace()?, id).await?.ok_or_else(|| missing(id))
    }

    /// A page of the tasks of the grant's namespace, or of all for a grant across them; newest first.
    pub async fn tasks(&self, grant: &Grant, mut filter: Filter) -> Result<Vec<Task>> {
        filter.limit = filter.limit.clamp(1, LONGEST_PAGE);
        store::list(&self.db, grant.namespaces()?, &filter).await
    }

    /// Wants a task to end. One that runs is told, and killed when its grace is over; one that is finished stays as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none.
    pub async fn cancel_task(&self, grant: &Grant, id: &str) -> Result<Task> {
        let task = self.task(grant, id).await?;
        let entry = audit::entry(grant, "cancel", id, "allowed", 200, "");
        let by = grant.context().caller.name.clone();
        let touched = self.cancel(vec![task.no], by, Some(entry)).await?;
        Ok(touched.into_iter().next().unwrap_or(task))
    }

    pub(crate) async fn cancel(
        &self,
        nos: Vec<i64>,
        by: String,
        entry: Option<mcplane_db::audit::Entry>,
    ) -> Result<Vec<Task>> {
        let touched = self
            .db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let touched = store::cancel(tx, &nos, &by).await?;
                    // What runs is shown at its end.
                    for task in touched.iter().filter(|task| task.state.is_final()) {
                        pods::show(tx, task).await?;
                    }
                    if let Some(entry) = entry {
                        tx.audit(entry);
                    }
                    Ok(touched)
                })
            })
            .await?;
        self.tell_cancelled(&touched);
        Ok(touched)
    }

    /// Tells the engine of tasks that are to end, or have.
    pub(crate) fn tell_cancelled(&self, touched: &[Task]) {
        let (running, gone): (Vec<&Task>, Vec<&Task>) = touched.iter().partition(|task| task.state == State::Running);
        self.tell(Event::Withdrawn(gone.into_iter().map(|task| task.no).collect()));
        self.tell(Event::Stop(running.into_iter().map(AttemptOf::from).collect()));
    }

    /// Makes a task that failed or was cancelled ready anew, with all its attempts.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none, [`Error::BadRequest`] unless it failed or was cancelled.
    pub async fn retry_task(&self, grant: &Grant, id: &str) -> Result<Task> {
        let (namespace, id) = (grant.namespace()?.to_owned(), id.to_owned());
        let entry = audit::entry(grant, "retry", &id, "allowed", 200, "");
        let task = self
            .db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let task = store::find(tx, &namespace, &id).await?.ok_or_else(|| missing(&id))?;
                    if !matches!(task.state, State::Failed | State::Cancelled) {
                        return Err(Error::bad_request(format!(
                            "task {id} is {}; only one that failed or was cancelled can be tried again",
                            task.state.name()
                        )));
                    }
                    tx.audit(entry);
                    let task = store::replay(tx, &task).await?.ok_or_else(|| missing(&id))?;
                    pods::show(tx, &task).await?;
                    Ok(task)
                })
            })
            .await?;
        self.tell(Event::Pending(vec![Pending::from(&task)]));
        Ok(task)
    }

    /// Keeps what an attempt says of how far it is.
    ///
    /// # Errors
    /// [`Error::NotFound`] without the task, [`Error::BadRequest`] when that attempt does not run any more.
    pub async fn report_progress(
        &self,
        grant: &Grant,
        id: &str,
        attempt: i64,
        progress: &serde_json::Value,
    ) -> Result<Task> {
        let text = progress.to_string();
        if text.len() > MOST_PROGRESS {
            return Err(Error::TooLarge(format!("progress may take at most {MOST_PROGRESS} bytes")));
        }
        let mut task = self.task(grant, id).await?;
        let (of, kept) = (AttemptOf { no: task.no, attempt }, text.clone());
        if !self.db.write(move |tx| Box::pin(async move { store::set_progress(tx, of, &kept).await })).await? {
            return Err(Error::bad_request(format!("attempt {attempt} of task {id} does not run")));
        }
        task.progress = Some(text);
        Ok(task)
    }
}

/// Tasks that one transaction forgets.
const FORGOTTEN_AT_ONCE: i64 = 1_000;

impl Scheduler {
    /// Forgets tasks that finished before a time and that nobody looks after; tells how many.
    ///
    /// # Errors
    /// When the store fails; what is forgotten by then stays so.
    pub async fn forget_tasks(&self, before: Timestamp) -> Result<u64> {
        let mut all = 0;
        loop {
            let forgotten = self
                .db
                .write(move |tx| {
                    Box::pin(async move {
                        let gone = store::forget(tx, before, FORGOTTEN_AT_ONCE).await?;
                        pods::forget(tx, &gone).await?;
                        Ok(gone.len())
                    })
                })
                .await?;
            all += forgotten as u64;
            if forgotten == 0 {
                return Ok(all);
            }
        }
    }
}

/// Makes the tasks that there are not yet; gives all, in order, and what is new.
async fn insert_new(tx: &mut Tx, by: &Submission, new: Vec<NewTask>) -> Result<(Vec<Task>, Vec<Pending>)> {
    let unique: Vec<&str> = new.iter().filter_map(|task| task.unique_key.as_deref()).collect();
    let idempotency: Vec<&str> = new.iter().filter_map(|task| task.idempotency_key.as_deref()).collect();
    if unique.is_empty() && idempotency.is_empty() {
        let made = make(tx, by, new).await?;
        let pending = made.iter().map(Pending::from).collect();
        return Ok((made, pending));
    }
    let known = store::by_keys(tx, &by.namespace, &unique, &idempotency).await?;
    let mut by_key: HashMap<(bool, String), Slot> = HashMap::new();
    for (task, unique, idempotency) in known {
        let task = Arc::new(task);
        if !unique.is_empty() && !task.state.is_final() {
            by_key.insert((true, unique), Slot::Known(Arc::clone(&task)));
        }
        if !idempotency.is_empty() {
            by_key.insert((false, idempotency), Slot::Known(task));
        }
    }
    // What each of the call's tasks is: one that there is, or one of those to make.
    let mut slots = Vec::with_capacity(new.len());
    let mut to_make = Vec::new();
    for task in new {
        let keys: Vec<(bool, String)> = [(false, &task.idempotency_key), (true, &task.unique_key)]
            .into_iter()
            .filter_map(|(unique, key)| key.clone().map(|key| (unique, key)))
            .collect();
        let slot = keys.iter().find_map(|key| by_key.get(key).cloned()).unwrap_or_else(|| {
            to_make.push(task);
            Slot::New(to_make.len() - 1)
        });
        for key in keys {
            by_key.entry(key).or_insert_with(|| slot.clone());
        }
        slots.push(slot);
    }
    let made = make(tx, by, to_make).await?;
    let pending = made.iter().map(Pending::from).collect();
    let tasks = slots.into_iter().map(|slot| match slot {
        Slot::Known(task) => Arc::unwrap_or_clone(task),
        Slot::New(index) => made[index].clone(),
    });
    Ok((tasks.collect(), pending))
}

async fn make(tx: &mut Tx, by: &Submission, mut new: Vec<NewTask>) -> Result<Vec<Task>> {
    quota::admit(tx, &by.namespace, &mut new).await?;
    let made = store::insert(tx, by, new).await?;
    // What somebody looks after is seen at once; of the rest there may be very many.
    for task in made.iter().filter(|task| task.owner.is_some()) {
        pods::show(tx, task).await?;
    }
    Ok(made)
}

#[derive(Clone)]
enum Slot {
    Known(Arc<Task>),
    New(usize),
}

fn missing(id: &str) -> Error {
    Error::NotFound(Subject::new(crate::scope::GROUP, crate::scope::TASKS, id))
}
