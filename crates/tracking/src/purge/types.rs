//! What may be purged, and what was.

use serde::Serialize;

/// What to purge of the deleted things of a namespace: everything that is old enough, or only what is named.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Only what was deleted at least so many milliseconds ago.
    pub older_than: i64,
    /// Only the things of these ids, whatever else is deleted.
    pub named: Option<Vec<(Kind, Vec<String>)>>,
    /// Tell what would go, and change nothing.
    pub dry_run: bool,
}

/// A kind of thing that is deleted in two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Runs.
    Run,
    /// Experiments, with their runs and models.
    Experiment,
    /// Logged models.
    Model,
    /// Traces, which go with their experiments only.
    Trace,
}

/// What a purge has put out of reach, and how far it came with clearing it away.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Purged {
    /// Ids of runs.
    pub runs: Vec<String>,
    /// Ids of experiments.
    pub experiments: Vec<String>,
    /// Ids of logged models.
    pub logged_models: Vec<String>,
    /// Folders of artifacts that this server does not keep, and so left alone.
    pub artifacts_elsewhere: Vec<String>,
    /// There is more to do: ask again.
    pub more: bool,
}

impl Purged {
    /// Adds the ids of what went.
    pub(super) fn tell(&mut self, kind: Kind, ids: impl Iterator<Item = String>) {
        match kind {
            Kind::Run => self.runs.extend(ids),
            Kind::Experiment => self.experiments.extend(ids),
            Kind::Model => self.logged_models.extend(ids),
            Kind::Trace => {}
        }
    }
}
