//! What is told of a service. Pure.

use mcplane_core::Timestamp;
use mcplane_core::clock::rfc3339;
use mcplane_objects::events::Weight;
use serde_json::{Value, json};

use super::fleet::{Pin, Service};
use super::types::{Revision, revision_name};

/// Revisions that a status tells of.
const MOST_REVISIONS: usize = 10;
const LONGEST_MESSAGE: usize = 1024;
/// KServe's word for a service that answers, as the reason of an event.
const READY: &str = "InferenceServiceReady";

/// Where callers find services.
#[derive(Debug, Clone)]
pub struct Places {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Domain below which services have hosts.
    pub domain: String,
    /// Port of the data plane.
    pub port: u16,
    /// What a path of the data plane is put behind: `http://127.0.0.1:5081`.
    pub base: String,
}

impl Places {
    /// The host of a service as a URL.
    pub fn url(&self, namespace: &str, name: &str) -> String {
        format!("{}://{name}.{namespace}.{}:{}", self.scheme, self.domain, self.port)
    }

    /// The same by a path, which needs no name to be resolved.
    pub fn address(&self, namespace: &str, name: &str) -> String {
        format!("{}/serving/{namespace}/{name}", self.base)
    }
}

/// Why the newest thing that was asked for does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// KServe's word.
    pub(super) reason: &'static str,
    pub(super) message: String,
    /// The revision, if one was made.
    pub(super) number: Option<u64>,
}

/// What a status is made from.
pub(super) struct Facts<'f> {
    pub(super) service: &'f Service,
    pub(super) newest: Option<&'f Revision>,
    pub(super) trouble: Option<&'f Trouble>,
    pub(super) pin: &'f Pin,
    pub(super) places: &'f Places,
    pub(super) generation: Option<i64>,
    pub(super) now: Timestamp,
}

/// The status; what is as it was before keeps its times.
pub(super) fn status(facts: &Facts<'_>, before: &Value) -> Value {
    let Facts { service, newest, pin, places, .. } = facts;
    let name = |number: u64| revision_name(&service.name, number);
    let latest_ready = service.newest().map(|running| running.revision.number);
    let mut predictor = json!({"url": places.url(&service.namespace, &service.name)});
    if let Some(newest) = newest {
        predictor["latestCreatedRevision"] = newest.name().into();
    }
    let shares: Vec<(u64, u32)> = match (pin.traffic.as_slice(), latest_ready) {
        ([], Some(number)) => vec![(number, 100)],
        (shares, _) => shares.to_vec(),
    };
    if let Some(number) = latest_ready {
        predictor["latestReadyRevision"] = name(number).into();
        predictor["traffic"] = shares
            .iter()
            .map(|(number, percent)| share(&name(*number), *percent, latest_ready == Some(*number)))
            .collect();
        if let Some((number, _)) = shares.iter().find(|(_, percent)| *percent == 100) {
            predictor["latestRolledoutRevision"] = name(*number).into();
        }
    }
    let mut status = json!({
        "observedGeneration": facts.generation,
        "components": {"predictor": predictor},
        "modelStatus": model_status(facts, before),
        "revisions": revisions(service, before),
        "conditions": conditions(facts, latest_ready.is_some(), before),
    });
    if latest_ready.is_some() {
        status["url"] = places.url(&service.namespace, &service.name).into();
        status["address"] = json!({"url": places.address(&service.namespace, &service.name)});
    }
    status
}

fn share(name: &str, percent: u32, latest: bool) -> Value {
    match latest {
        true => json!({"revisionName": name, "percent": percent, "latestRevision": true}),
        false => json!({"revisionName": name, "percent": percent, "latestRevision": false, "tag": "prev"}),
    }
}

/// What people are told of a status that takes the place of another, as an event: a failure, or what answers now.
pub(super) fn news(before: &Value, after: &Value) -> Option<(Weight, String, String)> {
    let failure = |status: &Value| status["modelStatus"].get("lastFailureInfo").cloned();
    if let Some(failed) = failure(after).filter(|failed| failure(before).as_ref() != Some(failed)) {
        let text = |field: &str| failed[field].as_str().unwrap_or_default().to_owned();
        return Some((Weight::Warning, text("reason"), text("message")));
    }
    let answers = |status: &Value| status["components"]["predictor"]["latestReadyRevision"].as_str().map(str::to_owned);
    let revision = answers(after).filter(|revision| answers(before).as_ref() != Some(revision))?;
    let all = after["revisions"].as_array();
    let of = all.and_then(|all| all.iter().find(|one| one["name"] == *revision)).unwrap_or(&Value::Null);
    let (model, version) = (of["model"].as_str().unwrap_or_default(), &of["version"]);
    Some((Weight::Normal, READY.to_owned(), format!("{revision} answers, with models:/{model}/{version}")))
}

/// KServe's summary: what answers, and what was asked for.
fn model_status(facts: &Facts<'_>, before: &Value) -> Value {
    let Facts { service, newest, trouble, .. } = facts;
    let answers = service.newest();
    let active = if answers.is_some() {
        "Loaded"
    } else if trouble.is_some() {
        "FailedToLoad"
    } else {
        "Pending"
    };
    let up_to_date = trouble.is_none()
        && answers.as_ref().map(|running| running.revision.number) == newest.map(|newest| newest.number);
    let target = if trouble.is_some() {
        "FailedToLoad"
    } else if up_to_date {
        "Loaded"
    } else {
        "Loading"
    };
    let transition = match trouble {
        Some(Trouble { number: None, .. }) => "InvalidSpec",
        Some(_) => "BlockedByFailedLoad",
        None if up_to_date => "UpToDate",
        None => "InProgress",
    };
    let mut status = json!({
        "transitionStatus": transition,
        "states": {"activeModelState": active, "targetModelState": target},
        "copies": {"failedCopies": usize::from(trouble.is_some()), "totalCopies": usize::from(answers.is_some())},
    });
    if let Some(Trouble { reason, message, number }) = trouble {
        let mut failure = json!({"reason": reason, "message": short(message)});
        if let Some(number) = number {
            failure["modelRevisionName"] = revision_name(&service.name, *number).into();
        }
        let told = &before["modelStatus"]["lastFailureInfo"];
        let same = ["reason", "message", "modelRevisionName"].iter().all(|field| told[field] == failure[field]);
        failure["time"] =
            if same && told["time"].is_string() { told["time"].clone() } else { rfc3339(facts.now).into() };
        status["lastFailureInfo"] = failure;
    }
    status
}

/// What is loaded. How long it took is what the first server said: several may share the database.
fn revisions(service: &Service, before: &Value) -> Value {
    let numbers = service.numbers();
    let shown = numbers.iter().rev().take(MOST_REVISIONS).filter_map(|number| service.running(*number));
    shown
        .map(|running| {
            let revision = &running.revision;
            let told = before["revisions"].as_array().and_then(|all| all.iter().find(|one| one["no"] == revision.no));
            let took = u64::try_from(running.loaded.took().as_millis()).unwrap_or(u64::MAX);
            json!({
                "name": revision.name(),
                "number": revision.number,
                "no": revision.no,
                "model": revision.model,
                "version": revision.version,
                "semanticVersion": revision.semantic,
                "digest": revision.digest,
                "state": "Loaded",
                "loadMilliseconds": told.map_or_else(|| took.into(), |told| told["loadMilliseconds"].clone()),
                "memoryBytes": running.loaded.memory(),
            })
        })
        .collect()
}

fn conditions(facts: &Facts<'_>, answers: bool, before: &Value) -> Value {
    let (reason, message) = match (facts.trouble, answers) {
        (Some(trouble), _) => (trouble.reason, short(&trouble.message)),
        (None, false) => ("Loading", "the model is being loaded".to_owned()),
        (None, true) => ("", String::new()),
    };
    // Something answers, whatever became of what was asked for last.
    let ready = match (answers, facts.trouble) {
        (true, _) => "True",
        (false, Some(_)) => "False",
        (false, None) => "Unknown",
    };
    let latest = match facts.trouble {
        Some(_) => "False",
        None => ready,
    };
    let told = before["conditions"].as_array();
    let wanted =
        [("IngressReady", ready), ("LatestDeploymentReady", latest), ("PredictorReady", ready), ("Ready", ready)];
    wanted
        .into_iter()
        .map(|(kind, state)| {
            let old = told.and_then(|all| all.iter().find(|old| old["type"] == kind && old["status"] == state));
            let mut condition = json!({"type": kind, "status": state});
            condition["lastTransitionTime"] =
                old.map_or_else(|| rfc3339(facts.now).into(), |old| old["lastTransitionTime"].clone());
            if state != "True" && !reason.is_empty() {
                condition["reason"] = reason.into();
                condition["message"] = message.as_str().into();
            }
            condition
        })
        .collect()
}

fn short(text: &str) -> String {
    let end = (0..=LONGEST_MESSAGE.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_of_what_changed() {
        let revision = |name: &str| {
            json!({
                "components": {"predictor": {"latestReadyRevision": name}},
                "revisions": [{"name": name, "model": "iris", "version": 3}],
            })
        };
        let failed = |mut status: Value, message: &str| {
            status["modelStatus"] = json!({"lastFailureInfo": {"reason": "ModelLoadFailed", "message": message}});
            status
        };
        let (first, second) = (revision("a-1"), revision("a-2"));
        let answers =
            |name: &str| Some((Weight::Normal, READY.to_owned(), format!("{name} answers, with models:/iris/3")));
        let fails = |message: &str| Some((Weight::Warning, "ModelLoadFailed".to_owned(), message.to_owned()));
        assert_eq!(news(&Value::Null, &first), answers("a-1"));
        assert_eq!(news(&first, &first), None);
        assert_eq!(news(&first, &second), answers("a-2"));
        assert_eq!(news(&first, &failed(first.clone(), "x")), fails("x"));
        assert_eq!(news(&failed(first.clone(), "x"), &failed(first.clone(), "x")), None);
        assert_eq!(news(&failed(first.clone(), "x"), &failed(first.clone(), "y")), fails("y"));
        assert_eq!(news(&failed(first.clone(), "x"), &first), None, "what answered goes on");
    }
}
