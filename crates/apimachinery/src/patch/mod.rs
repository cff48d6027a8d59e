//! The three formats of `PATCH`: JSON Patch, JSON Merge Patch and Kubernetes' strategic merge patch.
//!
//! All take the stored object and the decoded patch and give the new object, or say why not. None knows what the
//! object means: the caller validates the result as it would any update.

pub mod json;
mod list;
pub mod merge;
pub mod strategic;

use mcplane_core::error::{Error, FieldError, FieldReason, Subject};
use serde_json::Value;

use crate::schema::MAX_DEPTH;

/// Why a patch was not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch itself is wrong, whatever the object (400).
    #[error("{0}")]
    Malformed(String),
    /// The patch asks for too much (413).
    #[error("{0}")]
    TooLarge(String),
    /// The patch does not fit the object (422).
    #[error("{message}")]
    Unfit {
        /// Where; empty for the whole object.
        field: String,
        /// Why.
        message: String,
    },
}

impl PatchError {
    fn malformed(message: impl Into<String>) -> Self {
        Self::Malformed(message.into())
    }

    fn unfit(message: impl Into<String>) -> Self {
        Self::Unfit { field: String::new(), message: message.into() }
    }

    /// Puts a step in front of the field's path, while the error travels up.
    fn below(mut self, step: &str) -> Self {
        if let Self::Unfit { field, .. } = &mut self {
            *field = if field.is_empty() { step.to_owned() } else { format!("{step}.{field}") };
        }
        self
    }

    /// The error of the request that patches `subject`.
    pub fn into_error(self, subject: Subject) -> Error {
        match self {
            Self::Malformed(message) => Error::BadRequest(message),
            Self::TooLarge(message) => Error::TooLarge(message),
            Self::Unfit { field, message } => {
                let field = if field.is_empty() { "patch".to_owned() } else { field };
                Error::invalid(subject, FieldError::new(field, FieldReason::Invalid, message))
            }
        }
    }
}

/// How deep a value is nested, counted no further than just past the limit.
fn depth(value: &Value) -> usize {
    fn below<'a>(values: impl Iterator<Item = &'a Value>, level: usize) -> usize {
        if level > MAX_DEPTH {
            return level;
        }
        values.map(|v| of(v, level + 1)).max().unwrap_or(level)
    }
    fn of(value: &Value, level: usize) -> usize {
        match value {
            Value::Object(fields) => below(fields.values(), level),
            Value::Array(items) => below(items.iter(), level),
            _ => level,
        }
    }
    of(value, 1)
}

fn check_depth(patch: &Value) -> Result<(), PatchError> {
    if depth(patch) > MAX_DEPTH {
        return Err(PatchError::malformed(format!("the patch is nested deeper than {MAX_DEPTH} levels")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn depth_stops_at_the_limit() {
        assert_eq!(depth(&json!(1)), 1);
        assert_eq!(depth(&json!({"a": [{}, 1]})), 3);
        let deep = (0..1_000).fold(json!(1), |inner, _| json!([inner]));
        assert!(check_depth(&deep).is_err());
        assert!(depth(&deep) <= MAX_DEPTH + 2);
    }

    #[test]
    fn errors_have_the_status_of_kubernetes() {
        let status = |error: PatchError| error.into_error(Subject::new("", "ConfigMap", "a")).http_status();
        assert_eq!(status(PatchError::malformed("m")), 400);
        assert_eq!(status(PatchError::TooLarge("m".into())), 413);
        assert_eq!(status(PatchError::unfit("m").below("b").below("a")), 422);
    }
}
