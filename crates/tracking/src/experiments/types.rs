//! What an experiment is.

use std::fmt;

use mcplane_core::{Error, Result};
use serde::{Serialize, Serializer};

use crate::tags::Tag;

/// The number of an experiment in its namespace; a text in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExperimentId(pub i64);

impl ExperimentId {
    /// The experiment of runs that name none.
    pub const DEFAULT: Self = Self(0);

    /// Reads an id; an empty one means the default.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for what is no number.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() { Ok(Self::DEFAULT) } else { Self::parse_given(text) }
    }

    /// Reads an id that must be given.
    pub(crate) fn parse_given(text: &str) -> Result<Self> {
        let invalid =
            || Error::bad_request(format!("Invalid experiment ID '{text}'. Experiment ID must be a valid integer."));
        text.trim().parse().map(Self).map_err(|_| invalid())
    }
}

impl fmt::Display for ExperimentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for ExperimentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Experiment {
    /// The database's own number.
    pub(crate) no: i64,
    /// Namespace.
    pub namespace: String,
    /// Number in the namespace.
    pub id: ExperimentId,
    /// Unique in the namespace, deleted experiments included.
    pub name: String,
    /// URI under which artifacts of its runs lie.
    pub artifact_location: String,
    /// Whether it waits for its purge.
    pub deleted: bool,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
    /// Sorted by key.
    pub tags: Vec<Tag>,
}

impl Experiment {
    /// `active` or `deleted`.
    pub fn lifecycle_stage(&self) -> &'static str {
        lifecycle_stage(self.deleted)
    }

    /// # Errors
    /// [`Error::BadRequest`] unless the experiment is active.
    pub(crate) fn check_active(&self) -> Result<()> {
        if self.deleted {
            let message =
                format!("The experiment {} must be in the 'active' state. Current state is deleted.", self.id);
            return Err(Error::bad_request(message));
        }
        Ok(())
    }
}

/// How the protocol calls what is deleted or not.
pub(crate) const fn lifecycle_stage(deleted: bool) -> &'static str {
    if deleted { "deleted" } else { "active" }
}

/// An experiment to be made.
#[derive(Debug, Clone, Default)]
pub struct NewExperiment {
    /// Its name.
    pub name: String,
    /// Where its artifacts go; below the default root if empty.
    pub artifact_location: String,
    /// Its tags.
    pub tags: Vec<Tag>,
}
