//! `Event`: what happened to an object, for people. Kept for an hour.

use k8s_openapi::api::core::v1::Event;
use mcplane_core::FieldError;
use serde_json::Value;

use super::text;
use crate::kind::{Column, Kind, Resource};
use crate::object::ObjectExt as _;

impl Resource for Event {
    const KIND: Kind = Kind {
        short_names: &["ev"],
        // Events tell of other changes, which are audited themselves.
        unaudited: true,
        selectable: &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source.component",
            "type",
        ],
        name_column: false,
        columns: &[
            Column { name: "Last Seen", format: "date", priority: 0, cell: |event| last_seen(event) },
            Column { name: "Type", format: "string", priority: 0, cell: |event| event["type"].clone() },
            Column { name: "Reason", format: "string", priority: 0, cell: |event| event["reason"].clone() },
            Column { name: "Object", format: "string", priority: 0, cell: |event| object(event) },
            Column {
                name: "Source",
                format: "string",
                priority: 1,
                cell: |event| text(event, &["source", "component"]).into(),
            },
            Column {
                name: "Message",
                format: "string",
                priority: 0,
                cell: |event| text(event, &["message"]).trim().into(),
            },
            Column { name: "Count", format: "string", priority: 1, cell: |event| count(event) },
            Column { name: "Name", format: "name", priority: 1, cell: |event| event.name().into() },
        ],
        ..Kind::namespaced("", &["v1"], "Event", "events", "event")
    };

    fn validate(new: &Self, _: Option<&Self>) -> Vec<FieldError> {
        // Events about cluster-scoped objects live in the default namespace.
        let about = new.involved_object.namespace.as_deref().unwrap_or("");
        let own = new.metadata.namespace.as_deref().unwrap_or("");
        if about == own || about.is_empty() && own == "default" {
            return vec![];
        }
        vec![FieldError::invalid("involvedObject.namespace", about, "does not match event.namespace")]
    }
}

fn last_seen(event: &Value) -> Value {
    let series = text(event, &["series", "lastObservedTime"]);
    let moments =
        [series, text(event, &["lastTimestamp"]), text(event, &["eventTime"]), event.meta_text("creationTimestamp")];
    moments.into_iter().find(|moment| !moment.is_empty()).unwrap_or("").into()
}

fn object(event: &Value) -> Value {
    let about = |field| text(event, &["involvedObject", field]);
    format!("{}/{}", about("kind").to_lowercase(), about("name")).into()
}

fn count(event: &Value) -> Value {
    let times = event["series"]["count"].as_i64().or_else(|| event["count"].as_i64()).unwrap_or(1).max(1);
    times.to_string().into()
}
