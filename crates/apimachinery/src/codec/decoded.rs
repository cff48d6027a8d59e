//! What the decoders of JSON and YAML share: the result, and the paths of repeated keys.

use serde_json::Value;

/// A decoded body.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// What the body says. Of a key that occurs twice in an object, the last value counts.
    pub value: Value,
    /// Keys that occur twice, worded for strict field validation: `duplicate field "spec.foo"`. At most 100.
    pub duplicates: Vec<String>,
}

/// As many as Kubernetes reports of one body.
const MAX_DUPLICATES: usize = 100;
/// Longer paths are cut: keys come from the body, and every repeated key would repeat those above it.
const MAX_PATH: usize = 512;

/// One step from an object or a list to a value in it.
#[derive(Clone, Copy)]
pub(super) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// Notes that the key at the end of `path` is repeated. The steps come from the root.
#[cold]
pub(super) fn report<'a>(duplicates: &mut Vec<String>, path: impl Iterator<Item = Step<'a>>) {
    if duplicates.len() >= MAX_DUPLICATES {
        return;
    }
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.extend(key.chars().take(MAX_PATH));
            }
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
        if text.len() > MAX_PATH {
            text.truncate((0..=MAX_PATH).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
            text.push('…');
            break;
        }
    }
    let report = format!("duplicate field {text:?}");
    if !duplicates.contains(&report) {
        duplicates.push(report);
    }
}
