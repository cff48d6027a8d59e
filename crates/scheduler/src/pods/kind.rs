//! The kind `Pod`: what clients may do with it, and what they see in lists.

use mcplane_objects::http::AGE;
use mcplane_objects::object::ObjectExt as _;
use mcplane_objects::{Column, Kind, Resource};
use serde::Deserialize;
use serde_json::{Value, json};

/// A pod, as an object.
#[derive(Debug, Deserialize)]
pub struct Pod {}

/// What clients may do: pods are made by jobs and tasks.
const VERBS: &[&str] = &["delete", "deletecollection", "get", "list", "watch"];

impl Resource for Pod {
    const KIND: Kind = Kind {
        short_names: &["po"],
        categories: &["all"],
        verbs: VERBS,
        selectable: &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.podIP",
        ],
        columns: &[
            Column { name: "Ready", format: "string", priority: 0, cell: |pod| ready(pod) },
            Column { name: "Status", format: "string", priority: 0, cell: |pod| status(pod) },
            Column { name: "Restarts", format: "string", priority: 0, cell: |_| "0".into() },
            AGE,
            Column { name: "IP", format: "string", priority: 1, cell: |_| "<none>".into() },
            Column { name: "Node", format: "string", priority: 1, cell: |pod| or_none(&pod["spec"]["nodeName"]) },
            Column { name: "Nominated Node", format: "string", priority: 1, cell: |_| "<none>".into() },
            Column { name: "Readiness Gates", format: "string", priority: 1, cell: |_| "<none>".into() },
        ],
        ..Kind::namespaced("", &["v1"], "Pod", "pods", "pod")
    };

    fn begin_deletion(pod: &mut Value) {
        let grace = pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
    }

    /// A pod goes when its attempt is over.
    fn holds_deletion(pod: &Value) -> bool {
        !is_over(pod)
    }
}

fn is_over(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

fn or_none(value: &Value) -> Value {
    if value.is_null() { "<none>".into() } else { value.clone() }
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    pod["status"]["containerStatuses"].as_array().into_iter().flatten()
}

fn ready(pod: &Value) -> Value {
    let all = pod["spec"]["containers"].as_array().map_or(0, Vec::len);
    let ready = containers(pod).filter(|container| container["ready"] == true).count();
    format!("{ready}/{all}").into()
}

/// What `kubectl get pods` calls the state: the most telling of the pod's reason, its containers' and its phase.
fn status(pod: &Value) -> Value {
    if pod.is_deleting() && !is_over(pod) {
        return "Terminating".into();
    }
    let own = [&pod["status"]["reason"]].into_iter();
    let of_containers = containers(pod)
        .flat_map(|container| ["waiting", "terminated"].into_iter().map(|state| &container["state"][state]["reason"]));
    let mut reasons = own.chain(of_containers).filter(|reason| reason.is_string());
    reasons.next().unwrap_or(&pod["status"]["phase"]).clone()
}

#[cfg(test)]
mod tests {
    use super::super::object::tests::task;
    use super::super::{Attempt, Identity, object};
    use super::*;
    use crate::tasks::{State, Task};

    fn cells(task: &Task, deleted_at: Option<i64>) -> Vec<Value> {
        let identity = Identity { uid: "u".to_owned(), name: "train-x".to_owned(), created_at: 0, deleted_at };
        let pod = object(task, &Attempt::of(task), &identity);
        Pod::KIND.columns.iter().filter(|column| column.format != "date").map(|column| (column.cell)(&pod)).collect()
    }

    #[test]
    fn lists_read_as_those_of_kubectl() {
        for (state, reason, shown) in [
            (State::Ready, "InsufficientCpu", ["0/1", "Pending"]),
            (State::Running, "", ["1/1", "Running"]),
            (State::Succeeded, "", ["0/1", "Completed"]),
            (State::Failed, "", ["0/1", "Error"]),
            (State::Failed, "DeadlineExceeded", ["0/1", "DeadlineExceeded"]),
        ] {
            let task = Task { reason: reason.to_owned(), ..task(state) };
            assert_eq!(cells(&task, None)[..2], shown.map(Value::from));
        }
        assert_eq!(cells(&task(State::Running), Some(1))[1], "Terminating");
        assert_eq!(cells(&task(State::Running), None)[4], "here");
        assert_eq!(cells(&task(State::Waiting), None)[4], "<none>");
    }

    #[test]
    fn a_deletion_waits_for_the_end() {
        let running =
            json!({"metadata": {}, "spec": {"terminationGracePeriodSeconds": 7}, "status": {"phase": "Running"}});
        assert!(Pod::holds_deletion(&running) && !Pod::holds_deletion(&json!({"status": {"phase": "Failed"}})));
        let mut marked = running;
        Pod::begin_deletion(&mut marked);
        assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 7);
    }
}
