//! What becomes of a job, from what it says and what its tasks did. Pure: the clock is a parameter, and nothing is done here.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{JobSpec, JobStatus, UncountedTerminatedPods};
use mcplane_core::Timestamp;

use super::conditions::{self, Conditions};
use super::indexes;
use crate::tasks::State;

/// The first delay after a failure, in milliseconds; each further failure in a row doubles it.
const BACKOFF_MS: i64 = 10_000;
/// The longest delay.
const MOST_BACKOFF_MS: i64 = 10 * 60_000;
/// Pods that are made at a time.
const MOST_AT_ONCE: usize = 500;

/// A task of the job, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its number.
    pub no: i64,
    /// Which completion of an indexed job it is; 0 for others.
    pub index: i64,
    /// Where it is in its life.
    pub state: State,
    /// Whether somebody wants it to end.
    pub cancelled: bool,
    /// Whether that was the job itself, so that its end is no failure.
    pub dropped: bool,
    /// Whether no other attempt would fare better: there is nothing that could run.
    pub hopeless: bool,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// A pod that is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPod {
    /// Which completion it is for.
    pub index: i64,
    /// Counts the pods of the index; with it a pod is made once, however often it is asked for.
    pub ordinal: usize,
    /// It is not to run earlier.
    pub not_before: Option<Timestamp>,
}

/// What happened that people should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// All is done.
    Completed,
    /// It was given up, for the reason and in the words of Kubernetes.
    Failed(&'static str, &'static str),
    /// It was suspended.
    Suspended,
    /// It goes on.
    Resumed,
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// Pods to make.
    pub create: Vec<NewPod>,
    /// Tasks to end.
    pub cancel: Vec<i64>,
    /// What the job's status is to be.
    pub status: JobStatus,
    /// The job is over for so long that it is to go.
    pub delete: bool,
    /// When to look again, whatever happens until then.
    pub again_at: Option<Timestamp>,
    /// For events.
    pub happened: Vec<Happened>,
}

const COMPLETED: (&str, &str) = ("CompletionsReached", "Reached expected number of succeeded pods");
const BACKOFF: (&str, &str) = ("BackoffLimitExceeded", "Job has reached the specified backoff limit");
const DEADLINE: (&str, &str) = ("DeadlineExceeded", "Job was active longer than specified deadline");
const NOTHING_RUNS: (&str, &str) = (
    "ErrImageNeverPull",
    "Its image is not in the configuration (agent.images), and its container gives no command that could run here",
);
const FAILED_INDEXES: (&str, &str) = ("FailedIndexes", "Job has failed indexes");
const TOO_MANY_INDEXES: (&str, &str) =
    ("MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes");

/// Decides. `deleting`: somebody deletes the job; `status` is what it said last.
pub fn decide(spec: &JobSpec, status: &JobStatus, deleting: bool, pieces: &[Piece], now: Timestamp) -> Decision {
    let tally = Tally::of(spec, pieces);
    let mut conditions = Conditions::of(status, now);
    let mut decision = Decision::default();
    let mut start = conditions::millis(status.start_time.as_ref());
    let mut completion_time = status.completion_time.clone();

    if conditions.finished() || deleting {
        decision.cancel = tally.active();
        if let (Some(seconds), Some(at)) = (spec.ttl_seconds_after_finished, conditions.finished_at()) {
            let due = at + i64::from(seconds) * 1000;
            decision.delete = due <= now && !deleting;
            decision.again_at = (due > now).then_some(due);
        }
        // What is over stays as it was told.
        let mut last = status.clone();
        last.active = None;
        last.terminating = Some(0);
        decision.status = if conditions.finished() { last } else { tally.status(spec, status, &conditions) };
        return decision;
    }

    let suspended = spec.suspend == Some(true);
    match (suspended, conditions.holds("Suspended")) {
        (true, false) => {
            conditions.set("Suspended", true, "JobSuspended", "Job suspended");
            decision.happened.push(Happened::Suspended);
        }
        (false, true) => {
            conditions.set("Suspended", false, "JobResumed", "Job resumed");
            decision.happened.push(Happened::Resumed);
            start = None;
        }
        _ => {}
    }
    if suspended {
        start = None;
    } else {
        start = start.or(Some(now));
    }

    let deadline = spec.active_deadline_seconds.zip(start).map(|(seconds, start)| start + seconds * 1000);
    let target = conditions.target().or_else(|| tally.verdict(spec, deadline, now));
    let mut waits = None;
    match target {
        Some((succeeds, reason, message)) => {
            let (criterion, last) =
                if succeeds { ("SuccessCriteriaMet", "Complete") } else { ("FailureTarget", "Failed") };
            decision.cancel = tally.active();
            conditions.set(criterion, true, &reason, &message);
            if tally.unfinished() == 0 {
                conditions.set(last, true, &reason, &message);
                completion_time = succeeds.then(|| conditions::time(now));
                decision.happened.push(if succeeds { Happened::Completed } else { failure(&reason) });
                decision.again_at = spec.ttl_seconds_after_finished.map(|seconds| now + i64::from(seconds) * 1000);
            }
        }
        None if suspended => decision.cancel = tally.active(),
        None => {
            waits = deadline;
            (decision.create, decision.cancel) = tally.adjust(spec, now);
        }
    }
    decision.again_at = decision.again_at.or(waits);
    let mut shown = tally.status(spec, status, &conditions);
    shown.start_time = start.map(conditions::time);
    shown.completion_time = completion_time;
    decision.status = shown;
    decision
}

fn failure(reason: &str) -> Happened {
    let all = [NOTHING_RUNS, BACKOFF, DEADLINE, FAILED_INDEXES, TOO_MANY_INDEXES];
    let (reason, message) = all.into_iter().find(|(known, _)| *known == reason).unwrap_or(BACKOFF);
    Happened::Failed(reason, message)
}

/// What the tasks of one index did, or all of a job without indexes.
#[derive(Debug, Clone, Default)]
struct Row {
    made: usize,
    succeeded: usize,
    failed: usize,
    /// Failures since the last success.
    streak: u32,
    last_failure: Option<Timestamp>,
    /// Tasks that nobody wants to end, those that don't run yet last.
    active: Vec<(bool, i64)>,
    ending: usize,
}

struct Tally {
    indexed: bool,
    hopeless: bool,
    rows: BTreeMap<i64, Row>,
    ready: usize,
}

impl Tally {
    fn of(spec: &JobSpec, pieces: &[Piece]) -> Self {
        let indexed = spec.completion_mode.as_deref() == Some("Indexed");
        let mut rows: BTreeMap<i64, Row> = BTreeMap::new();
        let mut ready = 0;
        let mut ends: Vec<&Piece> = Vec::new();
        for piece in pieces {
            let row = rows.entry(if indexed { piece.index } else { 0 }).or_default();
            row.made += 1;
            if piece.state.is_final() {
                ends.push(piece);
            } else if piece.cancelled {
                row.ending += 1;
            } else {
                row.active.push((piece.state != State::Running, piece.no));
                ready += usize::from(piece.state == State::Running);
            }
        }
        // Streaks are counted in the order in which the tasks ended.
        ends.sort_by_key(|piece| (piece.finished_at, piece.no));
        for piece in ends {
            let row = rows.entry(if indexed { piece.index } else { 0 }).or_default();
            match piece.state {
                State::Succeeded => {
                    row.succeeded += 1;
                    row.streak = 0;
                }
                _ if piece.dropped => {}
                _ => {
                    row.failed += 1;
                    row.streak = row.streak.saturating_add(1);
                    row.last_failure = row.last_failure.max(piece.finished_at);
                }
            }
        }
        Self { indexed, hopeless: pieces.iter().any(|piece| piece.hopeless), rows, ready }
    }

    fn sum(&self, of: impl Fn(&Row) -> usize) -> usize {
        self.rows.values().map(of).sum()
    }

    /// Indexes that are wanted and done.
    fn done(&self, spec: &JobSpec) -> Vec<i64> {
        let wanted = i64::from(spec.completions.unwrap_or(0));
        self.rows.range(..wanted).filter(|(_, row)| row.succeeded > 0).map(|(index, _)| *index).collect()
    }

    /// Indexes that failed once too often.
    fn lost(&self, spec: &JobSpec) -> Vec<i64> {
        let Some(limit) = spec.backoff_limit_per_index else { return vec![] };
        let wanted = i64::from(spec.completions.unwrap_or(0));
        let lost = |row: &Row| row.succeeded == 0 && row.failed > usize::try_from(limit).unwrap_or(0);
        self.rows.range(..wanted).filter(|(_, row)| lost(row)).map(|(index, _)| *index).collect()
    }

    fn succeeded(&self, spec: &JobSpec) -> usize {
        if self.indexed { self.done(spec).len() } else { self.sum(|row| row.succeeded) }
    }

    fn unfinished(&self) -> usize {
        self.sum(|row| row.active.len() + row.ending)
    }

    fn active(&self) -> Vec<i64> {
        self.rows.values().flat_map(|row| row.active.iter().map(|(_, no)| *no)).collect()
    }

    /// Whether the job is decided: that it succeeds, and the reason in Kubernetes' words.
    fn verdict(&self, spec: &JobSpec, deadline: Option<Timestamp>, now: Timestamp) -> Option<(bool, String, String)> {
        let say = |succeeds, (reason, message): (&str, &str)| Some((succeeds, reason.to_owned(), message.to_owned()));
        let most = |limit: Option<i32>| usize::try_from(limit.unwrap_or(i32::MAX)).unwrap_or(0);
        let (succeeded, lost) = (self.succeeded(spec), self.lost(spec).len());
        if self.hopeless {
            return say(false, NOTHING_RUNS);
        }
        if self.sum(|row| row.failed) > most(spec.backoff_limit) {
            return say(false, BACKOFF);
        }
        if spec.max_failed_indexes.is_some() && lost > most(spec.max_failed_indexes) {
            return say(false, TOO_MANY_INDEXES);
        }
        let complete = match spec.completions {
            Some(wanted) => succeeded >= usize::try_from(wanted).unwrap_or(0),
            // A pool that works off a queue of its own: one success tells that the queue is empty.
            None => succeeded > 0 && self.unfinished() == 0,
        };
        if complete {
            return say(true, COMPLETED);
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            return say(false, DEADLINE);
        }
        if lost > 0 && succeeded + lost >= most(spec.completions) {
            return say(false, FAILED_INDEXES);
        }
        None
    }

    /// Pods to make and tasks to end so that as many are at it as should be.
    fn adjust(&self, spec: &JobSpec, now: Timestamp) -> (Vec<NewPod>, Vec<i64>) {
        let parallelism = usize::try_from(spec.parallelism.unwrap_or(1)).unwrap_or(0);
        let succeeded = self.succeeded(spec);
        let active = self.sum(|row| row.active.len());
        let wanted = match spec.completions {
            Some(wanted) => {
                let left = usize::try_from(wanted).unwrap_or(0).saturating_sub(succeeded + self.lost(spec).len());
                parallelism.min(left)
            }
            None if succeeded > 0 => active.min(parallelism),
            None => parallelism,
        };
        let mut ends = self.beyond(spec);
        let surplus = (active - ends.len()).saturating_sub(wanted);
        if surplus > 0 {
            ends.extend(self.newest(&ends, surplus));
        }
        // What is to end still takes its place, so that never more run than may.
        let missing = wanted.saturating_sub(self.unfinished()).min(MOST_AT_ONCE);
        let create = if self.indexed { self.next_indexes(spec, missing, now) } else { self.next(missing, now) };
        (create, ends)
    }

    /// Active tasks of indexes that are not wanted, or done: of jobs that were made smaller.
    fn beyond(&self, spec: &JobSpec) -> Vec<i64> {
        if !self.indexed {
            return vec![];
        }
        let wanted = i64::from(spec.completions.unwrap_or(0));
        let idle = self.rows.iter().filter(|(index, row)| **index >= wanted || row.succeeded > 0);
        idle.flat_map(|(_, row)| row.active.iter().map(|(_, no)| *no)).collect()
    }

    /// So many active tasks that can best be spared: what does not run yet, then the newest.
    fn newest(&self, but: &[i64], count: usize) -> Vec<i64> {
        let mut active: Vec<(bool, i64)> = self.rows.values().flat_map(|row| row.active.iter().copied()).collect();
        active.retain(|(_, no)| !but.contains(no));
        active.sort_unstable_by(|a, b| b.cmp(a));
        active.into_iter().take(count).map(|(_, no)| no).collect()
    }

    fn next(&self, count: usize, now: Timestamp) -> Vec<NewPod> {
        let none = Row::default();
        let row = self.rows.get(&0).unwrap_or(&none);
        let not_before = delay(row.streak, row.last_failure, now);
        (0..count).map(|more| NewPod { index: 0, ordinal: row.made + more, not_before }).collect()
    }

    fn next_indexes(&self, spec: &JobSpec, count: usize, now: Timestamp) -> Vec<NewPod> {
        let lost = self.lost(spec);
        let none = Row::default();
        let per_index = spec.backoff_limit_per_index.is_some();
        let (streak, last) = (
            self.rows.values().map(|row| row.streak).fold(0, u32::saturating_add),
            self.rows.values().filter_map(|row| row.last_failure).max(),
        );
        (0..i64::from(spec.completions.unwrap_or(0)))
            .filter_map(|index| {
                let row = self.rows.get(&index).unwrap_or(&none);
                let idle = row.succeeded == 0 && row.active.is_empty() && row.ending == 0;
                if !idle || lost.binary_search(&index).is_ok() {
                    return None;
                }
                let own = delay(row.streak, row.last_failure, now);
                let not_before = if per_index { own } else { delay(streak, last, now) };
                Some(NewPod { index, ordinal: row.made, not_before })
            })
            .take(count)
            .collect()
    }

    fn status(&self, spec: &JobSpec, before: &JobStatus, conditions: &Conditions) -> JobStatus {
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let per_index = spec.backoff_limit_per_index.is_some();
        JobStatus {
            active: none_if_zero(self.sum(|row| row.active.len())),
            ready: Some(number(self.ready)),
            terminating: Some(number(self.sum(|row| row.ending))),
            succeeded: none_if_zero(self.succeeded(spec)),
            failed: none_if_zero(self.sum(|row| row.failed)),
            completed_indexes: self.indexed.then(|| indexes::text(&self.done(spec))),
            failed_indexes: (self.indexed && per_index).then(|| indexes::text(&self.lost(spec))),
            conditions: conditions.list(),
            uncounted_terminated_pods: Some(UncountedTerminatedPods::default()),
            ..before.clone()
        }
    }
}

fn none_if_zero(count: usize) -> Option<i32> {
    (count > 0).then(|| i32::try_from(count).unwrap_or(i32::MAX))
}

/// Until when the next try waits after failures in a row.
fn delay(streak: u32, last: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    let doublings = streak.checked_sub(1)?.min(16);
    Some(last? + (BACKOFF_MS << doublings).min(MOST_BACKOFF_MS)).filter(|until| *until > now)
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
