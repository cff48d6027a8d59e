//! What a workspace is.

use mcplane_core::{Error, Result};
use serde::Serialize;
use serde_json::{Value, json};

use crate::mlflow::DEFAULT_WORKSPACE;

/// The annotation with a namespace's description.
const DESCRIPTION: &str = "mcplane.io/description";
/// The annotation with the place of artifacts of new experiments.
const ARTIFACT_ROOT: &str = "tracking.mcplane.io/artifact-root";
/// Names that paths need.
const RESERVED: [&str; 4] = ["workspaces", "api", "ajax-api", "static-files"];

/// A namespace, as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Workspace {
    /// Its name.
    pub name: String,
    /// What people are told of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where artifacts of new experiments go, if not where the server says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_artifact_root: Option<String>,
}

impl Workspace {
    /// Reads a namespace, unless it is being deleted.
    pub(crate) fn of_namespace(body: &str) -> Option<Self> {
        let namespace: Value = serde_json::from_str(body).ok()?;
        let metadata = &namespace["metadata"];
        let note = |name: &str| metadata["annotations"][name].as_str().map(str::to_owned);
        metadata["deletionTimestamp"].is_null().then_some(())?;
        Some(Self {
            name: metadata["name"].as_str()?.to_owned(),
            description: note(DESCRIPTION),
            default_artifact_root: note(ARTIFACT_ROOT).filter(|root| !root.is_empty()),
        })
    }
}

/// What is set of a workspace; `None` leaves it, an empty root means the server's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) description: Option<String>,
    pub(crate) default_artifact_root: Option<String>,
}

impl Settings {
    /// Annotations as a merge patch has them.
    pub(crate) fn annotations(&self) -> Value {
        let mut notes = json!({});
        if let Some(description) = &self.description {
            notes[DESCRIPTION] = description.as_str().into();
        }
        if let Some(root) = &self.default_artifact_root {
            notes[ARTIFACT_ROOT] = if root.is_empty() { Value::Null } else { root.as_str().into() };
        }
        notes
    }

    /// Whether it changes nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.description.is_none() && self.default_artifact_root.is_none()
    }

    /// # Errors
    /// [`Error::BadRequest`] for a root that clients would take for a path of their own.
    pub(crate) fn check(&self) -> Result<()> {
        let Some(root) = self.default_artifact_root.as_deref().filter(|root| !root.is_empty()) else { return Ok(()) };
        if root.contains(['#', ';', '?']) {
            return Err(Error::bad_request("'default_artifact_root' URL can't include fragments or params."));
        }
        let scheme = root.split_once(':').is_some_and(|(scheme, _)| scheme.len() > 1);
        if !scheme && !root.starts_with('/') {
            return Err(Error::bad_request(format!(
                "Invalid value for 'default_artifact_root'. Expected a URI (for example 's3://bucket/prefix' or \
                 'mlflow-artifacts:/prefix') or an absolute path, got '{root}'."
            )));
        }
        Ok(())
    }
}

/// # Errors
/// [`Error::BadRequest`] for what can't be the name of a workspace.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name == DEFAULT_WORKSPACE {
        return Ok(());
    }
    let refuse = |why: &str| Err(Error::bad_request(format!("Workspace name '{name}' {why}")));
    if !(2..=63).contains(&name.chars().count()) {
        return refuse("must be between 2 and 63 characters.");
    }
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let inside = name.bytes().all(|c| plain(c) || c == b'-');
    if !inside || name.starts_with('-') || name.ends_with('-') {
        return refuse(
            "must match the pattern ^[a-z0-9]([-a-z0-9]*[a-z0-9])?$ (lowercase alphanumeric with optional internal hyphens).",
        );
    }
    if RESERVED.contains(&name) {
        return refuse("is reserved and cannot be used.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_namespaces() {
        for good in ["default", "ab", "a-1", "team-vision"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "A1", "-ab", "ab-", "a_b", "a/b", "~ab", "api", "workspaces", &"a".repeat(64), "ä1"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_namespace_that_goes_is_no_workspace() {
        let body = |more: Value| {
            let mut body = json!({"metadata": {"name": "a"}});
            body["metadata"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            Workspace::of_namespace(&body.to_string())
        };
        assert_eq!(body(json!({"annotations": {DESCRIPTION: "d"}})).unwrap().description.as_deref(), Some("d"));
        assert_eq!(body(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"})), None);
    }

    #[test]
    fn roots_are_places_that_all_clients_share() {
        let check = |root: &str| Settings { default_artifact_root: Some(root.into()), description: None }.check();
        for good in ["", "s3://b/x", "mlflow-artifacts:/x", "/srv/x"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["x", "C:x", "../x", "s3://b/x#y", "s3://b/x?y"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
