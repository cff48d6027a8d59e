//! What a revision is.

use mcplane_core::Timestamp;

/// A service as it was asked for at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Unique everywhere; what identifiers of predictions hold.
    pub no: u64,
    /// Namespace of the service.
    pub namespace: String,
    /// Name of the service.
    pub service: String,
    /// Of the service: another of the same name has revisions of its own.
    pub uid: String,
    /// Counts from 1 within the service.
    pub number: u64,
    /// What was asked for, as text that is the same for the same.
    pub wanted: String,
    /// Name of the registered model.
    pub model: String,
    /// Its version in the registry.
    pub version: i64,
    /// The same as a semantic version.
    pub semantic: String,
    /// SHA-256 of its content in hexadecimal digits.
    pub digest: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it first answered.
    pub ready_at: Option<Timestamp>,
}

impl Revision {
    /// Its name in the namespace.
    pub fn name(&self) -> String {
        revision_name(&self.service, self.number)
    }
}

/// The name of a revision, as KServe has it: `iris-predictor-00003`.
pub fn revision_name(service: &str, number: u64) -> String {
    format!("{service}-predictor-{number:05}")
}

/// The number of a revision of that service, by its name.
pub fn revision_number(service: &str, name: &str) -> Option<u64> {
    let number = name.strip_prefix(service)?.strip_prefix("-predictor-")?.parse().ok()?;
    (revision_name(service, number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_revisions_are_read_as_they_are_written() {
        for number in [1, 42, 99_999, 123_456] {
            assert_eq!(revision_number("iris", &revision_name("iris", number)), Some(number));
        }
        for other in ["iris", "iris-predictor-1", "iris-predictor-000001", "iris-predictor-x", "rose-predictor-00001"] {
            assert_eq!(revision_number("iris", other), None, "{other}");
        }
    }
}
