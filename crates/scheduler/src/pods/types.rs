//! What an attempt is, as far as it is shown.

use std::sync::Arc;

use mcplane_core::Timestamp;

use crate::tasks::{Outcome, State, Task};

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not begun yet.
    Pending,
    /// A machine is at it.
    Running,
    /// It did what it should.
    Succeeded,
    /// It did not.
    Failed,
}

impl Phase {
    /// Kubernetes' word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// One attempt of a task, with what is known of it now. What a pod keeps for life (name, uid, time of creation) is not here:
/// it is made when the attempt is first shown, and is in its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The task.
    pub task: i64,
    /// Counts from 1.
    pub attempt: i64,
    /// Where it is in its life.
    pub phase: Phase,
    /// Where it runs, or ran.
    pub node: Option<Arc<str>>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Exit code of its process.
    pub exit_code: Option<i64>,
    /// Why it is where it is, in one word: `InsufficientCpu`, `Error`, `DeadlineExceeded`.
    pub reason: String,
    /// The same for people.
    pub message: String,
}

impl Attempt {
    /// The attempt that the task is at: its newest, or the coming one if it waits.
    pub fn of(task: &Task) -> Self {
        let (attempt, phase) = match task.state {
            State::Waiting | State::Ready => (task.attempt + 1, Phase::Pending),
            State::Running => (task.attempt, Phase::Running),
            State::Succeeded => (task.attempt.max(1), Phase::Succeeded),
            State::Failed | State::Cancelled => (task.attempt.max(1), Phase::Failed),
        };
        let begun = phase != Phase::Pending;
        Self {
            task: task.no,
            attempt,
            phase,
            node: task.node.clone().filter(|_| begun),
            started_at: task.started_at.filter(|_| begun),
            finished_at: task.finished_at.filter(|_| phase.is_final()),
            exit_code: task.exit_code.filter(|_| phase.is_final()),
            reason: match (task.state, task.reason.as_str()) {
                (State::Cancelled, "") => "Cancelled".to_owned(),
                (_, reason) => reason.to_owned(),
            },
            message: task.message.clone(),
        }
    }

    /// The attempt that the task is running, at its end.
    pub fn ended(task: &Task, outcome: &Outcome, at: Timestamp) -> Self {
        Self {
            task: task.no,
            attempt: task.attempt,
            phase: if outcome.succeeded { Phase::Succeeded } else { Phase::Failed },
            node: task.node.clone(),
            started_at: task.started_at,
            finished_at: Some(at),
            exit_code: outcome.exit_code,
            reason: outcome.reason.clone(),
            message: outcome.message.clone(),
        }
    }

    /// The newest attempt of a task that waits to be tried again.
    pub(super) fn given_back(task: &Task, at: Timestamp) -> Self {
        let outcome = Outcome {
            exit_code: task.exit_code,
            reason: "Error".to_owned(),
            message: task.message.clone(),
            ..Outcome::default()
        };
        Self::ended(task, &outcome, at)
    }

    /// The attempt that never began of a task that was cancelled.
    pub(super) fn given_up(task: &Task) -> Self {
        Self { attempt: task.attempt + 1, node: None, started_at: None, exit_code: None, ..Self::of(task) }
    }
}

/// What a pod keeps for life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Unique everywhere.
    pub uid: String,
    /// Unique among the pods of the namespace.
    pub name: String,
    /// When it was first shown.
    pub created_at: Timestamp,
    /// When somebody asked for its deletion.
    pub deleted_at: Option<Timestamp>,
}
