//! Events of objects, as `kubectl describe` shows them.

use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, PostParams};
use mcplane_core::Timestamp;
use mcplane_core::clock::rfc3339;
use serde_json::json;

use crate::follow::resource;
use crate::scope::{OBJECT_GROUP, VERSION};

const LONGEST_MESSAGE: usize = 1024;
const LONGEST_NAME: usize = 200;

/// Something happened to an object. Nothing depends on its being told.
pub(crate) async fn event(
    client: &kube::Client,
    (kind, object): (&str, &DynamicObject),
    warning: bool,
    (reason, message): (&str, &str),
    at: Timestamp,
) {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let at = rfc3339(at);
    let id = uuid::Uuid::new_v4().simple();
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": format!("{}.{id}", &name[..name.floor_char_boundary(LONGEST_NAME)]), "namespace": namespace},
        "involvedObject": {
            "apiVersion": format!("{OBJECT_GROUP}/{VERSION}"), "kind": kind, "namespace": namespace, "name": name,
            "uid": object.uid(),
        },
        "type": if warning { "Warning" } else { "Normal" }, "reason": reason,
        "message": &message[..message.floor_char_boundary(LONGEST_MESSAGE)],
        "source": {"component": "delivery"}, "reportingComponent": "delivery", "reportingInstance": "",
        "firstTimestamp": at, "lastTimestamp": at, "count": 1,
    });
    let events =
        Api::<DynamicObject>::namespaced_with(client.clone(), &namespace, &resource("", "v1", "Event", "events"));
    let Ok(event) = serde_json::from_value::<DynamicObject>(event) else { return };
    if let Err(error) = events.create(&PostParams::default(), &event).await {
        tracing::debug!(%error, "an event could not be written");
    }
}
