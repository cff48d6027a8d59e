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

/// Something happened to an object of this crate's kinds.
pub(crate) async fn event(
    client: &kube::Client,
    (kind, object): (&'static str, &DynamicObject),
    warning: bool,
    told: (&str, &str),
    at: Timestamp,
) {
    let involved = Involved {
        api_version: format!("{OBJECT_GROUP}/{VERSION}"),
        kind,
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
    };
    tell(client, &involved, warning, told, at).await;
}

/// Something happened to an object: why, and what. Nothing depends on its being told.
pub async fn tell(
    client: &kube::Client,
    involved: &Involved,
    warning: bool,
    (reason, message): (&str, &str),
    at: Timestamp,
) {
    let Involved { api_version, kind, namespace, name, uid } = involved;
    let at = rfc3339(at);
    let id = uuid::Uuid::new_v4().simple();
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": format!("{}.{id}", &name[..name.floor_char_boundary(LONGEST_NAME)]), "namespace": namespace},
        "involvedObject": {
            "apiVersion": api_version, "kind": kind, "namespace": namespace, "name": name, "uid": uid,
        },
        "type": if warning { "Warning" } else { "Normal" }, "reason": reason,
        "message": &message[..message.floor_char_boundary(LONGEST_MESSAGE)],
        "source": {"component": "delivery"}, "reportingComponent": "delivery", "reportingInstance": "",
        "firstTimestamp": at, "lastTimestamp": at, "count": 1,
    });
    let events =
        Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource("", "v1", "Event", "events"));
    let Ok(event) = serde_json::from_value::<DynamicObject>(event) else { return };
    if let Err(error) = events.create(&PostParams::default(), &event).await {
        tracing::debug!(%error, "an event could not be written");
    }
}
