//! What becomes of a cron job, from what it says and what its jobs did. Pure.

use std::time::Duration;

use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use mcplane_core::{Timestamp, clock};

use super::make;
use crate::jobs::{millis, time};
use crate::timers::{Cron, Missed, fire_times, zone};

/// Missed times of which people are warned, as in Kubernetes.
const MANY: u64 = 100;

/// What happened that people should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A run did not start in time.
    Missed(Timestamp),
    /// Very many times passed.
    ManyMissed(u64),
    /// A run must wait, because one is going on.
    AlreadyActive,
    /// The schedule, or its time zone, can't be understood any more.
    Unparseable(String),
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// The time for which a job is to be made.
    pub run: Option<Timestamp>,
    /// Jobs to end, because the new one takes their place.
    pub replace: Vec<String>,
    /// Finished jobs to forget.
    pub forget: Vec<String>,
    /// What the status is to be, once the job is made.
    pub status: CronJobStatus,
    /// When to look again, whatever happens until then.
    pub again_at: Option<Timestamp>,
    /// For events.
    pub told: Vec<Told>,
}

/// Decides. `jobs` are those that the cron job made.
pub fn decide(cron: &CronJob, jobs: &[Job], now: Timestamp) -> Decision {
    let before = cron.status.clone().unwrap_or_default();
    let (finished, active): (Vec<&Job>, Vec<&Job>) = jobs.iter().partition(|job| outcome(job).is_some());
    let mut status = CronJobStatus {
        active: Some(active.iter().map(|job| reference(job)).collect::<Vec<_>>()).filter(|list| !list.is_empty()),
        last_successful_time: finished
            .iter()
            .filter(|job| outcome(job) == Some(true))
            .filter_map(|job| job.status.as_ref()?.completion_time.clone())
            .chain(before.last_successful_time.clone())
            .max(),
        ..before
    };
    let spec = &cron.spec;
    let mut decision = Decision { forget: forgettable(spec, &finished), ..Decision::default() };
    if cron.metadata.deletion_timestamp.is_none() && spec.suspend != Some(true) {
        match schedule(spec) {
            Ok((schedule, zone)) => {
                let created = millis(cron.metadata.creation_timestamp.as_ref()).unwrap_or(now);
                let last = millis(status.last_schedule_time.as_ref()).map_or(created, |last| last.max(created));
                let deadline = spec.starting_deadline_seconds.and_then(|seconds| u64::try_from(seconds).ok());
                let deadline = deadline.map(Duration::from_secs);
                let plan = fire_times(&schedule, &zone, last, now, Missed::One, deadline);
                decision.again_at = plan.next;
                if plan.missed > MANY {
                    decision.told.push(Told::ManyMissed(plan.missed));
                }
                match plan.due.last() {
                    Some(at) => start(&mut decision, &mut status, cron, spec, &active, jobs, *at),
                    None if plan.missed > 0 => {
                        // Told of the first that was missed; the rest is counted.
                        decision.told.extend(schedule.next_after(last, &zone).map(Told::Missed));
                    }
                    None => {}
                }
            }
            Err(fault) => decision.told.push(Told::Unparseable(fault)),
        }
    }
    decision.status = status;
    decision
}

fn schedule(spec: &CronJobSpec) -> Result<(Cron, jiff::tz::TimeZone), String> {
    let schedule = Cron::parse(&spec.schedule).map_err(|fault| fault.to_string())?;
    Ok((schedule, zone(spec.time_zone.as_deref().unwrap_or("UTC"))?))
}

/// Starts the run of a time, if it may start now.
fn start(
    decision: &mut Decision,
    status: &mut CronJobStatus,
    cron: &CronJob,
    spec: &CronJobSpec,
    active: &[&Job],
    jobs: &[Job],
    at: Timestamp,
) {
    let name = make::job_name(cron, at);
    if jobs.iter().any(|job| job.metadata.name.as_deref() == Some(&name)) {
        // Made before, by somebody who could not write it down.
        status.last_schedule_time = Some(time(at));
        return;
    }
    if !active.is_empty() {
        match spec.concurrency_policy.as_deref() {
            // Its time stays open: it starts as soon as it may, if the deadline allows.
            Some("Forbid") => return decision.told.push(Told::AlreadyActive),
            Some("Replace") => decision.replace = active.iter().filter_map(|job| job.metadata.name.clone()).collect(),
            _ => {}
        }
    }
    decision.run = Some(at);
    status.last_schedule_time = Some(time(at));
}

/// Whether a job succeeded; `None` if it is not over.
fn outcome(job: &Job) -> Option<bool> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let holds = |kind: &str| conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True");
    if holds("Complete") { Some(true) } else { holds("Failed").then_some(false) }
}

/// The oldest of finished jobs, where there are more than are to be kept.
fn forgettable(spec: &CronJobSpec, finished: &[&Job]) -> Vec<String> {
    let mut names = Vec::new();
    for (succeeded, limit) in [(true, spec.successful_jobs_history_limit), (false, spec.failed_jobs_history_limit)] {
        let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { continue };
        let mut jobs: Vec<&&Job> = finished.iter().filter(|job| outcome(job) == Some(succeeded)).collect();
        let begun = |job: &Job| {
            let started = job.status.as_ref().and_then(|status| status.start_time.clone());
            (started.or_else(|| job.metadata.creation_timestamp.clone()), job.metadata.name.clone())
        };
        jobs.sort_by_key(|job| begun(job));
        let surplus = jobs.len().saturating_sub(limit);
        let open = jobs.into_iter().take(surplus).filter(|job| job.metadata.deletion_timestamp.is_none());
        names.extend(open.filter_map(|job| job.metadata.name.clone()));
    }
    names
}

fn reference(job: &Job) -> ObjectReference {
    ObjectReference {
        api_version: Some("batch/v1".to_owned()),
        kind: Some("Job".to_owned()),
        name: job.metadata.name.clone(),
        namespace: job.metadata.namespace.clone(),
        resource_version: None,
        uid: job.metadata.uid.clone(),
        field_path: None,
    }
}

/// What an event says.
pub(super) fn words(told: &Told) -> (&'static str, String) {
    match told {
        Told::Missed(at) => ("MissSchedule", format!("Missed scheduled time to start a job: {}", clock::rfc3339(*at))),
        Told::ManyMissed(count) => (
            "TooManyMissedTimes",
            format!(
                "too many missed start times: {count}. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            ),
        ),
        Told::AlreadyActive => (
            "JobAlreadyActive",
            "Not starting job because prior execution is running and concurrency policy is Forbid".to_owned(),
        ),
        Told::Unparseable(fault) => ("UnparseableSchedule", format!("unparseable schedule: {fault}")),
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
