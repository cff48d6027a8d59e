//! What a contract says: the `spec` of the kind, as people write it.

use mcplane_core::FieldError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::check::Plan;
use crate::columns::CsvFormat;

/// What data must be like.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Spec {
    /// What the data is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// How CSV files of it are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub csv: Option<CsvFormat>,
    /// What a broken expectation means that does not say.
    #[serde(skip_serializing_if = "is_default")]
    pub severity: Severity,
    /// How many rows there may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<Rows>,
    /// The columns.
    pub columns: Vec<ColumnSpec>,
    /// What it means that there are columns besides.
    #[serde(skip_serializing_if = "is_default")]
    pub other_columns: OtherColumns,
    /// Sets of columns whose values, together, are in no two rows. A row with a null in one of them is left out, as in SQL.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Vec<String>>,
    /// What must be true between two columns of each row. A row with a null in one of them is left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compare: Vec<Compare>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What a broken expectation means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The data must not be used.
    #[default]
    Hard,
    /// Somebody should look.
    Soft,
}

/// Bounds of the number of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rows {
    /// No fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u64>,
    /// No more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
}

/// Columns that no [`ColumnSpec`] names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OtherColumns {
    /// Are welcome.
    #[default]
    Allow,
    /// Break the contract.
    Deny,
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// Whole numbers of 64 bits.
    Integer,
    /// Numbers. A NaN is a null.
    Number,
    /// `true` and `false`.
    Boolean,
    /// Text.
    String,
    /// Days: `2013-01-31`.
    Date,
    /// Points in time: `2013-01-31T05:00:00Z`; UTC if they do not say.
    Timestamp,
}

/// What a column must be like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ColumnSpec {
    /// Its name.
    pub name: String,
    /// What its values are.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// It may be missing altogether.
    #[serde(default, skip_serializing_if = "is_default")]
    pub optional: bool,
    /// It may have nulls.
    #[serde(default, skip_serializing_if = "is_default")]
    pub nullable: bool,
    /// If it may have nulls: no larger a part of the rows, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_null_fraction: Option<f64>,
    /// Smallest value: a number, or a date or time as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Value>,
    /// Largest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Value>,
    /// The only values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<Value>>,
    /// No value is in two rows.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unique: bool,
    /// Regular expression that is found in every text; `^` and `$` bind it to the whole. Linear time, no look-around.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Fewest characters of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u64>,
    /// Most characters of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u64>,
    /// What a broken expectation of this column means, if it is not what the contract says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Expectations of this column that are soft whatever the rest is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub soft: Vec<Expectation>,
    /// Its values are not shown in reports.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sensitive: bool,
}

impl ColumnSpec {
    /// A column of which nothing but the type is known.
    pub fn new(name: impl Into<String>, kind: ColumnType) -> Self {
        Self {
            name: name.into(),
            kind,
            optional: false,
            nullable: false,
            max_null_fraction: None,
            min: None,
            max: None,
            values: None,
            unique: false,
            pattern: None,
            min_length: None,
            max_length: None,
            severity: None,
            soft: vec![],
            sensitive: false,
        }
    }
}

/// What can be expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Expectation {
    /// The column is there, or no other is.
    Columns,
    /// Values are of the column's type.
    Type,
    /// Nulls are no more than allowed.
    Nulls,
    /// Values lie between bounds.
    Range,
    /// Values are of a set.
    Values,
    /// No value repeats.
    Unique,
    /// Texts match an expression.
    Pattern,
    /// Texts are neither too short nor too long.
    Length,
    /// Two columns compare as they should.
    Compare,
    /// The number of rows lies between bounds.
    Rows,
}

/// A condition between two columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Compare {
    /// One column.
    pub left: String,
    /// How it compares.
    pub is: Relation,
    /// The other one.
    pub right: String,
    /// What it means if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
}

/// How two values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relation {
    /// `<`
    #[serde(rename = "<")]
    Less,
    /// `<=`
    #[serde(rename = "<=")]
    LessOrEqual,
    /// `==`
    #[serde(rename = "==")]
    Equal,
    /// `!=`
    #[serde(rename = "!=")]
    NotEqual,
}

impl Relation {
    /// As it is written.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        }
    }
}

impl Spec {
    /// Every rule of contracts that this one breaks.
    pub fn faults(&self) -> Vec<FieldError> {
        Plan::new(self).err().unwrap_or_default()
    }

    /// How CSV files of it are written.
    pub fn csv(&self) -> CsvFormat {
        self.csv.clone().unwrap_or_default()
    }
}
