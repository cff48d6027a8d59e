//! An operator's own rule for sources of versions.

use mcplane_core::{Error, Result};
use regex::Regex;

/// What sources of versions that are registered without their content must have in them.
#[derive(Debug, Clone)]
pub struct SourcePattern(Regex);

impl SourcePattern {
    /// The variable from which MLflow's server reads it.
    pub const VARIABLE: &str = "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX";

    /// Reads a regular expression; none if there is no text.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for what is none.
    pub fn read(text: Option<&str>) -> Result<Option<Self>> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
        let fault = |error| Error::bad_request(format!("{} is no regular expression: {error}", Self::VARIABLE));
        Regex::new(text).map(|regex| Some(Self(regex))).map_err(fault)
    }

    pub(super) fn check(&self, source: &str) -> Result<()> {
        let refusal = || Error::bad_request(format!("Invalid model version source: '{source}'."));
        if self.0.is_match(source) { Ok(()) } else { Err(refusal()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_must_match_anywhere() {
        let pattern = SourcePattern::read(Some("^mlflow-artifacts:/.*$")).unwrap().unwrap();
        assert!(pattern.check("mlflow-artifacts:/1").is_ok());
        assert_eq!(pattern.check("s3://b").unwrap_err().to_string(), "Invalid model version source: 's3://b'.");
        assert!(SourcePattern::read(Some("bucket")).unwrap().unwrap().check("s3://bucket/x").is_ok());
        assert!(SourcePattern::read(None).unwrap().is_none() && SourcePattern::read(Some("")).unwrap().is_none());
        assert!(SourcePattern::read(Some("(")).unwrap_err().to_string().contains("is no regular expression"));
    }
}
