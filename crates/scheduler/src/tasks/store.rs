//! The SQL of tasks. What happens to many at once is one statement, however many there are.
//!
//! A statement that names its tasks tests `state + 0`, which no partial index answers: those are full of entries of tasks
//! that moved on, and PostgreSQL, whose statistics are always late for a queue, would walk them instead of the key.

use std::sync::Arc;

use mcplane_core::{Error, Result, Timestamp};
use mcplane_db::{Arg, Db, Row, Tx};
use serde::Serialize;

use super::notes;
use super::types::{Concurrency, Demand, NewTask, State, Task, rank};

/// Columns of a whole task.
const COLUMNS: &str = "no, id, namespace, queue, name, state, due_at, priority, attempt, attempts_left, cpu_milli, memory, \
    gpu, key, key_limit, owner, cancelled_by, node, trace, created_by, created_at, started_at, finished_at, exit_code, \
    reason, message, progress, spec";

/// Columns that a new task gives values for.
const GIVEN: &str = "no, id, namespace, queue, name, state, due_at, rank, priority, attempt, attempts_left, cpu_milli, \
    memory, gpu, key, key_limit, unique_key, idempotency_key, owner, trace, created_by, created_at, reason, message, spec";

fn shared(row: &Row, column: usize) -> Result<Option<Arc<str>>> {
    Ok(row.optional_text(column)?.map(Into::into))
}

fn read(row: &Row) -> Result<Task> {
    let concurrency = match shared(row, 13)? {
        Some(key) => Some(Concurrency { key, limit: row.int(14)? }),
        None => None,
    };
    Ok(Task {
        no: row.int(0)?,
        id: row.text(1)?.to_owned(),
        namespace: row.text(2)?.into(),
        queue: row.text(3)?.into(),
        name: row.text(4)?.to_owned(),
        state: State::from_code(row.int(5)?)?,
        due_at: row.int(6)?,
        priority: row.int(7)?,
        attempt: row.int(8)?,
        attempts_left: row.int(9)?,
        demand: Demand { cpu_milli: row.int(10)?, memory: row.int(11)?, gpu: row.int(12)? },
        concurrency,
        owner: shared(row, 15)?,
        cancelled_by: row.optional_text(16)?.map(str::to_owned),
        node: shared(row, 17)?,
        trace: row.text(18)?.to_owned(),
        created_by: row.text(19)?.to_owned(),
        created_at: row.int(20)?,
        started_at: row.optional_int(21)?,
        finished_at: row.optional_int(22)?,
        exit_code: row.optional_int(23)?,
        reason: row.text(24)?.to_owned(),
        message: row.text(25)?.to_owned(),
        progress: row.optional_text(26)?.map(str::to_owned),
        spec: serde_json::from_str(row.text(27)?).map_err(Error::internal)?,
    })
}

fn read_all(rows: &[Row]) -> Result<Vec<Task>> {
    rows.iter().map(read).collect()
}

/// Who submits, and in which namespace.
#[derive(Debug, Clone)]
pub(crate) struct Submission {
    pub(crate) namespace: Arc<str>,
    pub(crate) created_by: String,
    pub(crate) trace: String,
    /// The process, which tells its own engine.
    pub(crate) process: String,
}

/// Unfinished tasks by their unique keys, and all by their idempotency keys.
pub(crate) async fn by_keys(
    tx: &mut Tx,
    namespace: &str,
    unique: &[&str],
    idempotency: &[&str],
) -> Result<Vec<(Task, String, String)>> {
    if unique.is_empty() && idempotency.is_empty() {
        return Ok(vec![]);
    }
    let (these, those) = (tx.dialect().texts(2), tx.dialect().texts(3));
    let sql = format!(
        "SELECT {COLUMNS}, coalesce(unique_key, ''), coalesce(idempotency_key, '') FROM tasks WHERE namespace = $1 AND \
         ((unique_key IN {these} AND state < 3) OR idempotency_key IN {those})"
    );
    let rows = tx.fetch(sql, vec![namespace.into(), Arg::list(unique), Arg::list(idempotency)]).await?;
    rows.iter().map(|row| Ok((read(row)?, row.text(28)?.to_owned(), row.text(29)?.to_owned()))).collect()
}

/// Makes tasks; the caller holds the lock.
pub(crate) async fn insert(tx: &mut Tx, by: &Submission, new: Vec<NewTask>) -> Result<Vec<Task>> {
    let count = i64::try_from(new.len()).map_err(Error::internal)?;
    let sql = "UPDATE scheduler SET last_task = last_task + $1 RETURNING last_task, holder";
    let rows = tx.fetch(sql, vec![count.into()]).await?;
    let row = rows.first().ok_or_else(|| Error::internal("the scheduler's row is missing"))?;
    let (last, decides_here) = (row.int(0)?, row.text(1)? == by.process);
    let now = tx.now();
    let mut args = Vec::with_capacity(new.len() * 25);
    let mut made = Vec::with_capacity(new.len());
    for (new, no) in new.into_iter().zip(last - count + 1..) {
        let (unique_key, idempotency_key) = (new.unique_key.clone(), new.idempotency_key.clone());
        let task = planned(by, new, no, now);
        push(&mut args, &task, unique_key, idempotency_key)?;
        made.push(task);
    }
    tx.execute_rows(&format!("INSERT INTO tasks ({GIVEN})"), 25, args, "").await?;
    if !decides_here {
        notes::leave(tx, &made.iter().map(|task| task.no).collect::<Vec<_>>()).await?;
    }
    Ok(made)
}

fn planned(by: &Submission, new: NewTask, no: i64, now: Timestamp) -> Task {
    let due_at = new.due_at.unwrap_or(now);
    let later = due_at > now;
    Task {
        no,
        id: uuid::Uuid::new_v4().to_string(),
        namespace: Arc::clone(&by.namespace),
        queue: new.queue,
        name: new.name,
        state: if later { State::Waiting } else { State::Ready },
        due_at: if later { due_at } else { now },
        priority: new.priority,
        attempt: 0,
        attempts_left: new.spec.retries.most_attempts,
        demand: new.demand,
        concurrency: new.concurrency,
        owner: new.owner,
        cancelled_by: None,
        node: None,
        trace: by.trace.clone(),
        created_by: by.created_by.clone(),
        created_at: now,
        started_at: None,
        finished_at: None,
        exit_code: None,
        reason: if later { "Delayed" } else { "" }.to_owned(),
        message: String::new(),
        progress: None,
        spec: new.spec,
    }
}

fn push(args: &mut Vec<Arg>, task: &Task, unique_key: Option<String>, idempotency_key: Option<String>) -> Result<()> {
    let optional = |text: Option<String>| Arg::OptionalText(text.map(Into::into));
    let (key, limit) = task.concurrency.as_ref().map_or((None, 0), |c| (Some(Arc::clone(&c.key)), c.limit));
    args.extend([
        Arg::from(task.no),
        Arg::from(task.id.as_str()),
        Arg::from(Arc::clone(&task.namespace)),
        Arg::from(Arc::clone(&task.queue)),
        Arg::from(task.name.as_str()),
        Arg::from(task.state as i64),
        Arg::from(task.due_at),
        Arg::from(rank(task.due_at, task.priority)),
        Arg::from(task.priority),
        Arg::from(0),
        Arg::from(task.attempts_left),
        Arg::from(task.demand.cpu_milli),
        Arg::from(task.demand.memory),
        Arg::from(task.demand.gpu),
        Arg::OptionalText(key),
        Arg::from(limit),
        optional(unique_key),
        optional(idempotency_key),
        Arg::OptionalText(task.owner.clone()),
        Arg::from(task.trace.as_str()),
        Arg::from(task.created_by.as_str()),
        Arg::from(task.created_at),
        Arg::from(task.reason.as_str()),
        Arg::from(""),
        Arg::from(serde_json::to_string(&task.spec).map_err(Error::internal)?),
    ]);
    Ok(())
}

/// One task of a namespace.
pub(crate) async fn get(db: &Db, namespace: &str, id: &str) -> Result<Option<Task>> {
    let sql = format!("SELECT {COLUMNS} FROM tasks WHERE namespace = $1 AND id = $2");
    db.fetch(sql, vec![namespace.into(), id.into()]).await?.first().map(read).transpose()
}

/// The same, in a unit.
pub(crate) async fn find(tx: &mut Tx, namespace: &str, id: &str) -> Result<Option<Task>> {
    let sql = format!("SELECT {COLUMNS} FROM tasks WHERE namespace = $1 AND id = $2");
    tx.fetch(sql, vec![namespace.into(), id.into()]).await?.first().map(read).transpose()
}

/// Tasks by number, in a unit.
pub(crate) async fn some(tx: &mut Tx, nos: &[i64]) -> Result<Vec<Task>> {
    let sql = format!("SELECT {COLUMNS} FROM tasks WHERE no IN {} ORDER BY no", tx.dialect().numbers(1));
    read_all(&tx.fetch(sql, vec![Arg::list(nos)]).await?)
}

/// All tasks of an owner, oldest first.
pub(crate) async fn of_owner(db: &Db, owner: &str) -> Result<Vec<Task>> {
    let sql = format!("SELECT {COLUMNS} FROM tasks WHERE owner = $1 ORDER BY no");
    read_all(&db.fetch(sql, vec![owner.into()]).await?)
}

/// Which tasks a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of one queue.
    pub queue: Option<String>,
    /// In one of these states; any if empty.
    pub states: Vec<State>,
    /// Older than this one.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: i64,
}

/// A page of a namespace's tasks, or of all; newest first.
pub(crate) async fn list(db: &Db, namespace: Option<&str>, filter: &Filter) -> Result<Vec<Task>> {
    let whose = if namespace.is_some() { "namespace = $1" } else { "$1 = ''" };
    let states: Vec<i64> = filter.states.iter().map(|state| *state as i64).collect();
    let which = if states.is_empty() { String::new() } else { format!(" AND state IN {}", db.dialect().numbers(5)) };
    let sql = format!(
        "SELECT {COLUMNS} FROM tasks WHERE {whose} AND no < $2 AND ($3 = '' OR queue = $3){which} \
         ORDER BY no DESC LIMIT $4"
    );
    let mut args = vec![
        namespace.unwrap_or_default().into(),
        filter.before.unwrap_or(i64::MAX).into(),
        filter.queue.as_deref().unwrap_or_default().into(),
        filter.limit.into(),
    ];
    if !states.is_empty() {
        args.push(Arg::list(&states));
    }
    read_all(&db.fetch(sql, args).await?)
}

/// What the board knows of a ready task, and the wheel of a waiting one.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) no: i64,
    pub(crate) state: State,
    pub(crate) namespace: Arc<str>,
    pub(crate) queue: Arc<str>,
    pub(crate) due_at: Timestamp,
    pub(crate) rank: i64,
    pub(crate) attempt: i64,
    pub(crate) concurrency: Option<Concurrency>,
    pub(crate) demand: Demand,
    pub(crate) cancelled: bool,
}

const PENDING: &str = "no, state, namespace, queue, due_at, rank, attempt, key, key_limit, cpu_milli, memory, gpu, \
    cancelled_by";

fn read_pending(row: &Row) -> Result<Pending> {
    let key = shared(row, 7)?;
    Ok(Pending {
        no: row.int(0)?,
        state: State::from_code(row.int(1)?)?,
        namespace: row.text(2)?.into(),
        queue: row.text(3)?.into(),
        due_at: row.int(4)?,
        rank: row.int(5)?,
        attempt: row.int(6)?,
        concurrency: match key {
            Some(key) => Some(Concurrency { key, limit: row.int(8)? }),
            None => None,
        },
        demand: Demand { cpu_milli: row.int(9)?, memory: row.int(10)?, gpu: row.int(11)? },
        cancelled: row.optional_text(12)?.is_some(),
    })
}

impl From<&Task> for Pending {
    fn from(task: &Task) -> Self {
        Self {
            no: task.no,
            state: task.state,
            namespace: Arc::clone(&task.namespace),
            queue: Arc::clone(&task.queue),
            due_at: task.due_at,
            rank: rank(task.due_at, task.priority),
            attempt: task.attempt,
            concurrency: task.concurrency.clone(),
            demand: task.demand,
            cancelled: task.cancelled_by.is_some(),
        }
    }
}

/// Unfinished tasks behind a number, in order: what a scheduler that starts must know.
pub(crate) async fn unfinished(db: &Db, after: i64, most: i64) -> Result<Vec<Pending>> {
    let sql = format!("SELECT {PENDING} FROM tasks WHERE state < 3 AND no > $1 ORDER BY no LIMIT $2");
    db.fetch(sql, vec![after.into(), most.into()]).await?.iter().map(read_pending).collect()
}

/// Unfinished ones of these tasks.
pub(crate) async fn pending(db: &Db, nos: &[i64]) -> Result<Vec<Pending>> {
    let sql =
        format!("SELECT {PENDING} FROM tasks WHERE state + 0 < 3 AND no IN {} ORDER BY no", db.dialect().numbers(1));
    db.fetch(sql, vec![Arg::list(nos)]).await?.iter().map(read_pending).collect()
}

/// Waiting tasks whose time has come are ready; gives those that were.
pub(crate) async fn make_ready(tx: &mut Tx, nos: &[i64]) -> Result<Vec<Pending>> {
    let list = tx.dialect().numbers(1);
    let sql = format!(
        "UPDATE tasks SET state = 1, reason = '', message = '' WHERE no IN {list} AND state + 0 = 0 RETURNING {PENDING}"
    );
    tx.fetch(sql, vec![Arg::list(nos)]).await?.iter().map(read_pending).collect()
}

/// A task with the number of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct AttemptOf {
    /// The task's number.
    pub no: i64,
    /// The attempt's.
    pub attempt: i64,
}

impl From<&Pending> for AttemptOf {
    fn from(pending: &Pending) -> Self {
        Self { no: pending.no, attempt: pending.attempt }
    }
}

impl From<&Task> for AttemptOf {
    fn from(task: &Task) -> Self {
        Self { no: task.no, attempt: task.attempt }
    }
}

const ATTEMPT_OF: &[(&str, &str)] = &[("no", "bigint"), ("attempt", "bigint")];

/// Begins attempts of ready tasks on a node; gives the tasks that do begin. Others began before, or were cancelled.
pub(crate) async fn begin(tx: &mut Tx, node: &str, attempts: &[AttemptOf]) -> Result<Vec<Task>> {
    let list = tx.dialect().records(1, ATTEMPT_OF);
    let sql = format!(
        "UPDATE tasks SET state = 2, attempt = attempt + 1, attempts_left = attempts_left - 1, node = $2, \
         started_at = $3, exit_code = NULL, progress = NULL, reason = '', message = '' \
         WHERE (no, attempt + 1) IN {list} AND state + 0 = 1 AND cancelled_by IS NULL RETURNING {COLUMNS}"
    );
    let args = vec![Arg::list(attempts), node.into(), tx.now().into()];
    read_all(&tx.fetch(sql, args).await?)
}

/// Tasks that run on a node.
pub(crate) async fn running_on(db: &Db, node: &str) -> Result<Vec<Task>> {
    let sql = format!("SELECT {COLUMNS} FROM tasks WHERE state = 2 AND node = $1 ORDER BY no");
    read_all(&db.fetch(sql, vec![node.into()]).await?)
}

fn read_attempts(rows: &[Row]) -> Result<Vec<AttemptOf>> {
    rows.iter().map(|row| Ok(AttemptOf { no: row.int(0)?, attempt: row.int(1)? })).collect()
}

/// Attempts on other machines that were not heard for so many milliseconds, or are forgotten.
pub(crate) async fn running_on_silent(db: &Db, node: &str, now: &str, silence_ms: i64) -> Result<Vec<AttemptOf>> {
    let sql = format!(
        "SELECT t.no, t.attempt FROM tasks t LEFT JOIN nodes n ON n.name = t.node \
         WHERE t.state = 2 AND t.node <> $1 AND (n.name IS NULL OR n.heartbeat_at < {now} - $2) ORDER BY t.no"
    );
    read_attempts(&db.fetch(sql, vec![node.into(), silence_ms.into()]).await?)
}

/// Attempts of a node that somebody wants to end.
pub(crate) async fn unwanted_on(db: &Db, node: &str) -> Result<Vec<AttemptOf>> {
    let sql = "SELECT no, attempt FROM tasks WHERE state = 2 AND node = $1 AND cancelled_by IS NOT NULL";
    read_attempts(&db.fetch(sql, vec![node.into()]).await?)
}

/// What becomes of a task when its attempt ends.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Ending {
    #[serde(flatten)]
    pub(crate) of: AttemptOf,
    pub(crate) state: i64,
    pub(crate) exit_code: Option<i64>,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) due_at: Timestamp,
    pub(crate) rank: i64,
}

const ENDING: &[(&str, &str)] = &[
    ("no", "bigint"),
    ("attempt", "bigint"),
    ("state", "bigint"),
    ("exit_code", "bigint"),
    ("reason", "text"),
    ("message", "text"),
    ("due_at", "bigint"),
    ("rank", "bigint"),
];

/// Ends attempts that succeeded with nothing to tell; gives the numbers of the tasks whose newest attempt that was.
pub(crate) async fn succeed(tx: &mut Tx, attempts: &[AttemptOf]) -> Result<Vec<i64>> {
    if attempts.is_empty() {
        return Ok(vec![]);
    }
    let list = tx.dialect().records(1, ATTEMPT_OF);
    let sql = format!(
        "UPDATE tasks SET state = 3, finished_at = $2, exit_code = 0, reason = 'Completed', message = '' \
         WHERE (no, attempt) IN {list} AND state + 0 = 2 RETURNING no"
    );
    tx.fetch(sql, vec![Arg::list(attempts), tx.now().into()]).await?.iter().map(|row| row.int(0)).collect()
}

/// Ends attempts; gives the tasks whose newest attempt that was, as they are now.
pub(crate) async fn end(tx: &mut Tx, endings: &[Ending]) -> Result<Vec<Task>> {
    if endings.is_empty() {
        return Ok(vec![]);
    }
    let list = tx.dialect().records(1, ENDING);
    let columns = COLUMNS.split(", ").map(|column| format!("tasks.{}", column.trim())).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "UPDATE tasks SET state = e.state, exit_code = e.exit_code, reason = e.reason, message = e.message, \
         due_at = e.due_at, rank = e.rank, finished_at = CASE WHEN e.state > 2 THEN $2 ELSE NULL END \
         FROM {list} AS e WHERE tasks.no = e.no AND tasks.attempt = e.attempt AND tasks.state + 0 = 2 RETURNING {columns}"
    );
    let args = vec![Arg::list(endings), tx.now().into()];
    read_all(&tx.fetch(sql, args).await?)
}

/// Says why ready tasks are not running.
pub(crate) async fn explain(tx: &mut Tx, nos: &[i64], reason: &str, message: &str) -> Result<Vec<Task>> {
    let list = tx.dialect().numbers(1);
    let sql =
        format!("UPDATE tasks SET reason = $2, message = $3 WHERE no IN {list} AND state + 0 = 1 RETURNING {COLUMNS}");
    read_all(&tx.fetch(sql, vec![Arg::list(nos), reason.into(), message.into()]).await?)
}

/// Cancels what is not finished: what runs is only marked, the rest is at its end. Gives what was touched.
pub(crate) async fn cancel(tx: &mut Tx, nos: &[i64], by: &str) -> Result<Vec<Task>> {
    let list = tx.dialect().numbers(1);
    let sql = format!(
        "UPDATE tasks SET cancelled_by = $2, reason = 'Cancelled', message = $3, \
         finished_at = CASE WHEN state = 2 THEN NULL ELSE $4 END, state = CASE WHEN state = 2 THEN 2 ELSE 5 END \
         WHERE no IN {list} AND state + 0 < 3 AND cancelled_by IS NULL RETURNING {COLUMNS}"
    );
    let args = vec![Arg::list(nos), by.into(), format!("cancelled by {by}").into(), tx.now().into()];
    let touched = read_all(&tx.fetch(sql, args).await?)?;
    notes::leave(tx, &touched.iter().map(|task| task.no).collect::<Vec<_>>()).await?;
    Ok(touched)
}

/// Makes a finished task ready anew, with all its attempts.
pub(crate) async fn replay(tx: &mut Tx, task: &Task) -> Result<Option<Task>> {
    let now = tx.now();
    let sql = format!(
        "UPDATE tasks SET state = 1, due_at = $2, rank = $3, attempts_left = $4, cancelled_by = NULL, finished_at = NULL, \
         reason = '', message = '' WHERE no = $1 AND state > 2 RETURNING {COLUMNS}"
    );
    let left = task.spec.retries.most_attempts;
    let args = vec![task.no.into(), now.into(), rank(now, task.priority).into(), left.into()];
    notes::leave(tx, &[task.no]).await?;
    tx.fetch(sql, args).await?.first().map(read).transpose()
}

/// Keeps what an attempt says of how far it is.
pub(crate) async fn set_progress(tx: &mut Tx, of: AttemptOf, progress: &str) -> Result<bool> {
    let sql = "UPDATE tasks SET progress = $3 WHERE no = $1 AND attempt = $2 AND state = 2";
    Ok(tx.execute(sql, vec![of.no.into(), of.attempt.into(), progress.into()]).await? > 0)
}

/// Forgets tasks that finished before a time; gives their numbers.
pub(crate) async fn forget(tx: &mut Tx, before: Timestamp, most: i64) -> Result<Vec<i64>> {
    let sql = "DELETE FROM tasks WHERE no IN (SELECT no FROM tasks WHERE state > 2 AND finished_at < $1 AND owner IS NULL \
        ORDER BY finished_at LIMIT $2) RETURNING no";
    tx.fetch(sql, vec![before.into(), most.into()]).await?.iter().map(|row| row.int(0)).collect()
}

/// Forgets these tasks.
pub(crate) async fn delete(tx: &mut Tx, nos: &[i64]) -> Result<u64> {
    let sql = format!("DELETE FROM tasks WHERE no IN {} AND state + 0 > 2", tx.dialect().numbers(1));
    tx.execute(sql, vec![Arg::list(nos)]).await
}
