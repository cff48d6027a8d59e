//! What a run is.

use serde::{Serialize, Serializer};

use crate::datasets::Lineage;
use crate::experiments::ExperimentId;
use crate::metrics::Metric;
use crate::tags::Tag;

/// The tag that mirrors a run's name.
pub(crate) const NAME_TAG: &str = "mlflow.runName";

/// How far a run is. The numbers are those of the protocol and of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum RunStatus {
    Running = 1,
    Scheduled = 2,
    Finished = 3,
    Failed = 4,
    Killed = 5,
}

impl RunStatus {
    pub(crate) const ALL: [Self; 5] = [Self::Running, Self::Scheduled, Self::Finished, Self::Failed, Self::Killed];

    /// The protocol's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Scheduled => "SCHEDULED",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// The status of that number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status as i64 == number)
    }
}

impl Serialize for RunStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A run without what was logged to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInfo {
    /// The database's own number.
    pub(crate) no: i64,
    /// 32 hexadecimal digits.
    pub id: String,
    /// Its experiment.
    pub experiment: ExperimentId,
    /// The experiment's number in the database.
    pub(crate) experiment_no: i64,
    /// Shown name; not unique.
    pub name: String,
    /// Who started it, as the client says.
    pub user_id: String,
    /// How far it is.
    pub status: RunStatus,
    /// Milliseconds since the epoch, as the client says.
    pub started_at: i64,
    /// Milliseconds since the epoch, as the client says.
    pub ended_at: Option<i64>,
    /// When it was deleted, in milliseconds since the epoch.
    pub deleted_at: Option<i64>,
    /// URI under which its artifacts lie.
    pub artifact_uri: String,
}

/// A run with all that was logged to it.
#[derive(Debug, Clone)]
pub struct Run {
    /// The run.
    pub info: RunInfo,
    /// The latest point of each metric, sorted by key.
    pub metrics: Vec<Metric>,
    /// Sorted by key.
    pub params: Vec<Tag>,
    /// Sorted by key.
    pub tags: Vec<Tag>,
    /// What it read and what it made.
    pub lineage: Lineage,
}

/// A run to be made.
#[derive(Debug, Clone, Default)]
pub struct NewRun {
    /// Its id, 32 hexadecimal digits, for who must be able to ask twice: a run that has it is given instead. One is made up
    /// if empty.
    pub id: String,
    /// Its experiment, in the form that clients send.
    pub experiment: String,
    /// Who starts it.
    pub user_id: String,
    /// Its name; one is made up if empty.
    pub name: String,
    /// Milliseconds since the epoch.
    pub started_at: i64,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// What may change of a run itself; `None` leaves it.
#[derive(Debug, Clone, Default)]
pub struct RunUpdate {
    /// How far it is.
    pub status: Option<RunStatus>,
    /// Milliseconds since the epoch.
    pub ended_at: Option<i64>,
    /// Shown name; an empty one leaves it.
    pub name: Option<String>,
}
