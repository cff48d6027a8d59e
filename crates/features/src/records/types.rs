//! A materialisation, as it is told and as it is kept.

use std::path::Path;

use mcplane_core::units::HumanDuration;
use mcplane_core::{Error, Result, Timestamp, clock};
use serde::{Deserialize, Serialize};

/// Files that one materialisation may have read, to be on record.
pub(super) const MOST_INPUTS: usize = 900;
/// Longest path of a file, in bytes, as lineage takes it.
const LONGEST_PATH: usize = 900;

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The source that it belongs to.
    pub source: String,
    /// Where it is, from the root.
    pub path: String,
    /// SHA-256 of its bytes.
    pub digest: String,
}

/// What whoever materialised a view tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Told {
    /// A UUID that it is known by.
    pub id: String,
    /// The generation of the view that was materialised.
    pub generation: i64,
    /// Digest of the specification that was materialised.
    pub spec_digest: String,
    /// The files that were read.
    pub inputs: Vec<Input>,
    /// Where the rows are: a path from the root.
    pub output: String,
    /// Digest of that file.
    pub output_digest: String,
    /// Its rows.
    pub rows: i64,
    /// When it began.
    pub started_at: String,
    /// When it was done.
    pub finished_at: String,
}

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Materialization {
    /// What was told.
    #[serde(flatten)]
    pub told: Told,
    /// Who told of it.
    pub recorded_by: String,
    /// When it was told.
    pub recorded_at: String,
}

/// Times and id of what was told, once it is checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) started: Timestamp,
    pub(super) finished: Timestamp,
}

impl Told {
    /// Checks everything that does not depend on the view, and spells the id in one way.
    pub(super) fn check(&mut self) -> Result<Times> {
        let wrong = |what: String| Err(Error::bad_request(format!("spec.{what}")));
        let id = uuid::Uuid::try_parse(&self.id).map_err(|_| Error::bad_request("spec.id must be a UUID"))?;
        self.id = id.to_string();
        if self.inputs.is_empty() || self.inputs.len() > MOST_INPUTS {
            return wrong(format!("inputs must be 1 to {MOST_INPUTS} files: have more rows in fewer files"));
        }
        let digests = self.inputs.iter().map(|input| &input.digest).chain([&self.spec_digest, &self.output_digest]);
        if let Some(digest) = digests.into_iter().find(|digest| !is_digest(digest)) {
            return wrong(format!("{digest:?} must be sha256: and 64 hexadecimal digits"));
        }
        let paths = self.inputs.iter().map(|input| &input.path).chain([&self.output]);
        if let Some(path) = paths.into_iter().find(|path| !is_path(path)) {
            return wrong(format!("{path:?} must be a path from the root, of at most {LONGEST_PATH} bytes"));
        }
        if self.inputs.iter().any(|input| input.source.len() > 63 || input.source.contains('\0')) {
            return wrong("inputs name a source by at most 63 bytes".to_owned());
        }
        if self.rows < 0 {
            return wrong("rows must not be negative".to_owned());
        }
        let time = |field: &str, text: &str| {
            clock::parse_rfc3339(text)
                .ok_or_else(|| Error::bad_request(format!("spec.{field} must be a time such as 2026-11-01T00:00:00Z")))
        };
        let times =
            Times { started: time("startedAt", &self.started_at)?, finished: time("finishedAt", &self.finished_at)? };
        if times.started > times.finished {
            return wrong("finishedAt must not be before startedAt".to_owned());
        }
        Ok(times)
    }
}

impl Materialization {
    /// How long it took.
    pub fn took(&self) -> Option<HumanDuration> {
        let time = |text: &str| clock::parse_rfc3339(text);
        let ms = time(&self.told.finished_at)?.checked_sub(time(&self.told.started_at)?)?;
        Some(HumanDuration(std::time::Duration::from_millis(u64::try_from(ms).ok()?)))
    }
}

fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn is_path(text: &str) -> bool {
    // Lineage writes some characters as three.
    let escaped = text.bytes().filter(|byte| matches!(byte, b'@' | b'%')).count() * 2;
    Path::new(text).is_absolute() && !text.contains('\0') && text.len() + escaped <= LONGEST_PATH
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::records) fn told() -> Told {
        let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
        Told {
            id: "67B3DA4B42184903b5f8dfd7e2cb75cb".to_owned(),
            generation: 1,
            spec_digest: digest("a"),
            inputs: vec![Input { source: "s".into(), path: "/data/in.csv".into(), digest: digest("b") }],
            output: "/data/out.parquet".to_owned(),
            output_digest: digest("c"),
            rows: 3,
            started_at: "2026-11-01T00:00:00Z".to_owned(),
            finished_at: "2026-11-01T00:00:02.5Z".to_owned(),
        }
    }

    #[test]
    fn what_is_told_is_checked() {
        let mut fine = told();
        let times = fine.check().unwrap();
        assert_eq!((fine.id.as_str(), times.finished - times.started), ("67b3da4b-4218-4903-b5f8-dfd7e2cb75cb", 2500));
        for (change, words) in [
            ((|told| told.id = "x".into()) as fn(&mut Told), "spec.id must be a UUID"),
            (|told| told.inputs.clear(), "inputs must be 1 to 900 files"),
            (|told| told.output_digest = "sha256:AB".into(), "must be sha256: and 64"),
            (|told| told.inputs[0].path = "in.csv".into(), "\"in.csv\" must be a path from the root"),
            (|told| told.output = format!("/{}", "@".repeat(400)), "must be a path from the root"),
            (|told| told.inputs[0].source = "s".repeat(64), "at most 63 bytes"),
            (|told| told.rows = -1, "rows must not be negative"),
            (|told| told.started_at = "now".into(), "spec.startedAt must be a time"),
            (|told| told.started_at = "2027-01-01T00:00:00Z".into(), "must not be before"),
        ] {
            let mut told = told();
            change(&mut told);
            let message = told.check().unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }
}
