//! What a logged model is.

use mcplane_core::{Error, Result};
use serde::{Serialize, Serializer};

use crate::experiments::ExperimentId;
use crate::filter::logged_models::OrderBy;
use crate::tags::Tag;

/// How far a model is. The numbers are those of the protocol and of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ModelStatus {
    Unspecified = 0,
    Pending = 1,
    Ready = 2,
    UploadFailed = 3,
}

impl ModelStatus {
    const ALL: [Self; 4] = [Self::Unspecified, Self::Pending, Self::Ready, Self::UploadFailed];

    /// The protocol's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "LOGGED_MODEL_STATUS_UNSPECIFIED",
            Self::Pending => "LOGGED_MODEL_PENDING",
            Self::Ready => "LOGGED_MODEL_READY",
            Self::UploadFailed => "LOGGED_MODEL_UPLOAD_FAILED",
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

impl Serialize for ModelStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A logged model.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedModel {
    /// The database's own number.
    pub(crate) no: i64,
    /// `m-` and 32 hexadecimal digits.
    pub id: String,
    /// Its experiment.
    pub experiment: ExperimentId,
    /// Shown name; not unique.
    pub name: String,
    /// What the client says it is; empty if it did not.
    pub model_type: String,
    /// Id of the run that made it, as the client says; empty if it did not.
    pub source_run: String,
    /// How far it is.
    pub status: ModelStatus,
    /// URI under which its artifacts lie.
    pub artifact_uri: String,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
    /// Whether it waits for its purge.
    pub deleted: bool,
    /// Sorted by key.
    pub tags: Vec<Tag>,
    /// Sorted by key.
    pub params: Vec<Tag>,
    /// Sorted by key, time and step.
    pub metrics: Vec<ModelPoint>,
}

/// A point of a metric that a run measured of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelPoint {
    /// Name of the metric.
    pub key: String,
    /// Always finite.
    pub value: f64,
    /// Milliseconds since the epoch, as the client says.
    pub timestamp: i64,
    /// Step of the run.
    pub step: i64,
    /// Empty without a dataset.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub dataset_name: String,
    /// Empty without a dataset.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub dataset_digest: String,
    /// Id of the model.
    pub model_id: String,
    /// Id of the run.
    pub run_id: String,
}

/// A model to be logged.
#[derive(Debug, Clone, Default)]
pub struct NewModel {
    /// Its experiment, in the form that clients send.
    pub experiment: String,
    /// Its name; one is made up if empty.
    pub name: String,
    /// What it is.
    pub model_type: String,
    /// Id of the run that makes it.
    pub source_run: String,
    /// Its parameters.
    pub params: Vec<Tag>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// What to look for.
#[derive(Debug, Clone, Default)]
pub struct ModelSearch {
    /// Experiments, in the form that clients send.
    pub experiments: Vec<String>,
    /// Comparisons.
    pub filter: Option<String>,
    /// Only models, and only points of metrics, measured on one of these.
    pub datasets: Vec<DatasetFilter>,
    /// Most models in an answer; 0 means the usual number.
    pub most: i64,
    /// What to sort by.
    pub order_by: Option<Vec<OrderBy>>,
    /// Where the page starts; empty for the first.
    pub page_token: String,
}

/// A dataset by name, and by digest unless any will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetFilter {
    /// Its name.
    pub name: String,
    /// Its digest.
    pub digest: Option<String>,
}

/// Names become parts of URIs, so what separates those is refused.
pub(crate) fn check_name(name: &str) -> Result<()> {
    const BAD: [char; 6] = ['/', ':', '.', '%', '"', '\''];
    if name.contains(BAD) {
        return Err(Error::bad_request(format!(
            "Invalid model name ({}) provided. Model name must be a non-empty string and cannot contain the following \
             characters: ('/', ':', '.', '%', '\"', \"'\")",
            crate::filter::python::repr(name)
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_separators_are_refused() {
        assert!(check_name("a b-c_d ü").is_ok());
        assert_eq!(
            check_name("a'b").unwrap_err().to_string(),
            "Invalid model name (\"a'b\") provided. Model name must be a non-empty string and cannot contain the following \
             characters: ('/', ':', '.', '%', '\"', \"'\")"
        );
        for bad in ["a/b", "a:b", "a.b", "a%b", "a\"b"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
