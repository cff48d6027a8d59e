//! A contract made ready, once, for checking any number of files.

use mcplane_core::{FieldError, FieldReason};
use regex::{Regex, RegexBuilder};
use serde_json::Value as Json;

use super::value::{Constant, Set};
use crate::contracts::spec::{ColumnSpec, ColumnType, Expectation, OtherColumns, Relation, Rows, Severity, Spec};

/// Columns of a contract.
const MOST_COLUMNS: usize = 4096;
/// Values of a set.
const MOST_VALUES: usize = 10_000;
/// Keys, and conditions between columns.
const MOST_RULES: usize = 64;
/// Bytes of a compiled expression.
const LARGEST_PATTERN: usize = 1 << 20;

/// What is checked, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) columns: Vec<ColumnPlan>,
    pub(super) keys: Vec<Key>,
    pub(super) compare: Vec<Comparison>,
    pub(super) rows: Option<Rows>,
    pub(super) deny_others: bool,
    pub(super) severity: Severity,
}

/// A column's expectations.
#[derive(Debug, Clone)]
pub(super) struct ColumnPlan {
    pub(super) name: String,
    pub(super) kind: ColumnType,
    pub(super) optional: bool,
    /// Nulls that are too many: more than this part of the rows.
    pub(super) nulls: Option<f64>,
    pub(super) min: Option<Constant>,
    pub(super) max: Option<Constant>,
    pub(super) values: Option<Set>,
    pub(super) unique: bool,
    pub(super) pattern: Option<Regex>,
    pub(super) length: Option<(u64, u64)>,
    pub(super) sensitive: bool,
    /// Each expectation, what breaking it means, and what is expected in words.
    pub(super) expects: Vec<(Expectation, Severity, String)>,
}

/// Columns whose values together are in no two rows, by their places among the contract's.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) columns: Vec<usize>,
    pub(super) names: String,
}

/// What is true between two columns, by their places among the contract's.
#[derive(Debug, Clone)]
pub(super) struct Comparison {
    pub(super) left: usize,
    pub(super) relation: Relation,
    pub(super) right: usize,
    pub(super) severity: Severity,
    pub(super) words: String,
}

impl Plan {
    /// Makes `spec` ready.
    ///
    /// # Errors
    /// Every rule of contracts that it breaks.
    pub fn new(spec: &Spec) -> Result<Self, Vec<FieldError>> {
        let mut faults = Vec::new();
        if spec.columns.len() > MOST_COLUMNS {
            let most = format!("a contract has at most {MOST_COLUMNS} columns");
            return Err(vec![FieldError::new("spec.columns", FieldReason::TooMany, most)]);
        }
        if let Some(csv) = &spec.csv
            && let Err(fault) = csv.delimiter()
        {
            faults.push(FieldError::invalid("spec.csv.delimiter", csv.delimiter.to_string(), fault.message));
        }
        if let Some(Rows { min: Some(min), max: Some(max) }) = spec.rows
            && min > max
        {
            faults.push(FieldError::invalid("spec.rows.min", min, "is above max"));
        }
        let mut columns = Vec::with_capacity(spec.columns.len());
        let mut names = std::collections::HashMap::with_capacity(spec.columns.len());
        for (index, column) in spec.columns.iter().enumerate() {
            let path = format!("spec.columns[{index}]");
            if names.insert(column.name.as_str(), index).is_some() {
                let name = format!("{path}.name");
                faults.push(FieldError::new(name, FieldReason::Duplicate, "").with_value(column.name.as_str()));
            }
            columns.push(ColumnPlan::new(column, spec.severity, &path, &mut faults));
        }
        let find = |path: String, name: &str, faults: &mut Vec<FieldError>| {
            let found = names.get(name).copied();
            if found.is_none() {
                faults.push(
                    FieldError::new(path, FieldReason::NotFound, "is no column of the contract").with_value(name),
                );
            }
            found
        };
        for (path, count) in [("spec.keys", spec.keys.len()), ("spec.compare", spec.compare.len())] {
            if count > MOST_RULES {
                faults.push(FieldError::new(path, FieldReason::TooMany, format!("at most {MOST_RULES}")));
            }
        }
        let mut keys = Vec::new();
        for (index, key) in spec.keys.iter().enumerate().take(MOST_RULES) {
            let path = format!("spec.keys[{index}]");
            if key.is_empty() {
                faults.push(FieldError::required(&path, "a key has a column at least"));
            }
            let places = key.iter().filter_map(|name| find(path.clone(), name, &mut faults)).collect();
            keys.push(Key { columns: places, names: key.join(", ") });
        }
        let mut compare = Vec::new();
        for (index, rule) in spec.compare.iter().enumerate().take(MOST_RULES) {
            let path = format!("spec.compare[{index}]");
            let left = find(format!("{path}.left"), &rule.left, &mut faults);
            let right = find(format!("{path}.right"), &rule.right, &mut faults);
            let (Some(left), Some(right)) = (left, right) else { continue };
            let (a, b) = (columns[left].kind, columns[right].kind);
            if family(a).is_none() || family(a) != family(b) {
                let detail = "only two numbers, two dates or two timestamps can be compared";
                faults.push(FieldError::invalid(path, format!("{} and {}", rule.left, rule.right), detail));
            }
            let severity = rule.severity.unwrap_or(spec.severity);
            let words = format!("{} {} {}", rule.left, rule.is.sign(), rule.right);
            compare.push(Comparison { left, relation: rule.is, right, severity, words });
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let deny_others = spec.other_columns == OtherColumns::Deny;
        Ok(Self { columns, keys, compare, rows: spec.rows, deny_others, severity: spec.severity })
    }

    /// How many things are expected.
    pub(super) fn expectations(&self) -> usize {
        let columns: usize = self.columns.iter().map(|column| column.expects.len()).sum();
        columns
            + self.keys.len()
            + self.compare.len()
            + usize::from(self.rows.is_some())
            + usize::from(self.deny_others)
    }
}

/// Types whose values compare.
fn family(kind: ColumnType) -> Option<u8> {
    match kind {
        ColumnType::Integer | ColumnType::Number => Some(0),
        ColumnType::Date => Some(1),
        ColumnType::Timestamp => Some(2),
        ColumnType::Boolean | ColumnType::String => None,
    }
}

pub(super) fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Integer => "integer",
        ColumnType::Number => "number",
        ColumnType::Boolean => "boolean",
        ColumnType::String => "string",
        ColumnType::Date => "date",
        ColumnType::Timestamp => "timestamp",
    }
}

impl ColumnPlan {
    fn new(spec: &ColumnSpec, severity: Severity, path: &str, faults: &mut Vec<FieldError>) -> Self {
        let kind = spec.kind;
        let mut fault = |field: &str, value: Json, detail: String| {
            faults.push(FieldError::invalid(format!("{path}.{field}"), value, detail));
        };
        let mut constant = |field: &str, value: &Json| {
            let read = Constant::read(kind, value);
            if read.is_none() {
                fault(field, value.clone(), format!("is no {}", type_name(kind)));
            }
            read
        };
        let min = spec.min.as_ref().and_then(|value| constant("min", value));
        let max = spec.max.as_ref().and_then(|value| constant("max", value));
        let listed = spec.values.as_deref().unwrap_or_default();
        let values: Vec<Constant> =
            listed.iter().take(MOST_VALUES + 1).filter_map(|value| constant("values", value)).collect();
        if values.len() > MOST_VALUES {
            fault("values", Json::from(listed.len()), format!("a set has at most {MOST_VALUES} values"));
        }
        let text_only = [
            ("pattern", spec.pattern.is_some()),
            ("minLength", spec.min_length.is_some()),
            ("maxLength", spec.max_length.is_some()),
        ];
        for (field, given) in text_only {
            if given && kind != ColumnType::String {
                fault(field, type_name(kind).into(), "is for columns of the type string".to_owned());
            }
        }
        if matches!(kind, ColumnType::Boolean | ColumnType::String) && (spec.min.is_some() || spec.max.is_some()) {
            fault("min", type_name(kind).into(), "bounds are for numbers, dates and timestamps".to_owned());
        }
        if let (Some(low), Some(high)) = (&min, &max)
            && low.value().order(&high.value()) == Some(std::cmp::Ordering::Greater)
        {
            fault("min", spec.min.clone().unwrap_or_default(), "is above max".to_owned());
        }
        if let (Some(low), Some(high)) = (spec.min_length, spec.max_length)
            && low > high
        {
            fault("minLength", low.into(), "is above maxLength".to_owned());
        }
        if let Some(fraction) = spec.max_null_fraction
            && !(0.0..=1.0).contains(&fraction)
        {
            fault("maxNullFraction", Json::from(fraction), "must be from 0 to 1".to_owned());
        }
        if spec.max_null_fraction.is_some() && !spec.nullable {
            fault("maxNullFraction", Json::from(spec.max_null_fraction), "needs nullable: true".to_owned());
        }
        let pattern =
            spec.pattern.as_ref().and_then(|text| match RegexBuilder::new(text).size_limit(LARGEST_PATTERN).build() {
                Ok(pattern) => Some(pattern),
                Err(error) => {
                    fault("pattern", text.as_str().into(), error.to_string());
                    None
                }
            });
        let length = (spec.min_length.is_some() || spec.max_length.is_some())
            .then(|| (spec.min_length.unwrap_or(0), spec.max_length.unwrap_or(u64::MAX)));
        let nulls = if spec.nullable { spec.max_null_fraction } else { Some(0.0) };
        let of = |expectation: Expectation| {
            if spec.soft.contains(&expectation) { Severity::Soft } else { spec.severity.unwrap_or(severity) }
        };
        let mut expects = Vec::new();
        let mut expect = |expectation, is: bool, words: String| {
            if is {
                expects.push((expectation, of(expectation), words));
            }
        };
        expect(Expectation::Columns, !spec.optional, "the column is there".to_owned());
        expect(Expectation::Type, true, format!("values of the type {}", type_name(kind)));
        expect(Expectation::Nulls, nulls.is_some(), nulls_in_words(nulls));
        expect(Expectation::Range, min.is_some() || max.is_some(), range_in_words(spec));
        expect(Expectation::Values, spec.values.is_some(), set_in_words(listed));
        expect(Expectation::Unique, spec.unique, "no value twice".to_owned());
        expect(
            Expectation::Pattern,
            pattern.is_some(),
            format!("matches {}", spec.pattern.as_deref().unwrap_or_default()),
        );
        expect(Expectation::Length, length.is_some(), length_in_words(spec));
        let values = spec.values.as_ref().map(|_| Set::new(&values));
        Self {
            name: spec.name.clone(),
            kind,
            optional: spec.optional,
            nulls,
            min,
            max,
            values,
            unique: spec.unique,
            pattern,
            length,
            sensitive: spec.sensitive,
            expects,
        }
    }
}

fn nulls_in_words(nulls: Option<f64>) -> String {
    match nulls {
        Some(fraction) if fraction > 0.0 => format!("at most {} % nulls", fraction * 100.0),
        _ => "no nulls".to_owned(),
    }
}

fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn range_in_words(spec: &ColumnSpec) -> String {
    match (&spec.min, &spec.max) {
        (Some(min), Some(max)) => format!("{} to {}", plain(min), plain(max)),
        (Some(min), None) => format!("{} or more", plain(min)),
        (None, Some(max)) => format!("{} or less", plain(max)),
        (None, None) => String::new(),
    }
}

fn set_in_words(values: &[Json]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = values.iter().take(SHOWN).map(plain).collect();
    let more = values.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("one of {}{rest}", shown.join(", "))
}

fn length_in_words(spec: &ColumnSpec) -> String {
    match (spec.min_length, spec.max_length) {
        (Some(min), Some(max)) => format!("{min} to {max} characters"),
        (Some(min), None) => format!("{min} characters or more"),
        (None, Some(max)) => format!("{max} characters or less"),
        (None, None) => String::new(),
    }
}
