//! Query parameters of the object API. Unknown ones are ignored, as Kubernetes does; malformed ones are refused.

use mcplane_core::{Error, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::service::{
    DeleteOptions, FieldValidation, ListOptions, Propagation, VersionMatch, WatchOptions, WriteOptions,
};

/// The parameters of one request.
#[derive(Debug, Clone, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn parse(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or("").as_bytes());
        Self(pairs.map(|(key, value)| (key.into_owned(), value.into_owned())).collect())
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    fn flag(&self, name: &str) -> Result<bool> {
        match self.text(name) {
            "" | "false" | "0" | "False" | "f" | "F" => Ok(self.0.iter().any(|(key, value)| {
                // A bare `?watch` means true, as in Kubernetes.
                key == name && value.is_empty()
            })),
            "true" | "1" | "True" | "t" | "T" => Ok(true),
            other => Err(malformed(name, other, "true or false")),
        }
    }

    fn number(&self, name: &str) -> Result<Option<i64>> {
        match self.text(name) {
            "" => Ok(None),
            text => match text.parse() {
                Ok(number) if number >= 0 => Ok(Some(number)),
                _ => Err(malformed(name, text, "a whole number, not negative")),
            },
        }
    }

    pub(super) fn is_watch(&self) -> Result<bool> {
        self.flag("watch")
    }

    /// Seconds after which a watch ends; `None` for the server's choice.
    pub(super) fn timeout_seconds(&self) -> Result<Option<u64>> {
        Ok(self.number("timeoutSeconds")?.filter(|seconds| *seconds > 0).map(i64::unsigned_abs))
    }

    pub(super) fn list_options(&self) -> Result<ListOptions> {
        let resource_version = self.number("resourceVersion")?;
        let limit = usize::try_from(self.number("limit")?.unwrap_or(0)).unwrap_or(usize::MAX);
        let version_match = match (self.text("resourceVersionMatch"), resource_version) {
            // As in Kubernetes, whose clients' pages of an old list rely on it.
            ("", Some(revision)) if revision > 0 && limit > 0 => VersionMatch::Exact,
            ("", _) => VersionMatch::NotOlderThan,
            (given, None) => {
                return Err(malformed("resourceVersionMatch", given, "absent without resourceVersion"));
            }
            ("NotOlderThan", _) => VersionMatch::NotOlderThan,
            ("Exact", Some(revision)) if revision > 0 => VersionMatch::Exact,
            (other, _) => {
                return Err(malformed("resourceVersionMatch", other, "NotOlderThan, or Exact with a revision"));
            }
        };
        Ok(ListOptions {
            label_selector: self.text("labelSelector").to_owned(),
            field_selector: self.text("fieldSelector").to_owned(),
            limit,
            continue_token: self.text("continue").to_owned(),
            resource_version,
            version_match,
        })
    }

    pub(super) fn watch_options(&self) -> Result<WatchOptions> {
        let send_initial_events = self.flag("sendInitialEvents")?;
        if send_initial_events && self.text("resourceVersionMatch") != "NotOlderThan" {
            return Err(malformed(
                "resourceVersionMatch",
                self.text("resourceVersionMatch"),
                "NotOlderThan with sendInitialEvents",
            ));
        }
        Ok(WatchOptions {
            label_selector: self.text("labelSelector").to_owned(),
            field_selector: self.text("fieldSelector").to_owned(),
            resource_version: self.number("resourceVersion")?,
            send_initial_events,
            bookmarks: self.flag("allowWatchBookmarks")?,
        })
    }

    /// Whether nothing may be written: one `dryRun` of several is enough.
    fn is_trial(&self) -> Result<bool> {
        let given = self.0.iter().filter(|(key, _)| key == "dryRun");
        given.map(|(_, value)| dry_run(value)).try_fold(false, |trial, one| Ok(trial | one?))
    }

    pub(super) fn write_options(&self) -> Result<WriteOptions> {
        let field_validation = match self.text("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Strict" => FieldValidation::Strict,
            "Ignore" => FieldValidation::Ignore,
            other => return Err(malformed("fieldValidation", other, "Ignore, Warn or Strict")),
        };
        Ok(WriteOptions { dry_run: self.is_trial()?, field_validation })
    }

    /// Options of a deletion, from the body if there is one and from the query.
    pub(super) fn delete_options(&self, body: Option<&Value>) -> Result<DeleteOptions> {
        let given = match body {
            Some(body) => GivenDeleteOptions::deserialize(body)
                .map_err(|error| Error::bad_request(format!("the options of the deletion are malformed: {error}")))?,
            None => GivenDeleteOptions::default(),
        };
        let orphan = match given.orphan_dependents {
            Some(orphan) => Some(orphan),
            None if self.text("orphanDependents").is_empty() => None,
            None => Some(self.flag("orphanDependents")?),
        };
        let policy = given.propagation_policy.unwrap_or_else(|| self.text("propagationPolicy").to_owned());
        let propagation = match (policy.as_str(), orphan) {
            ("", None) => None,
            ("", Some(false)) | ("Background", None) => Some(Propagation::Background),
            ("", Some(true)) | ("Orphan", None) => Some(Propagation::Orphan),
            ("Foreground", None) => Some(Propagation::Foreground),
            (_, Some(_)) => {
                return Err(Error::bad_request("orphanDependents and propagationPolicy can't both be set"));
            }
            (other, None) => return Err(malformed("propagationPolicy", other, "Orphan, Background or Foreground")),
        };
        let mut dry = self.is_trial()?;
        for text in given.dry_run.iter().flatten() {
            dry |= dry_run(text)?;
        }
        let GivenPreconditions { uid, resource_version } = given.preconditions.unwrap_or_default();
        let said = |text: &String| !text.is_empty();
        Ok(DeleteOptions {
            uid: uid.filter(said),
            resource_version: resource_version.filter(said),
            propagation,
            dry_run: dry,
        })
    }
}

/// `DeleteOptions` as a body has them; what is not here does not matter to this server.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenDeleteOptions {
    preconditions: Option<GivenPreconditions>,
    orphan_dependents: Option<bool>,
    propagation_policy: Option<String>,
    dry_run: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenPreconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

fn dry_run(text: &str) -> Result<bool> {
    match text {
        "" => Ok(false),
        "All" => Ok(true),
        other => Err(malformed("dryRun", other, "All")),
    }
}

fn malformed(name: &str, value: &str, expected: &str) -> Error {
    Error::bad_request(format!("invalid parameter {name}={value:?}: it must be {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_are_read_and_checked() {
        let params =
            Params::parse(Some("watch&limit=5&labelSelector=a%3Db&resourceVersion=7&resourceVersionMatch=Exact"));
        assert!(params.is_watch().unwrap());
        let list = params.list_options().unwrap();
        assert_eq!((list.limit, list.label_selector.as_str()), (5, "a=b"));
        assert_eq!((list.resource_version, list.version_match), (Some(7), VersionMatch::Exact));
        for bad in
            ["limit=-1", "limit=x", "resourceVersion=a", "resourceVersionMatch=Exact", "dryRun=Some", "watch=maybe"]
        {
            let params = Params::parse(Some(bad));
            let failed =
                params.list_options().is_err() || params.write_options().is_err() || params.is_watch().is_err();
            assert!(failed, "{bad}");
        }
    }

    #[test]
    fn a_trial_stays_one() {
        let trial = |query: &str| Params::parse(Some(query)).write_options().map(|options| options.dry_run).ok();
        assert_eq!(["", "dryRun=All", "dryRun=&dryRun=All"].map(trial), [Some(false), Some(true), Some(true)]);
        assert_eq!(trial("dryRun=All&dryRun=Some"), None);
    }

    #[test]
    fn delete_options_come_from_body_and_query() {
        let body = json!({"propagationPolicy": "Foreground", "preconditions": {"uid": "u"}, "dryRun": ["All"]});
        let options = Params::default().delete_options(Some(&body)).unwrap();
        assert_eq!(
            (options.propagation, options.uid.as_deref(), options.dry_run),
            (Some(Propagation::Foreground), Some("u"), true)
        );
        let query = Params::parse(Some("orphanDependents=true"));
        assert_eq!(query.delete_options(None).unwrap().propagation, Some(Propagation::Orphan));
        assert!(query.delete_options(Some(&body)).is_err());
    }
}
