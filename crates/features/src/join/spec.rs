//! What is joined.

use std::sync::Arc;
use std::time::Duration;

use mcplane_core::units::HumanDuration;
use mcplane_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::tables::Table;

/// Under which key of a Parquet file's facts those of its view are.
pub const FACTS_KEY: &str = "mcplane.feature-view";

/// The events: what features are looked up for.
#[derive(Debug, Clone)]
pub struct Events {
    /// The rows.
    pub table: Arc<dyn Table>,
    /// The column that tells when they happened.
    pub timestamp: String,
}

/// What a materialised view is, as its file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ViewFacts {
    /// The view's name.
    pub view: String,
    /// Columns that name the entity.
    pub entities: Vec<String>,
    /// The column that tells when a row became true.
    pub timestamp_column: String,
    /// The column that tells when a row became known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_timestamp_column: Option<String>,
    /// How long a row is good for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<HumanDuration>,
    /// Columns to add to events.
    pub features: Vec<String>,
    /// Digest of the specification that it was made by; empty for files of others.
    #[serde(default)]
    pub spec_digest: String,
}

/// A view, and how it is joined.
#[derive(Debug, Clone)]
pub struct View {
    /// The rows.
    pub table: Arc<dyn Table>,
    /// What they are.
    pub facts: ViewFacts,
    /// The events' columns that name the entity, in the order of the view's; empty if they are called the same.
    pub on: Vec<String>,
    /// What the names of the features begin with among the columns of the result.
    pub prefix: String,
}

impl View {
    /// A table that a view was materialised to.
    ///
    /// # Errors
    /// [`Error::BadRequest`] if it does not say of what view it is.
    pub fn of_table(table: Arc<dyn Table>) -> Result<Self> {
        let name = table.name();
        let facts = table.metadata(FACTS_KEY).ok_or_else(|| {
            Error::bad_request(format!(
                "{name}: the file does not say what its columns are, as those of `mcplane features materialize` do: say which are \
                 entities and timestamp"
            ))
        })?;
        let facts = serde_json::from_str(facts).map_err(|error| {
            Error::bad_request(format!("{name}: what it says of its columns can't be read: {error}"))
        })?;
        Ok(Self { table, facts, on: vec![], prefix: String::new() })
    }

    /// The events' columns that name the entity.
    pub(super) fn event_columns(&self) -> &[String] {
        if self.on.is_empty() { &self.facts.entities } else { &self.on }
    }

    pub(super) fn ttl(&self) -> Option<Duration> {
        self.facts.ttl.map(|ttl| ttl.0)
    }

    /// What is wrong with it, whatever the events are.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::bad_request(format!("{}: {what}", self.table.name())));
        if self.facts.entities.is_empty() {
            return wrong("a view needs a column that names the entity".to_owned());
        }
        if self.event_columns().len() != self.facts.entities.len() {
            let (entities, on) = (self.facts.entities.join(", "), self.on.join(", "));
            return wrong(format!("the entity is {entities}, which {on} can't stand for: as many columns are needed"));
        }
        if self.facts.features.is_empty() {
            return wrong("a view needs a column besides entity and timestamps".to_owned());
        }
        Ok(())
    }
}
