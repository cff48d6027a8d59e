//! The engine's transactions, each for all that waits for it.

use std::time::Duration;

use mcplane_core::{Error, Result, Timestamp};
use mcplane_db::Tx;

use super::lead::Lead;
use super::runner::Ended;
use crate::fairness::{Unfit, UnfitReason};
use crate::pods::{self, Attempt};
use crate::retry::Backoff;
use crate::scheduler::Scheduler;
use crate::tasks::notes;
use crate::tasks::store::{self, Ending, Pending};
use crate::tasks::{AttemptOf, Outcome, Retries, State, Task, rank};

/// The share of a back-off that is left to chance.
const JITTER: f64 = 0.5;

/// Writes down attempts that ended; gives the tasks that are tried again.
pub(super) async fn finish(
    scheduler: &Scheduler,
    ended: &[Ended],
    shown: impl Fn(AttemptOf) -> bool,
) -> Result<Vec<Pending>> {
    if ended.is_empty() {
        return Ok(vec![]);
    }
    let (plain, told): (Vec<Ended>, Vec<Ended>) =
        ended.iter().cloned().partition(|ended| ended.outcome.is_plain() && !shown(ended.of));
    let plain: Vec<AttemptOf> = plain.into_iter().map(|ended| ended.of).collect();
    let nos: Vec<i64> = ended.iter().map(|ended| ended.of.no).collect();
    let process = scheduler.identity.clone();
    scheduler
        .db
        .write(move |tx| {
            Box::pin(async move {
                store::succeed(tx, &plain).await?;
                let changed = end(tx, told).await?;
                // The lead may be another's by now, or always was.
                notes::leave_to_others(tx, &process, &nos).await?;
                Ok(changed.iter().filter(|task| !task.state.is_final()).map(Pending::from).collect())
            })
        })
        .await
}

async fn end(tx: &mut Tx, told: Vec<Ended>) -> Result<Vec<Task>> {
    if told.is_empty() {
        return Ok(vec![]);
    }
    tx.lock().await?;
    let nos: Vec<i64> = told.iter().map(|ended| ended.of.no).collect();
    let tasks = store::some(tx, &nos).await?;
    let now = tx.now();
    let mut endings = Vec::with_capacity(told.len());
    for ended in told {
        let Ok(at) = tasks.binary_search_by_key(&ended.of.no, |task| task.no) else { continue };
        let task = &tasks[at];
        if task.state == State::Running && task.attempt == ended.of.attempt {
            pods::show_attempt(tx, task, &Attempt::ended(task, &ended.outcome, now)).await?;
        }
        endings.push(ending(task, ended, now));
    }
    store::end(tx, &endings).await
}

/// How long a task waits after this attempt.
fn delay_ms(retries: &Retries, of: AttemptOf) -> i64 {
    let ms = |value: i64| Duration::from_millis(value.unsigned_abs());
    let backoff =
        Backoff { initial: ms(retries.initial_ms), factor: retries.factor, max: ms(retries.max_ms), jitter: JITTER };
    let attempt = u32::try_from(of.attempt).unwrap_or(u32::MAX);
    i64::try_from(backoff.delay(attempt, of.no.unsigned_abs()).as_millis()).unwrap_or(i64::MAX)
}

/// What becomes of a task when its attempt ended so.
fn ending(task: &Task, Ended { of, outcome }: Ended, now: Timestamp) -> Ending {
    let Outcome { succeeded, permanent, exit_code, mut reason, mut message } = outcome;
    let (mut state, mut due_at) = (State::Failed, task.due_at);
    if let Some(by) = &task.cancelled_by {
        state = State::Cancelled;
        (reason, message) = ("Cancelled".to_owned(), format!("cancelled by {by}"));
    } else if succeeded {
        state = State::Succeeded;
    } else if !permanent && task.attempts_left > 0 {
        state = State::Waiting;
        due_at = now.saturating_add(delay_ms(&task.spec.retries, of));
        message = format!("attempt {} ended: {reason} {message}", of.attempt).trim_end().to_owned();
        reason = "BackOff".to_owned();
    }
    Ending { of, state: state as i64, exit_code, reason, message, due_at, rank: rank(due_at, task.priority) }
}

/// Makes tasks ready whose time has come.
pub(super) async fn make_ready(scheduler: &Scheduler, nos: &[i64]) -> Result<Vec<Pending>> {
    if nos.is_empty() {
        return Ok(vec![]);
    }
    let nos = nos.to_vec();
    scheduler.db.write(move |tx| Box::pin(async move { store::make_ready(tx, &nos).await })).await
}

/// Begins attempts on this node; gives the tasks that do begin.
pub(super) async fn begin(scheduler: &Scheduler, lead: Lead, attempts: Vec<AttemptOf>) -> Result<Vec<Task>> {
    let node = std::sync::Arc::clone(&scheduler.node);
    scheduler
        .db
        .write(move |tx| {
            Box::pin(async move {
                if !lead.holds(tx).await? {
                    return Err(super::lead::lost());
                }
                let begun = store::begin(tx, &node, &attempts).await?;
                for task in &begun {
                    pods::show(tx, task).await?;
                }
                Ok(begun)
            })
        })
        .await
}

/// Says why tasks can't run here.
pub(super) async fn explain(scheduler: &Scheduler, unfit: Vec<Unfit>) -> Result<()> {
    scheduler
        .db
        .write(move |tx| {
            Box::pin(async move {
                for Unfit { task, reason } in unfit {
                    for task in store::explain(tx, &[task], reason.as_str(), message(reason)).await? {
                        pods::show(tx, &task).await?;
                    }
                }
                Ok::<(), Error>(())
            })
        })
        .await
}

fn message(reason: UnfitReason) -> &'static str {
    match reason {
        UnfitReason::InsufficientCpu => "no machine has as many processors as it requests",
        UnfitReason::InsufficientMemory => "no machine has as much memory as it requests",
        UnfitReason::InsufficientGpu => "no machine has as many devices as it requests",
    }
}
