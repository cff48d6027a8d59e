//! The conditions of a job.

use k8s_openapi::api::batch::v1::{JobCondition, JobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use mcplane_core::Timestamp;

/// The conditions of a job, as they are to be.
#[derive(Debug, Clone)]
pub(super) struct Conditions {
    list: Vec<JobCondition>,
    now: Timestamp,
}

impl Conditions {
    /// What the status says.
    pub(super) fn of(status: &JobStatus, now: Timestamp) -> Self {
        Self { list: status.conditions.clone().unwrap_or_default(), now }
    }

    fn find(&self, kind: &str) -> Option<&JobCondition> {
        self.list.iter().find(|condition| condition.type_ == kind && condition.status == "True")
    }

    /// Whether a condition is true.
    pub(super) fn holds(&self, kind: &str) -> bool {
        self.find(kind).is_some()
    }

    /// Whether the job is over.
    pub(super) fn finished(&self) -> bool {
        self.holds("Complete") || self.holds("Failed")
    }

    /// When it was over.
    pub(super) fn finished_at(&self) -> Option<Timestamp> {
        let last = self.find("Complete").or_else(|| self.find("Failed"))?;
        millis(last.last_transition_time.as_ref())
    }

    /// What the job is to become once nothing of it runs any more, if that is decided: whether it succeeds, and why.
    pub(super) fn target(&self) -> Option<(bool, String, String)> {
        let told = |condition: &JobCondition, succeeds| {
            let text = |field: &Option<String>| field.clone().unwrap_or_default();
            (succeeds, text(&condition.reason), text(&condition.message))
        };
        let success = self.find("SuccessCriteriaMet").map(|condition| told(condition, true));
        success.or_else(|| self.find("FailureTarget").map(|condition| told(condition, false)))
    }

    /// Sets a condition; nothing happens if it is as wanted.
    pub(super) fn set(&mut self, kind: &str, holds: bool, reason: &str, message: &str) {
        let status = if holds { "True" } else { "False" };
        let known = self.list.iter().position(|condition| condition.type_ == kind);
        if known.is_some_and(|at| self.list[at].status == status) {
            return;
        }
        let condition = JobCondition {
            last_probe_time: Some(time(self.now)),
            last_transition_time: Some(time(self.now)),
            message: Some(message.to_owned()),
            reason: Some(reason.to_owned()),
            status: status.to_owned(),
            type_: kind.to_owned(),
        };
        match known {
            Some(at) => self.list[at] = condition,
            None => self.list.push(condition),
        }
    }

    /// For the status.
    pub(super) fn list(&self) -> Option<Vec<JobCondition>> {
        (!self.list.is_empty()).then(|| self.list.clone())
    }
}

/// Kubernetes' time, which has whole seconds.
pub(crate) fn time(at: Timestamp) -> Time {
    Time(jiff::Timestamp::from_second(at.div_euclid(1000)).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}

/// Milliseconds of Kubernetes' time.
pub(crate) fn millis(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0.as_millisecond())
}
