//! What a registered model is, and a version of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use mcplane_core::{Error, Result};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use super::SemanticVersion;
use crate::tags::Tag;

/// The tag that makes a model or a version a prompt.
pub(super) const PROMPT_TAG: &str = "mlflow.prompt.is_prompt";

/// The tag that holds a prompt.
pub(super) const PROMPT_TEXT_TAG: &str = "mlflow.prompt.text";

/// The tag of versions that a rollback left.
pub(super) const ROLLED_BACK_TAG: &str = "mcplane.rolled-back";

/// How far a version came. The numbers are those of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Stage {
    None = 0,
    Staging = 1,
    Production = 2,
    Archived = 3,
}

impl Stage {
    const ALL: [Self; 4] = [Self::None, Self::Staging, Self::Production, Self::Archived];

    /// The protocol's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Staging => "Staging",
            Self::Production => "Production",
            Self::Archived => "Archived",
        }
    }

    /// Reads a name, in letters of any case.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for what is no stage.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|stage| stage.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
            let all = Self::ALL.map(Self::name).join(", ");
            Error::bad_request(format!("Invalid Model Version stage: {name}. Value must be one of {all}."))
        })
    }

    /// Reads the database's number.
    pub(super) fn from_number(number: i64) -> Result<Self> {
        let stage = Self::ALL.into_iter().find(|stage| *stage as i64 == number);
        stage.ok_or_else(|| Error::internal("a version in an unknown stage"))
    }

    /// Whether versions in it are in use, so that a newer one takes their place.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Staging | Self::Production)
    }
}

impl Serialize for Stage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Another name of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The name.
    pub alias: String,
    /// The number of the version.
    pub version: i64,
}

/// A row as the object API shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) revision: i64,
    /// Empty for what was not shown yet.
    pub(super) text: Arc<str>,
}

/// A registered model.
#[derive(Debug, Clone)]
pub struct RegisteredModel {
    /// The database's own number.
    pub(super) no: i64,
    pub(super) shown: Shown,
    /// Namespace.
    pub namespace: String,
    /// Unique in the namespace.
    pub name: String,
    /// Differs from that of a deleted model of the same name.
    pub uid: String,
    /// What it is, in words.
    pub description: Option<String>,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
    /// The last number that was given; 0 without any version.
    pub last_version: i64,
    /// Sorted by key.
    pub tags: Vec<Tag>,
    /// Sorted by name.
    pub aliases: Vec<Alias>,
    /// The latest version in each stage, where these were asked for.
    pub latest: Vec<ModelVersion>,
}

impl RegisteredModel {
    /// Whether it is a prompt.
    pub fn is_prompt(&self) -> bool {
        is_prompt(&self.tags)
    }
}

/// Whether tags make their owner a prompt: the last of those with the key counts.
pub(super) fn is_prompt(tags: &[Tag]) -> bool {
    tags.iter().rev().find(|tag| tag.key == PROMPT_TAG).is_some_and(|tag| tag.value.eq_ignore_ascii_case("true"))
}

/// A version of a registered model.
#[derive(Debug, Clone)]
pub struct ModelVersion {
    /// The number of its model in the database.
    pub(super) model_no: i64,
    pub(super) shown: Shown,
    /// The name of its model.
    pub model: String,
    /// Counts from 1; never given again.
    pub number: i64,
    /// Unique in its model.
    pub semantic: SemanticVersion,
    /// Unique everywhere.
    pub uid: String,
    /// What it is, in words.
    pub description: Option<String>,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
    /// How far it came.
    pub stage: Stage,
    /// Where it was registered from.
    pub source: String,
    /// Where its files are.
    pub location: String,
    /// The run that made it; may be empty.
    pub run_id: String,
    /// Link to that run elsewhere; may be empty.
    pub run_link: String,
    /// The logged model that it is; may be empty.
    pub model_id: String,
    /// Who registered it.
    pub created_by: String,
    /// SHA-256 of its content in hexadecimal digits; empty while nobody verified it.
    pub digest: String,
    /// Bytes of its content; 0 while nobody verified it.
    pub size: i64,
    /// What is known of how it came to be.
    pub record: Record,
    /// Sorted by key.
    pub tags: Vec<Tag>,
    /// Sorted; where they were asked for.
    pub aliases: Vec<String>,
}

impl ModelVersion {
    /// Whether its content was read and is kept.
    pub fn is_verified(&self) -> bool {
        !self.digest.is_empty()
    }

    /// `Verified` or `Unverified`.
    pub fn state(&self) -> &'static str {
        if self.is_verified() { "Verified" } else { "Unverified" }
    }

    /// Whether somebody said that it must not be gone back to.
    pub fn is_rolled_back(&self) -> bool {
        self.tags.iter().any(|tag| tag.key == ROLLED_BACK_TAG && tag.value.eq_ignore_ascii_case("true"))
    }
}

/// What is known of how a version came to be.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// How good it is.
    pub metrics: BTreeMap<String, f64>,
    /// What it was trained with: framework, Python, dependencies, commit, image.
    pub environment: Map<String, Value>,
    /// What it takes and gives.
    pub signature: Option<Value>,
}

impl Record {
    pub(super) fn read(text: &str) -> Result<Self> {
        if text.is_empty() { Ok(Self::default()) } else { serde_json::from_str(text).map_err(Error::internal) }
    }

    pub(super) fn to_text(&self) -> Result<String> {
        if *self == Self::default() { Ok(String::new()) } else { serde_json::to_string(self).map_err(Error::internal) }
    }
}

/// A model to be registered.
#[derive(Debug, Clone, Default)]
pub struct NewModel {
    /// Its name.
    pub name: String,
    /// What it is.
    pub description: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// A version to be registered without proof of what it holds.
#[derive(Debug, Clone, Default)]
pub struct NewVersion {
    /// The name of its model.
    pub model: String,
    /// Where its files are.
    pub source: String,
    /// The run that made it. Told apart from an empty one when the source is another version.
    pub run_id: Option<String>,
    /// Link to that run elsewhere.
    pub run_link: String,
    /// What it is.
    pub description: String,
    /// The logged model that it is.
    pub model_id: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// A search, as clients write it.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Comparisons joined by `AND`.
    pub filter: String,
    /// Fields, each perhaps with `ASC` or `DESC`.
    pub order_by: Vec<String>,
    /// Length of a page.
    pub max_results: i64,
    /// Where the page starts; empty for the first.
    pub page_token: String,
}
