//! Rules of names: of models, aliases, tags, and of the objects that show them.

use mcplane_core::{Error, Result};
use sha2::{Digest as _, Sha256};

use super::types::PROMPT_TEXT_TAG;
use crate::tags::{LONGEST_KEY, Tag, check_length, check_name, check_path, check_text};

/// Longest name of a model, in characters.
const LONGEST_NAME: usize = 256;
/// Longest alias, in characters.
const LONGEST_ALIAS: usize = 255;
/// Longest value of a tag, in characters.
const LONGEST_TAG: usize = 100_000;
/// Longest description, in characters.
const LONGEST_DESCRIPTION: usize = 100_000;
/// Longest name of a model's object: that of a version adds to it.
const LONGEST_OBJECT: usize = 120;
/// The alias of whatever version is the last.
pub(super) const LATEST: &str = "latest";

/// Checks the name of a model, which is in the field `field`.
pub(super) fn check_model(name: &str, field: &str) -> Result<()> {
    if name.trim().is_empty() {
        return Err(Error::bad_request(format!("Missing value for required parameter '{field}'.")));
    }
    if name.contains(['/', ':']) {
        return Err(Error::bad_request(format!("Invalid model name '{name}'. Names cannot contain '/' or ':'.")));
    }
    check_path(name, "name")?;
    check_length("name", LONGEST_NAME, name)?;
    check_text(name)
}

/// Checks the tags of a model.
pub(super) fn check_model_tags(tags: &[Tag]) -> Result<()> {
    tags.iter().try_for_each(check_model_tag)
}

/// Checks a tag of a model.
pub(super) fn check_model_tag(tag: &Tag) -> Result<()> {
    check_key(&tag.key)?;
    check_length("key", LONGEST_KEY, &tag.key)?;
    check_length("value", LONGEST_TAG, &tag.value)?;
    check_text(&tag.value)
}

/// Checks a tag of a version.
pub(super) fn check_version_tag(tag: &Tag) -> Result<()> {
    check_key(&tag.key)?;
    check_length("key", LONGEST_KEY, &tag.key)?;
    if tag.key == PROMPT_TEXT_TAG && tag.value.chars().count() > LONGEST_TAG {
        return Err(Error::bad_request(format!("Prompt text exceeds max length of {LONGEST_TAG} characters.")));
    }
    check_length("value", LONGEST_TAG, &tag.value)?;
    check_text(&tag.value)
}

/// Checks the key of a tag.
pub(super) fn check_key(key: &str) -> Result<()> {
    check_name(key, "key")
}

/// Checks a description.
pub(super) fn check_description(text: &str) -> Result<()> {
    check_length("description", LONGEST_DESCRIPTION, text)?;
    check_text(text)
}

/// Checks an alias that is asked for.
pub(super) fn check_alias(alias: &str) -> Result<()> {
    if alias.is_empty() {
        return Err(Error::bad_request("Registered model alias name cannot be empty."));
    }
    if !alias.strip_suffix('\n').unwrap_or(alias).chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-')) {
        return Err(Error::bad_request(format!(
            "Invalid alias name: '{alias}'. Names may only contain alphanumerics, underscores (_), and dashes (-)."
        )));
    }
    check_length("Registered model alias name", LONGEST_ALIAS, alias)
}

/// Checks an alias that is to be set: it may not look like a version.
pub(super) fn check_new_alias(alias: &str) -> Result<()> {
    check_alias(alias)?;
    if alias.eq_ignore_ascii_case(LATEST) {
        return Err(Error::bad_request("'latest' alias name (case insensitive) is reserved."));
    }
    let plain = alias.strip_suffix('\n').unwrap_or(alias);
    let digits = plain.strip_prefix(['v', 'V']).unwrap_or_default();
    if !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()) {
        return Err(Error::bad_request(format!("Version alias name '{alias}' is reserved.")));
    }
    Ok(())
}

/// The number of a version, in the form that clients send.
pub(super) fn version_number(text: &str) -> Result<i64> {
    let invalid = || Error::bad_request(format!("Parameter 'version' must be an integer, got '{text}'."));
    text.trim().parse().map_err(|_| invalid())
}

/// Names that the object of a model may have, the best first: its own name as far as DNS allows it, then, if another model
/// has that, with a part of the name's digest.
pub(super) fn object_names(model: &str) -> Vec<String> {
    let mut name = String::with_capacity(model.len());
    for c in model.chars().flat_map(char::to_lowercase) {
        match c {
            'a'..='z' | '0'..='9' => name.push(c),
            _ if name.is_empty() || name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    name.truncate(LONGEST_OBJECT);
    let name = match name.trim_end_matches('-') {
        "" => "model",
        name => name,
    };
    let digest = Sha256::digest(model.as_bytes());
    let hex: String = digest.iter().take(24).map(|byte| format!("{byte:02x}")).collect();
    let with_digest = [8, 16, 48].map(|digits| format!("{name}-{}", hex.get(..digits).unwrap_or(&hex)));
    std::iter::once(name.to_owned()).chain(with_digest).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_models_are_checked() {
        for good in ["a", "fraud detection", "äß", "a\nb", "a.b", "%2e"] {
            assert!(check_model(good, "name").is_ok(), "{good}");
        }
        let message = |name: &str| check_model(name, "name").unwrap_err().to_string();
        assert_eq!(message(" "), "Missing value for required parameter 'name'.");
        assert_eq!(message("a/b"), "Invalid model name 'a/b'. Names cannot contain '/' or ':'.");
        assert!(message("..").ends_with("This name would resolve to '..'"));
        assert!(check_model(&"x".repeat(257), "name").is_err());
    }

    #[test]
    fn aliases_are_no_versions() {
        for good in ["champion", "v1x", "ä", "1", "v", "a_b-c"] {
            assert!(check_new_alias(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "latest", "LateST", "v1", "V12", "v1\n", "a/b", "v1.0.0"] {
            assert!(check_new_alias(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn objects_are_named_after_their_models() {
        let best = |name: &str| object_names(name).remove(0);
        assert_eq!(best("fraud_detection"), "fraud-detection");
        assert_eq!(best("Fraud  Détection."), "fraud-d-tection");
        assert_eq!(best("模型"), "model");
        assert_ne!(object_names("a_b").get(1), object_names("a-b").get(1));
    }

    proptest! {
        #[test]
        fn object_names_are_labels_of_dns(model in any::<String>()) {
            for name in object_names(&model) {
                prop_assert!(name.len() <= LONGEST_OBJECT + 49);
                prop_assert!(name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-'));
                prop_assert!(!name.starts_with('-') && !name.ends_with('-'));
            }
        }
    }
}
