//! Events: what controllers tell people. One that repeats is counted, as Kubernetes does.

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Error};
use mcplane_core::Timestamp;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::conditions::time;

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    Normal,
    Warning,
}

/// Bytes that Kubernetes takes of a message.
const LONGEST: usize = 1024;

/// Tells of an object. What can't be told is logged: no work waits for it.
pub(crate) async fn tell(
    client: &Client,
    component: &'static str,
    about: &ObjectReference,
    (weight, reason, message): (Weight, &str, &str),
    now: Timestamp,
) {
    if let Err(error) = attempt(client, component, about, (weight, reason, message), now).await {
        tracing::debug!(%error, reason, "an event could not be told");
    }
}

async fn attempt(
    client: &Client,
    component: &'static str,
    about: &ObjectReference,
    (weight, reason, message): (Weight, &str, &str),
    now: Timestamp,
) -> Result<(), Error> {
    let namespace = about.namespace.as_deref().unwrap_or("default");
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let message = &message[..message.floor_char_boundary(LONGEST)];
    let name = event_name(about, reason, message);
    let event = Event {
        metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
        involved_object: about.clone(),
        type_: Some(if weight == Weight::Normal { "Normal" } else { "Warning" }.to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        source: Some(EventSource { component: Some(component.to_owned()), host: None }),
        reporting_component: Some(component.to_owned()),
        reporting_instance: Some(String::new()),
        first_timestamp: Some(time(now)),
        last_timestamp: Some(time(now)),
        count: Some(1),
        ..Event::default()
    };
    match events.create(&PostParams::default(), &event).await {
        Err(Error::Api(status)) if status.code == 409 => {
            let known = events.get(&name).await?;
            let patch = json!({"count": known.count.unwrap_or(1).saturating_add(1), "lastTimestamp": time(now)});
            events.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(drop)
        }
        outcome => outcome.map(drop),
    }
}

/// The same for the same event about the same object.
fn event_name(about: &ObjectReference, reason: &str, message: &str) -> String {
    let uid = about.uid.as_deref().unwrap_or_default();
    let digest = Sha256::digest(format!("{uid}\n{reason}\n{message}"));
    let hex: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let name = about.name.as_deref().unwrap_or_default();
    format!("{}.{hex}", &name[..name.floor_char_boundary(200)])
}
