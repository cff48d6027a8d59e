//! An attempt as a `Pod` of Kubernetes.

use mcplane_core::clock::rfc3339;
use mcplane_objects::object::ObjectExt as _;
use serde_json::{Map, Value, json};

use super::{Attempt, Identity, Phase};
use crate::tasks::{Task, Work};

/// The label of a pod that names its task.
const TASK_LABEL: &str = "mcplane.io/task";
/// The label of a pod that says which attempt of its task it is.
const ATTEMPT_LABEL: &str = "mcplane.io/attempt";

/// The pod that `attempt` of `task` is.
pub fn object(task: &Task, attempt: &Attempt, identity: &Identity) -> Value {
    let template = match &task.spec.work {
        Work::Pod(template) => template,
        Work::Custom { .. } => &Value::Null,
    };
    let mut spec = template.get("spec").cloned().unwrap_or_else(|| json!({}));
    if let Some(node) = &attempt.node {
        spec["nodeName"] = (&**node).into();
    }
    json!({
        "metadata": metadata(task, attempt, identity, template),
        "spec": spec,
        "status": status(attempt, template),
    })
}

fn metadata(task: &Task, attempt: &Attempt, identity: &Identity, template: &Value) -> Value {
    let mut labels = template.meta("labels").and_then(Value::as_object).cloned().unwrap_or_default();
    labels.insert(TASK_LABEL.to_owned(), task.id.as_str().into());
    labels.insert(ATTEMPT_LABEL.to_owned(), attempt.attempt.to_string().into());
    let mut metadata = json!({
        "name": identity.name,
        "namespace": &*task.namespace,
        "uid": identity.uid,
        "creationTimestamp": rfc3339(identity.created_at),
        "labels": labels,
    });
    for field in ["generateName", "annotations", "ownerReferences"] {
        if let Some(value) = template.meta(field) {
            metadata[field] = value.clone();
        }
    }
    if let Some(at) = identity.deleted_at {
        metadata["deletionTimestamp"] = rfc3339(at).into();
        metadata["deletionGracePeriodSeconds"] = (task.spec.grace_ms / 1000).into();
    }
    metadata
}

fn status(attempt: &Attempt, template: &Value) -> Value {
    let containers = template["spec"]["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let statuses: Vec<Value> = containers.iter().map(|container| container_status(container, attempt)).collect();
    let mut status = json!({
        "phase": attempt.phase.word(),
        "conditions": conditions(attempt),
        "qosClass": quality(containers),
    });
    if attempt.phase != Phase::Pending {
        status["containerStatuses"] = statuses.into();
    }
    if let Some(at) = attempt.started_at {
        status["startTime"] = rfc3339(at).into();
    }
    // What a container ended with by itself is told of the container; what ended the pod is told of the pod.
    let own = attempt.phase == Phase::Failed && !matches!(attempt.reason.as_str(), "" | "Error" | "OOMKilled");
    for (field, text) in [("reason", &attempt.reason), ("message", &attempt.message)] {
        if own && !text.is_empty() {
            status[field] = text.as_str().into();
        }
    }
    status
}

fn container_status(container: &Value, attempt: &Attempt) -> Value {
    let running = attempt.phase == Phase::Running;
    json!({
        "name": container["name"],
        "image": container["image"].as_str().unwrap_or_default(),
        "imageID": "",
        "ready": running,
        "started": running,
        "restartCount": 0,
        "lastState": {},
        "state": container_state(attempt),
    })
}

fn container_state(attempt: &Attempt) -> Value {
    let mut times = Map::new();
    for (field, at) in [("startedAt", attempt.started_at), ("finishedAt", attempt.finished_at)] {
        times.extend(at.map(|at| (field.to_owned(), Value::from(rfc3339(at)))));
    }
    match attempt.phase {
        Phase::Pending => json!({"waiting": {"reason": "ContainerCreating"}}),
        Phase::Running => json!({"running": times}),
        Phase::Succeeded | Phase::Failed => {
            let succeeded = attempt.phase == Phase::Succeeded;
            let reason = match attempt.reason.as_str() {
                "" if succeeded => "Completed",
                "" => "Error",
                reason => reason,
            };
            // 128 and SIGKILL for what was ended without telling a code, as a kubelet does that lost a container.
            let code = attempt.exit_code.unwrap_or(if succeeded { 0 } else { 137 });
            times.insert("exitCode".to_owned(), code.into());
            times.insert("reason".to_owned(), reason.into());
            if !attempt.message.is_empty() {
                times.insert("message".to_owned(), attempt.message.as_str().into());
            }
            json!({"terminated": times})
        }
    }
}

fn conditions(attempt: &Attempt) -> Value {
    let condition = |kind: &str, holds: bool, at: Option<i64>, reason: &str, message: &str| {
        let mut condition = json!({"type": kind, "status": if holds { "True" } else { "False" }});
        for (field, text) in [("reason", reason), ("message", message)] {
            if !text.is_empty() {
                condition[field] = text.into();
            }
        }
        if let Some(at) = at {
            condition["lastTransitionTime"] = rfc3339(at).into();
        }
        condition
    };
    let begun = attempt.started_at;
    match attempt.phase {
        Phase::Pending if attempt.reason.is_empty() => json!([]),
        Phase::Pending => {
            let Attempt { reason, message, .. } = attempt;
            let message = if message.is_empty() { reason.clone() } else { format!("{reason}: {message}") };
            json!([condition("PodScheduled", false, None, "Unschedulable", &message)])
        }
        Phase::Succeeded | Phase::Failed if begun.is_none() => json!([]),
        phase => {
            let running = phase == Phase::Running;
            let at = if running { begun } else { attempt.finished_at };
            let reason = match phase {
                Phase::Succeeded => "PodCompleted",
                Phase::Failed => "PodFailed",
                Phase::Pending | Phase::Running => "",
            };
            json!([
                condition("PodScheduled", true, begun, "", ""),
                condition("Initialized", true, begun, if phase == Phase::Succeeded { reason } else { "" }, ""),
                condition("ContainersReady", running, at, reason, ""),
                condition("Ready", running, at, reason, ""),
            ])
        }
    }
}

/// Kubernetes' quality of service: limits for everything that equal the requests, something, or nothing.
fn quality(containers: &[Value]) -> &'static str {
    let amount = |container: &Value, list: &str, name: &str| container["resources"][list][name].clone();
    let asks = |container: &Value| {
        ["requests", "limits"]
            .iter()
            .any(|list| ["cpu", "memory"].iter().any(|name| !amount(container, list, name).is_null()))
    };
    let bound = |container: &Value| {
        ["cpu", "memory"].iter().all(|name| {
            let (request, limit) = (amount(container, "requests", name), amount(container, "limits", name));
            !limit.is_null() && (request.is_null() || request == limit)
        })
    };
    match () {
        () if !containers.iter().any(asks) => "BestEffort",
        () if containers.iter().all(bound) => "Guaranteed",
        () => "Burstable",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use mcplane_apimachinery::schema;

    use super::*;
    use crate::tasks::{Demand, Outcome, Retries, Spec, State};

    pub(crate) fn task(state: State) -> Task {
        let template = json!({
            "metadata": {
                "labels": {"job-name": "train"}, "generateName": "train-",
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "train", "uid": "u", "controller": true}],
            },
            "spec": {
                "restartPolicy": "Never",
                "containers": [{
                    "name": "main", "image": "conda:1", "command": ["python"],
                    "resources": {"requests": {"cpu": "1"}},
                }],
            },
        });
        Task {
            no: 7,
            id: "2b5c".to_owned(),
            namespace: Arc::from("ns"),
            queue: Arc::from("default"),
            name: "train".to_owned(),
            state,
            due_at: 0,
            priority: 5,
            attempt: i64::from(state as i64 > 1),
            attempts_left: 0,
            demand: Demand::default(),
            concurrency: None,
            owner: None,
            cancelled_by: None,
            node: Some(Arc::from("here")),
            trace: String::new(),
            created_by: "ann".to_owned(),
            created_at: 1_000,
            started_at: Some(2_000),
            finished_at: Some(5_000),
            exit_code: Some(i64::from(state == State::Failed)),
            reason: String::new(),
            message: String::new(),
            progress: None,
            spec: Spec {
                work: Work::Pod(template),
                code: None,
                fresh: None,
                timeout_ms: None,
                grace_ms: 30_000,
                retries: Retries::default(),
            },
        }
    }

    fn identity() -> Identity {
        Identity { uid: "p".to_owned(), name: "train-abcde".to_owned(), created_at: 1_000, deleted_at: None }
    }

    #[test]
    fn pods_obey_the_schema_of_kubernetes_in_every_state() {
        let schema = schema::builtin("", "v1", "Pod").unwrap();
        let all = [State::Waiting, State::Ready, State::Running, State::Succeeded, State::Failed, State::Cancelled];
        for state in all {
            for reason in ["", "InsufficientCpu", "DeadlineExceeded"] {
                let task = Task { reason: reason.to_owned(), message: "so".to_owned(), ..task(state) };
                for deleted_at in [None, Some(9_000)] {
                    let mut pod = object(&task, &Attempt::of(&task), &Identity { deleted_at, ..identity() });
                    mcplane_objects::object::set_type(&mut pod, "v1", "Pod");
                    assert_eq!(schema.validate(&pod), vec![], "{pod}");
                    assert_eq!(schema.unknown_fields(&pod), Vec::<String>::new(), "{pod}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_waits_with_the_reason() {
        let message = "4 cpu of 2 are asked for".to_owned();
        let task = Task { reason: "InsufficientCpu".to_owned(), message, ..task(State::Ready) };
        let pod = object(&task, &Attempt::of(&task), &identity());
        assert_eq!(pod["status"]["phase"], "Pending");
        let condition = &pod["status"]["conditions"][0];
        assert_eq!((&condition["type"], &condition["status"]), (&json!("PodScheduled"), &json!("False")));
        assert_eq!(condition["reason"], "Unschedulable");
        assert_eq!(condition["message"], "InsufficientCpu: 4 cpu of 2 are asked for");
        assert_eq!(pod["spec"]["nodeName"], Value::Null);
    }

    #[test]
    fn an_end_is_told_with_its_code() {
        let task = task(State::Running);
        let outcome = Outcome { exit_code: Some(3), reason: "Error".to_owned(), ..Outcome::default() };
        let pod = object(&task, &Attempt::ended(&task, &outcome, 65_000), &identity());
        let terminated = json!({
            "startedAt": "1970-01-01T00:00:02Z", "finishedAt": "1970-01-01T00:01:05Z", "exitCode": 3, "reason": "Error",
        });
        assert_eq!(pod["status"]["containerStatuses"][0]["state"], json!({ "terminated": terminated }));
        assert_eq!(pod["status"]["phase"], "Failed");
        assert_eq!(pod["status"]["reason"], Value::Null);
        assert_eq!(pod["spec"]["nodeName"], "here");
        assert_eq!(pod["metadata"]["ownerReferences"][0]["name"], "train");
        assert_eq!(pod["metadata"]["labels"]["job-name"], "train");
        let killed = Outcome { reason: "DeadlineExceeded".to_owned(), ..Outcome::default() };
        let pod = object(&task, &Attempt::ended(&task, &killed, 65_000), &identity());
        assert_eq!(pod["status"]["reason"], "DeadlineExceeded");
        assert_eq!(pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 137);
    }

    #[test]
    fn quality_is_what_kubernetes_says() {
        let of = |resources: Value| quality(&[json!({ "resources": resources })]);
        assert_eq!(of(json!({})), "BestEffort");
        assert_eq!(of(json!({"requests": {"cpu": "1"}})), "Burstable");
        assert_eq!(of(json!({"limits": {"cpu": "1", "memory": "1Gi"}})), "Guaranteed");
        assert_eq!(of(json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}})), "Burstable");
    }
}
