//! A machine as a `Node` of Kubernetes.

use mcplane_apimachinery::quantity::{Format, Quantity};
use mcplane_core::Timestamp;
use mcplane_core::clock::rfc3339;
use serde_json::{Map, Value, json};

use super::{Facts, SILENCE_MS};

/// What a node keeps for life, and when it was last heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) uid: String,
    pub(super) created_at: Timestamp,
    /// When it was last heard, as far as it is shown.
    pub(super) heard_at: Timestamp,
    /// When it last became ready, or ceased to be.
    pub(super) changed_at: Timestamp,
}

/// Whether a machine that was last heard at `heard_at` is taken for lost.
pub fn is_silent(heard_at: Timestamp, now: Timestamp) -> bool {
    now.saturating_sub(heard_at) >= SILENCE_MS
}

/// The node that a machine is, while it is heard.
pub fn object(name: &str, uid: &str, facts: &Facts, at: Timestamp) -> Value {
    let known = Known { uid: uid.to_owned(), created_at: at, heard_at: at, changed_at: at };
    shown(name, &known, facts)
}

pub(super) fn shown(name: &str, known: &Known, facts: &Facts) -> Value {
    let capacity = capacity(facts);
    json!({
        "metadata": {
            "name": name,
            "uid": known.uid,
            "creationTimestamp": rfc3339(known.created_at),
            "labels": {
                "kubernetes.io/arch": architecture(),
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": std::env::consts::OS,
            },
        },
        "spec": {},
        "status": {
            "capacity": capacity,
            "allocatable": capacity,
            "addresses": [{"type": "Hostname", "address": name}],
            "conditions": [ready(known)],
            "nodeInfo": {
                "architecture": architecture(),
                "bootID": facts.boot_id,
                "containerRuntimeVersion": concat!("process://", env!("CARGO_PKG_VERSION")),
                "kernelVersion": facts.kernel,
                "kubeProxyVersion": "",
                "kubeletVersion": concat!("v", env!("CARGO_PKG_VERSION")),
                "machineID": facts.machine_id,
                "operatingSystem": std::env::consts::OS,
                "osImage": facts.os_image,
                "systemUUID": facts.machine_id,
            },
        },
    })
}

fn ready(known: &Known) -> Value {
    json!({
        "type": "Ready",
        "status": "True",
        "reason": "AgentReady",
        "message": "the agent reports that it is ready",
        "lastHeartbeatTime": rfc3339(known.heard_at),
        "lastTransitionTime": rfc3339(known.changed_at),
    })
}

/// A node, as shown, that is not heard any more.
pub(super) fn lost(mut node: Value, heard_at: Timestamp, at: Timestamp) -> Value {
    node["status"]["conditions"] = json!([{
        "type": "Ready",
        "status": "Unknown",
        "reason": "NodeStatusUnknown",
        "message": "the agent stopped reporting",
        "lastHeartbeatTime": rfc3339(heard_at),
        "lastTransitionTime": rfc3339(at),
    }]);
    node
}

/// Go's names, which labels and clients use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn capacity(facts: &Facts) -> Value {
    let mut list = Map::new();
    list.insert("cpu".to_owned(), Quantity::from_milli(facts.capacity.cpu_milli).to_string().into());
    let memory = Quantity::from_units(facts.capacity.memory, Format::BinarySi);
    list.insert("memory".to_owned(), memory.to_string().into());
    list.insert("pods".to_owned(), facts.pods.to_string().into());
    if facts.capacity.gpu > 0 {
        list.insert("nvidia.com/gpu".to_owned(), facts.capacity.gpu.to_string().into());
    }
    list.into()
}

#[cfg(test)]
mod tests {
    use mcplane_objects::Resource as _;

    use super::*;
    use crate::nodes::Node;
    use crate::tasks::Demand;

    fn facts() -> Facts {
        let capacity = Demand { cpu_milli: 2500, memory: 8 << 30, gpu: 1 };
        Facts { capacity, pods: 8, ..Facts::gather(capacity, 8) }
    }

    #[test]
    fn a_node_obeys_its_schema_and_tells_what_it_has() {
        let schema = Node::schema("v1").unwrap();
        for node in [object("here", "u", &facts(), 1_000), lost(object("here", "u", &facts(), 1_000), 1_000, 20_000)] {
            let mut node = node;
            mcplane_objects::object::set_type(&mut node, "v1", "Node");
            assert_eq!((schema.validate(&node), schema.unknown_fields(&node)), (vec![], vec![]), "{node}");
            let capacity = json!({"cpu": "2500m", "memory": "8Gi", "pods": "8", "nvidia.com/gpu": "1"});
            assert_eq!(node["status"]["capacity"], capacity);
        }
    }

    #[test]
    fn a_machine_is_lost_after_fifteen_seconds() {
        assert!(!is_silent(1_000, 15_999));
        assert!(is_silent(1_000, 16_000));
        assert!(!is_silent(1_000, 0), "a clock that goes back makes nobody silent");
        assert!(!is_silent(i64::MIN / 2, i64::MIN / 2));
    }
}
