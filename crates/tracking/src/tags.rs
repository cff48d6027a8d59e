//! Keys and values that clients attach, and the rules that their names follow.

use mcplane_core::{Error, Result};
use serde::Serialize;

use crate::mlflow::fields::{Fields, python_json};

/// Longest key of tags, parameters and metrics, in characters.
pub(crate) const LONGEST_KEY: usize = 250;
/// Longest value of a run's tag, in characters.
pub(crate) const LONGEST_TAG: usize = 8000;
/// Longest value of a parameter, in characters.
pub(crate) const LONGEST_PARAM: usize = 6000;
/// Longest value of an experiment's tag, in characters.
pub(crate) const LONGEST_EXPERIMENT_TAG: usize = 20_000;

/// A key with its value: a tag or a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tag {
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

impl Tag {
    /// A tag.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }

    /// The tags in a list of objects; what is left out is empty, as in the protocol's messages.
    pub(crate) fn read(fields: &Fields, name: &str) -> Result<Vec<Self>> {
        let entries = fields.messages(name)?;
        entries.iter().map(|entry| Ok(Self::new(entry.text("key")?, entry.text("value")?))).collect()
    }

    /// Checks a run's tag at `path` in the request, such as `tags[0].`.
    pub(crate) fn check(&self, path: &str) -> Result<()> {
        check_name(&self.key, &format!("{path}key"))?;
        check_length(&format!("{path}key"), LONGEST_KEY, &self.key)?;
        check_text(&self.value)
    }

    /// The value as it is kept: a run's tag that is too long is cut, as the reference server cuts it.
    pub(crate) fn cut(mut self) -> Self {
        cut(&mut self.value, LONGEST_TAG);
        self
    }

    pub(crate) fn check_for_experiment(&self) -> Result<()> {
        check_name(&self.key, "key")?;
        check_length("key", LONGEST_KEY, &self.key)?;
        check_length("value", LONGEST_EXPERIMENT_TAG, &self.value)?;
        check_text(&self.value)
    }

    /// Checks a parameter at `path` in the request.
    pub(crate) fn check_param(&self, path: &str) -> Result<()> {
        check_name(&self.key, &format!("{path}key"))?;
        check_length("Param key", LONGEST_KEY, &self.key)?;
        check_text(&self.value)
    }
}

/// Cuts a text to `most` characters.
pub(crate) fn cut(text: &mut String, most: usize) {
    if text.len() > most
        && let Some((end, _)) = text.char_indices().nth(most)
    {
        text.truncate(end);
    }
}

/// Databases refuse NUL.
pub(crate) fn check_text(text: &str) -> Result<()> {
    if text.contains('\0') { Err(Error::bad_request("text may not contain the character NUL")) } else { Ok(()) }
}

/// Checks that a text has `most` characters at most.
pub(crate) fn check_length(what: &str, most: usize, text: &str) -> Result<()> {
    if text.len() > most && text.chars().count() > most {
        return Err(Error::bad_request(format!("'{what}' exceeds the maximum length of {most} characters")));
    }
    Ok(())
}

/// Names of metrics, parameters and tags may become files, so they must look like a path that stays where it is.
pub(crate) fn check_name(name: &str, path: &str) -> Result<()> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '/' | '.' | '-' | ' ' | ':');
    if !name.chars().all(plain) {
        return Err(invalid(
            name,
            path,
            "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/).",
        ));
    }
    check_path(name, path)
}

/// Whether a key keeps all rules in a way that is seen at once: usual letters in names that start with none but these. Not
/// every good name is plain.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'/' | b'.' | b'-' | b' ' | b':');
    let part = |part: &str| !part.is_empty() && !part.starts_with('.');
    name.len() <= LONGEST_KEY && name.bytes().all(plain) && name.split('/').all(part)
}

/// Checks that a name, taken as a path, stays where it is.
pub(crate) fn check_path(name: &str, path: &str) -> Result<()> {
    let normal = normal_path(name);
    if normal != name || normal == "." || normal.starts_with("..") || normal.starts_with('/') {
        return Err(invalid(
            name,
            path,
            &format!(
                "Names may be treated as files in certain cases, and must not resolve to other names when treated as such. \
                 This name would resolve to '{normal}'"
            ),
        ));
    }
    Ok(())
}

fn invalid(name: &str, path: &str, why: &str) -> Error {
    let shown = python_json(&name.into());
    Error::bad_request(format!("Invalid value {shown} for parameter '{path}' supplied: {why}"))
}

/// A path without `.`, `..` and doubled slashes, by the rules of POSIX: two slashes at the start, and just two, stay.
pub(crate) fn normal_path(path: &str) -> String {
    let root = match path.bytes().take_while(|byte| *byte == b'/').count() {
        0 => "",
        2 => "//",
        _ => "/",
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if !root.is_empty() => {}
            part => parts.push(part),
        }
    }
    let normal = format!("{root}{}", parts.join("/"));
    if normal.is_empty() { ".".to_owned() } else { normal }
}

/// A hash of a value for equality in an index: FNV-1a, which never changes.
pub(crate) fn hash(value: &str) -> i64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in value.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash.cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_must_stay_where_they_are() {
        for good in ["a", "a/b", "train loss", "a.b-c_d:e", "äß"] {
            assert!(check_name(good, "key").is_ok(), "{good}");
        }
        let message = |name: &str| check_name(name, "key").unwrap_err().to_string();
        assert_eq!(
            message("a/../b"),
            "Invalid value \"a/../b\" for parameter 'key' supplied: Names may be treated as files in certain cases, and \
             must not resolve to other names when treated as such. This name would resolve to 'b'"
        );
        assert!(message("a%b").contains("may only contain alphanumerics"));
        for bad in ["", "/a", "..", "../a", "a//b", "./a", "a/", "//a"] {
            assert!(check_name(bad, "key").is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn plain_names_are_good(name in "[ab./: _%é-]{0,12}") {
            if is_plain_name(&name) {
                prop_assert!(check_name(&name, "key").is_ok(), "{}", name);
            }
        }
    }

    #[test]
    fn usual_names_are_plain() {
        assert!(["loss", "train/val_loss", "a.b", "top-1 accuracy"].into_iter().all(is_plain_name));
        assert!(!["", "a//b", "../a", ".", "a/..", "a/", &"a".repeat(251)].into_iter().any(is_plain_name));
    }

    #[test]
    fn paths_are_normalised_as_posix_does() {
        for (path, normal) in [
            ("", "."),
            ("a/..", "."),
            ("..", ".."),
            ("a/../../b", "../b"),
            ("/..", "/"),
            ("//a", "//a"),
            ("///a", "/a"),
            ("a/./b//c", "a/b/c"),
        ] {
            assert_eq!(normal_path(path), normal, "{path}");
        }
    }

    #[test]
    fn lengths_count_characters() {
        assert!(check_length("key", 3, "äöü").is_ok());
        assert!(check_length("key", 3, "äöüß").is_err());
        let mut text = "äöüß".to_owned();
        cut(&mut text, 2);
        assert_eq!(text, "äö");
    }
}
