//! Events: what controllers tell people of an object, as `kubectl describe` shows it. One that repeats is counted, as
//! Kubernetes does.

use kube::api::{Api, ApiResource, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Client, Error};
use mcplane_core::Timestamp;
use mcplane_core::clock::rfc3339;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Whose event it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Involved {
    /// Such as `networking.istio.io/v1`.
    pub api_version: String,
    /// Its kind.
    pub kind: &'static str,
    /// Where it is.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl Involved {
    /// The object with that metadata.
    pub fn of(api_version: &str, kind: &'static str, metadata: &ObjectMeta) -> Self {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let (namespace, name, uid) = (text(&metadata.namespace), text(&metadata.name), text(&metadata.uid));
        Self { api_version: api_version.to_owned(), kind, namespace, name, uid }
    }
}

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// All goes well.
    Normal,
    /// Something does not.
    Warning,
}

/// What is told: how much it matters, a reason in one word, and a message.
pub type News<'n> = (Weight, &'n str, &'n str);

/// Bytes that Kubernetes takes of a message.
const LONGEST_MESSAGE: usize = 1024;
/// Bytes of an object's name in that of an event.
const LONGEST_NAME: usize = 200;

/// Tells of an object. What can't be told is logged: no work waits for it.
pub async fn tell(client: &Client, component: &str, about: &Involved, news: News<'_>, now: Timestamp) {
    if let Err(error) = attempt(client, component, about, news, now).await {
        tracing::debug!(%error, reason = news.1, "an event could not be told");
    }
}

async fn attempt(
    client: &Client,
    component: &str,
    about: &Involved,
    news: News<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    let (_, reason, message) = news;
    let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "Event"), "events");
    let events = Api::<DynamicObject>::namespaced_with(client.clone(), &about.namespace, &kind);
    let event = content(component, about, &format!("{}\n{reason}\n{message}", about.uid), news, now);
    let name = event["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let event: DynamicObject = serde_json::from_value(event).map_err(Error::SerdeError)?;
    match events.create(&PostParams::default(), &event).await {
        Err(Error::Api(status)) if status.code == 409 => {
            let known = events.get(&name).await?;
            let count = known.data["count"].as_i64().unwrap_or(1).saturating_add(1);
            let patch = json!({"count": count, "lastTimestamp": rfc3339(now)});
            events.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(drop)
        }
        outcome => outcome.map(drop),
    }
}

/// An event as it is written. Its name follows from the object and from what it stands for, so that it is there once.
pub fn content(component: &str, about: &Involved, stands_for: &str, news: News<'_>, now: Timestamp) -> Value {
    let (weight, reason, message) = news;
    let Involved { api_version, kind, namespace, name, uid } = about;
    let digest = Sha256::digest(stands_for);
    let hex: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let now = rfc3339(now);
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": format!("{}.{hex}", &name[..name.floor_char_boundary(LONGEST_NAME)]), "namespace": namespace,
        },
        "involvedObject": {
            "apiVersion": api_version, "kind": kind, "namespace": namespace, "name": name, "uid": uid,
        },
        "type": if weight == Weight::Normal { "Normal" } else { "Warning" },
        "reason": reason,
        "message": &message[..message.floor_char_boundary(LONGEST_MESSAGE)],
        "source": {"component": component},
        "reportingComponent": component,
        "reportingInstance": "",
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    })
}
