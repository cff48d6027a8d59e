//! Selectors of lists and watches: by label and by field.

mod field;
mod label;

pub use field::{FieldRequirement, FieldSelector};
pub use label::{LabelRequirement, LabelSelector, LabelTest};

/// The longest text of a selector.
pub const MAX_LENGTH: usize = 64 * 1024;
/// The most requirements of a selector.
pub const MAX_REQUIREMENTS: usize = 256;

/// Why a text is no selector; the wording is the API server's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseSelectorError(pub(crate) String);

fn check_length(text: &str) -> Result<(), ParseSelectorError> {
    if text.len() > MAX_LENGTH {
        return Err(ParseSelectorError(format!("a selector may not be longer than {MAX_LENGTH} bytes")));
    }
    Ok(())
}

fn check_count(requirements: usize) -> Result<(), ParseSelectorError> {
    if requirements > MAX_REQUIREMENTS {
        return Err(ParseSelectorError(format!("a selector may not have more than {MAX_REQUIREMENTS} requirements")));
    }
    Ok(())
}
