//! The kind `Node`: machines tell of themselves, clients look.

use mcplane_apimachinery::schema::Schema;
use mcplane_objects::http::AGE;
use mcplane_objects::schemas::OwnSchema;
use mcplane_objects::{Column, Kind, Resource};
use serde::Deserialize;
use serde_json::{Value, json};

/// A machine, as an object.
#[derive(Debug, Deserialize)]
pub struct Node {}

static SCHEMA: OwnSchema = OwnSchema::new(schema);

impl Resource for Node {
    const KIND: Kind = Kind {
        short_names: &["no"],
        verbs: &["delete", "get", "list", "watch"],
        columns: &[
            Column { name: "Status", format: "string", priority: 0, cell: |node| status(node) },
            Column { name: "Roles", format: "string", priority: 0, cell: |_| "<none>".into() },
            AGE,
            Column { name: "Version", format: "string", priority: 0, cell: |node| info(node, "kubeletVersion") },
            Column { name: "Internal-IP", format: "string", priority: 1, cell: |_| "<none>".into() },
            Column { name: "External-IP", format: "string", priority: 1, cell: |_| "<none>".into() },
            Column { name: "OS-Image", format: "string", priority: 1, cell: |node| info(node, "osImage") },
            Column { name: "Kernel-Version", format: "string", priority: 1, cell: |node| info(node, "kernelVersion") },
            Column {
                name: "Container-Runtime",
                format: "string",
                priority: 1,
                cell: |node| info(node, "containerRuntimeVersion"),
            },
        ],
        ..Kind::cluster("", &["v1"], "Node", "nodes", "node")
    };

    fn schema(_: &str) -> Option<&'static Schema> {
        SCHEMA.compiled()
    }

    fn openapi(version: &str) -> Option<Value> {
        Some(SCHEMA.component(&Self::KIND, version))
    }
}

fn info(node: &Value, field: &str) -> Value {
    node["status"]["nodeInfo"][field].clone()
}

fn status(node: &Value) -> Value {
    let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
    match conditions.filter(|condition| condition["type"] == "Ready").map(|condition| &condition["status"]).next() {
        Some(status) if status == "True" => "Ready".into(),
        Some(_) => "NotReady".into(),
        None => "Unknown".into(),
    }
}

/// What Kubernetes' `Node` has and these nodes fill in.
fn schema() -> Value {
    let text = json!({"type": "string"});
    let fields = |names: &[&str]| {
        let fields = names.iter().map(|name| ((*name).to_owned(), text.clone()));
        json!({"type": "object", "properties": fields.collect::<serde_json::Map<_, _>>()})
    };
    let quantities = json!({"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": true}});
    let condition = ["type", "status", "reason", "message", "lastHeartbeatTime", "lastTransitionTime"];
    let info = [
        "architecture",
        "bootID",
        "containerRuntimeVersion",
        "kernelVersion",
        "kubeProxyVersion",
        "kubeletVersion",
        "machineID",
        "operatingSystem",
        "osImage",
        "systemUUID",
    ];
    json!({
        "type": "object",
        "description": "A machine that runs attempts of tasks. It tells of itself.",
        "properties": {
            "spec": {"type": "object", "properties": {"unschedulable": {"type": "boolean"}}},
            "status": {"type": "object", "properties": {
                "capacity": quantities,
                "allocatable": quantities,
                "addresses": {"type": "array", "items": fields(&["type", "address"])},
                "conditions": {"type": "array", "items": fields(&condition)},
                "nodeInfo": fields(&info),
            }},
        },
    })
}
