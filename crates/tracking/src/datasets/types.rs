//! What a dataset is, and what a run has to do with it.

use std::collections::HashSet;
use std::sync::Arc;

use mcplane_core::{Error, Result};
use serde::{Serialize, Serializer};

use crate::experiments::ExperimentId;
use crate::tags::{Tag, check_length, check_text};

/// The tag of an input that says what the dataset was used for.
pub(crate) const CONTEXT_TAG: &str = "mlflow.data.context";

const LONGEST_NAME: usize = 500;
const LONGEST_DIGEST: usize = 36;
const LONGEST_SOURCE: usize = 65_535;
const LONGEST_SCHEMA: usize = 1_048_575;
const LONGEST_PROFILE: usize = 16_777_215;
const LONGEST_TAG_KEY: usize = 255;
const LONGEST_TAG_VALUE: usize = 500;

/// Description of some data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// A hash of the data, which tells versions apart.
    pub digest: String,
    /// What kind of place `source` is.
    pub source_type: String,
    /// Where the data is from.
    pub source: String,
    /// Columns, usually as JSON.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub schema: String,
    /// Summary of the data, usually as JSON.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub profile: String,
}

/// That a run read a dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DatasetInput {
    /// Sorted by key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// The dataset, shared with other runs of a page.
    #[serde(serialize_with = "inner")]
    pub dataset: Arc<Dataset>,
}

fn inner<S: Serializer>(dataset: &Arc<Dataset>, serializer: S) -> Result<S::Ok, S::Error> {
    dataset.as_ref().serialize(serializer)
}

impl DatasetInput {
    pub(crate) fn check(&self) -> Result<()> {
        let Dataset { name, digest, source_type, source, schema, profile } = self.dataset.as_ref();
        for (what, most, text) in [
            ("name", LONGEST_NAME, name),
            ("digest", LONGEST_DIGEST, digest),
            ("source", LONGEST_SOURCE, source),
            ("schema", LONGEST_SCHEMA, schema),
            ("profile", LONGEST_PROFILE, profile),
        ] {
            check_length(what, most, text)?;
            check_text(text)?;
        }
        check_text(source_type)?;
        let mut keys = HashSet::new();
        for Tag { key, value } in &self.tags {
            check_length("key", LONGEST_TAG_KEY, key)?;
            check_length("value", LONGEST_TAG_VALUE, value)?;
            check_text(key).and_then(|()| check_text(value))?;
            if !keys.insert(key) {
                return Err(Error::NotAcceptable(format!("Dataset '{name}' has more than one tag with key '{key}'.")));
            }
        }
        Ok(())
    }
}

/// That a run made a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelOutput {
    /// Id of the model.
    pub model_id: String,
    /// Step of the run at which it was made.
    pub step: i64,
}

/// What a run read and what it made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage {
    /// In the order in which they were logged.
    pub datasets: Vec<DatasetInput>,
    /// Ids of the models that it read, sorted.
    pub models: Vec<String>,
    /// The models that it made, sorted by id.
    pub outputs: Vec<ModelOutput>,
}

/// A dataset that some run of an experiment read, and what for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatasetSummary {
    /// The experiment.
    pub experiment_id: ExperimentId,
    /// Name of the dataset.
    pub name: String,
    /// Digest of the dataset.
    pub digest: String,
    /// What it was used for; empty if no run told.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub context: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_checked() {
        let message = |input: DatasetInput| input.check().unwrap_err().to_string();
        let dataset = |dataset: Dataset| DatasetInput { dataset: Arc::new(dataset), ..DatasetInput::default() };
        let long = dataset(Dataset { digest: "x".repeat(37), ..Dataset::default() });
        assert_eq!(message(long), "'digest' exceeds the maximum length of 36 characters");
        let tagged = |tags| DatasetInput { tags, ..DatasetInput::default() };
        assert!(tagged(vec![Tag::new("a", "1"), Tag::new("b", "1")]).check().is_ok());
        assert!(message(tagged(vec![Tag::new("a", "1"), Tag::new("a", "1")])).contains("more than one tag"));
        assert!(message(tagged(vec![Tag::new("a", "\0")])).contains("NUL"));
    }
}
