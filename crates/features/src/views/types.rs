//! What a view says.

use std::collections::HashSet;
use std::path::Path;

use arrow::datatypes::{DataType, TimeUnit};
use mcplane_core::FieldError;
use mcplane_core::units::HumanDuration;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::join::ViewFacts;

/// Bytes of the longest query.
const LONGEST_QUERY: usize = 64 << 10;
/// Bytes of the longest name of a column.
const LONGEST_COLUMN: usize = 256;
/// Bytes of the longest path.
const LONGEST_PATH: usize = 4096;
const MOST_SOURCES: usize = 64;
const MOST_ENTITIES: usize = 16;
const MOST_FEATURES: usize = 4096;

/// The specification of a feature view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeatureViewSpec {
    /// What it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The tables that the query reads.
    pub sources: Vec<Source>,
    /// The query.
    pub sql: String,
    /// Columns that name the entity.
    pub entities: Vec<String>,
    /// The column that tells when a row became true.
    pub timestamp_column: String,
    /// The column that tells when a row became known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_timestamp_column: Option<String>,
    /// How long a row is good for, such as `1d`; for ever if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// Columns that are features.
    pub features: Vec<Feature>,
}

/// Files that are one table to the query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The table's name.
    pub name: String,
    /// A file, or a pattern of files with `*`, `?` and `**`.
    pub path: String,
    /// What the files are; their ending tells if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values with a header.
    Csv,
    /// Parquet.
    Parquet,
}

/// A feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// The column.
    pub name: String,
    /// What its values are.
    #[serde(rename = "type")]
    pub kind: FeatureType,
    /// What it means.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// What values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum FeatureType {
    Bool,
    Int32,
    Int64,
    Float32,
    Float64,
    String,
    Date,
    Timestamp,
}

impl FeatureType {
    /// All of them, as they are written.
    pub const NAMES: [&str; 8] = ["bool", "int32", "int64", "float32", "float64", "string", "date", "timestamp"];

    /// The column that holds such values.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::String => DataType::Utf8,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    /// Whether a query's column of this type is meant: numbers become wider or are checked one by one, nothing is parsed.
    pub fn takes(self, kind: &DataType) -> bool {
        use DataType as Arrow;
        match self {
            Self::Bool => matches!(kind, Arrow::Boolean),
            Self::Int32 | Self::Int64 => kind.is_integer(),
            Self::Float32 | Self::Float64 => kind.is_numeric(),
            Self::String => matches!(kind, Arrow::Utf8 | Arrow::LargeUtf8 | Arrow::Utf8View | Arrow::Dictionary(..)),
            Self::Date => matches!(kind, Arrow::Date32),
            Self::Timestamp => matches!(kind, Arrow::Timestamp(..) | Arrow::Date32 | Arrow::Date64),
        }
    }
}

impl FeatureViewSpec {
    /// SHA-256 of the specification: the same words give the same, in whatever order they are written.
    pub fn digest(&self) -> String {
        // A map's keys are sorted, a struct's are not.
        let text = serde_json::to_value(self).map(|value| value.to_string()).unwrap_or_default();
        Sha256::digest(text).iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
    }

    /// How long a row is good for.
    pub fn ttl(&self) -> Option<HumanDuration> {
        self.ttl.as_deref().and_then(|ttl| ttl.parse().ok())
    }

    /// What a file that it is materialised to says of itself.
    pub fn facts(&self, name: &str) -> ViewFacts {
        ViewFacts {
            view: name.to_owned(),
            entities: self.entities.clone(),
            timestamp_column: self.timestamp_column.clone(),
            created_timestamp_column: self.created_timestamp_column.clone(),
            ttl: self.ttl(),
            features: self.features.iter().map(|feature| feature.name.clone()).collect(),
            spec_digest: self.digest(),
        }
    }

    /// The columns that rows are of: entities, times, features.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let times = std::iter::once(&self.timestamp_column).chain(&self.created_timestamp_column);
        let features = self.features.iter().map(|feature| &feature.name);
        self.entities.iter().chain(times).chain(features).map(String::as_str)
    }

    /// Everything that is wrong with it.
    pub fn faults(&self) -> Vec<FieldError> {
        let mut faults = Vec::new();
        self.source_faults(&mut faults);
        if self.sql.trim().is_empty() {
            faults.push(FieldError::required("spec.sql", "a query, such as SELECT * FROM the name of a source"));
        } else if self.sql.len() > LONGEST_QUERY {
            faults.push(FieldError::invalid("spec.sql", "", format!("must be no longer than {LONGEST_QUERY} bytes")));
        }
        for (field, count, most) in [
            ("spec.sources", self.sources.len(), MOST_SOURCES),
            ("spec.entities", self.entities.len(), MOST_ENTITIES),
            ("spec.features", self.features.len(), MOST_FEATURES),
        ] {
            if count == 0 {
                faults.push(FieldError::required(field, "at least one"));
            } else if count > most {
                faults.push(FieldError::invalid(field, count, format!("must have at most {most} entries")));
            }
        }
        self.column_faults(&mut faults);
        if let Some(ttl) = &self.ttl {
            match ttl.parse::<HumanDuration>() {
                Err(error) => faults.push(FieldError::invalid("spec.ttl", ttl.as_str(), error)),
                Ok(ttl) if ttl.0.is_zero() => {
                    faults.push(FieldError::invalid("spec.ttl", "0", "must be longer; leave it out for no limit"));
                }
                Ok(_) => {}
            }
        }
        faults
    }

    fn source_faults(&self, faults: &mut Vec<FieldError>) {
        let mut names = HashSet::new();
        for (at, source) in self.sources.iter().enumerate().take(MOST_SOURCES) {
            let field = |name: &str| format!("spec.sources[{at}].{name}");
            let name = source.name.as_str();
            let starts = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
            let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            if !starts || !name.chars().all(letters) || name.len() > 63 {
                let detail = "must be a letter or _, then letters, digits and _, in lower case, at most 63";
                faults.push(FieldError::invalid(field("name"), name, detail));
            } else if !names.insert(name) {
                faults.push(FieldError::new(field("name"), mcplane_core::FieldReason::Duplicate, "").with_value(name));
            }
            let path = source.path.as_str();
            if path.is_empty() {
                faults.push(FieldError::required(field("path"), "a file or a pattern of files"));
            } else if path.contains('\0') || path.len() > LONGEST_PATH {
                faults.push(FieldError::invalid(field("path"), path, "no path of a file"));
            } else if path.contains("://") {
                faults.push(FieldError::invalid(field("path"), path, "must be a path of files: URLs are not read"));
            } else if source.format.is_none() && Format::of(Path::new(path)).is_none() {
                faults
                    .push(FieldError::required(field("format"), "csv or parquet, as the path does not end in either"));
            }
        }
    }

    fn column_faults(&self, faults: &mut Vec<FieldError>) {
        let entities = self.entities.iter().enumerate().map(|(at, name)| (format!("spec.entities[{at}]"), name));
        let times = std::iter::once(("spec.timestampColumn".to_owned(), &self.timestamp_column))
            .chain(self.created_timestamp_column.iter().map(|name| ("spec.createdTimestampColumn".to_owned(), name)));
        let features =
            self.features.iter().enumerate().map(|(at, feature)| (format!("spec.features[{at}].name"), &feature.name));
        let mut names = HashSet::new();
        for (field, name) in entities.take(MOST_ENTITIES).chain(times).chain(features.take(MOST_FEATURES)) {
            if name.is_empty() {
                faults.push(FieldError::required(field, "the name of a column of the query"));
            } else if name.len() > LONGEST_COLUMN || name.contains('\0') {
                faults.push(FieldError::invalid(field, name.as_str(), "no name of a column"));
            } else if !names.insert(name) {
                let detail = "a column is entity, timestamp or feature, and that once";
                faults.push(
                    FieldError::new(field, mcplane_core::FieldReason::Duplicate, detail).with_value(name.as_str()),
                );
            }
        }
    }
}

impl Format {
    /// What a file's ending tells.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "parquet" | "pq" => Some(Self::Parquet),
            _ => None,
        }
    }
}
