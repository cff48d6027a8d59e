//! What a check tells.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::check::{self, Options, Plan};
use super::spec::{Expectation, Severity};
use crate::columns::{self, CsvFormat, Fault, FileKind, Limits};

/// The result of checking one file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What it comes to.
    pub outcome: Outcome,
    /// The file's name, as it was given.
    pub file: String,
    /// Where the file is, from the root, by which lineage knows it; `None` if that is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The contract's generation, if it is one of a server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// The file's format; `None` if it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<FileKind>,
    /// Bytes of the file.
    #[serde(default)]
    pub bytes: u64,
    /// SHA-256 of the file in hex; empty if it could not be read to its end.
    #[serde(default)]
    pub sha256: String,
    /// Rows.
    #[serde(default)]
    pub rows: u64,
    /// How many things were expected.
    #[serde(default)]
    pub expectations: usize,
    /// What was broken.
    #[serde(default)]
    pub violations: Vec<Violation>,
    /// Why the file could not be read to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// What a check comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Nothing was broken.
    Passed,
    /// Only soft expectations were broken.
    Warned,
    /// A hard expectation was broken, or the file can't be read: the data must not be used.
    Failed,
}

impl Outcome {
    /// As reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "Passed",
            Self::Warned => "Warned",
            Self::Failed => "Failed",
        }
    }
}

/// An expectation that was broken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// The column, or the columns of a key; `None` for what is not about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Which expectation.
    pub expectation: Expectation,
    /// What that means.
    pub severity: Severity,
    /// What was expected, in words.
    pub expected: String,
    /// Rows that broke it; for a number of rows, how many there are too few or too many.
    pub rows: u64,
    /// The first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<Example>,
}

/// A row that broke an expectation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Example {
    /// Its number, from 1, without the header.
    pub row: u64,
    /// Its value; `None` for a null, for a column whose values are not shown, and where it is not known any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The row whose value it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<u64>,
}

impl Report {
    /// What the violations and the fault come to.
    pub fn judged(&self) -> Outcome {
        let hard = self.violations.iter().any(|violation| violation.severity == Severity::Hard);
        match (hard || self.fault.is_some(), self.violations.is_empty()) {
            (true, _) => Outcome::Failed,
            (false, false) => Outcome::Warned,
            (false, true) => Outcome::Passed,
        }
    }

    /// The result in a sentence.
    pub fn summary(&self) -> String {
        if let Some(fault) = &self.fault {
            return format!("{} can't be read: {fault}", self.file);
        }
        let broken = self.violations.len();
        if broken == 0 {
            return format!("{}: {} rows as expected", self.file, self.rows);
        }
        let hard = self.violations.iter().filter(|violation| violation.severity == Severity::Hard);
        let named: Vec<String> = hard.clone().take(3).map(Violation::brief).collect();
        let more = hard.count().saturating_sub(named.len());
        let list = match (named.is_empty(), more) {
            (true, _) => "none of them hard".to_owned(),
            (false, 0) => named.join("; "),
            (false, more) => format!("{}; and {more} more", named.join("; ")),
        };
        format!("{}: {broken} of {} expectations broken: {list}", self.file, self.expectations)
    }
}

impl Violation {
    /// Column and expectation with the number of rows.
    fn brief(&self) -> String {
        let column = self.column.as_deref().map(|name| format!("{name}: ")).unwrap_or_default();
        format!("{column}{} ({} rows)", self.expected, self.rows)
    }
}

/// Checks the file at `path`.
pub fn check_file(plan: &Plan, csv: &CsvFormat, path: &Path, limits: &Limits, options: &Options) -> Report {
    let checked = columns::open(path, csv, limits).and_then(|table| check::check(plan, table, options));
    let mut report = Report {
        outcome: Outcome::Passed,
        file: path.display().to_string(),
        path: path.canonicalize().ok().and_then(|path| path.to_str().map(str::to_owned)),
        generation: None,
        format: None,
        bytes: 0,
        sha256: String::new(),
        rows: 0,
        expectations: 0,
        violations: vec![],
        fault: None,
    };
    match checked {
        Ok(found) => {
            report.format = Some(found.facts.format);
            report.bytes = found.facts.bytes;
            report.sha256 = found.facts.sha256;
            report.rows = found.facts.rows;
            report.expectations = found.expectations;
            report.violations = found.violations;
        }
        Err(fault) => report.fault = Some(fault),
    }
    report.outcome = report.judged();
    report
}
