//! A job's pods as tasks.

use k8s_openapi::api::batch::v1::Job;
use mcplane_apimachinery::names;
use mcplane_apimachinery::quantity::Quantity;
use mcplane_apimachinery::resources::{Pod, ResourceList};
use mcplane_core::{Error, Result};
use mcplane_objects::object::ObjectExt as _;
use serde_json::{Value, json};

use super::decide::{NewPod, Piece};
use super::kind::{NAME_LABEL, UID_LABEL};
use super::template::GRACE_SECONDS;
use crate::processes::NO_IMAGE;
use crate::tasks::{Demand, NewTask, Retries, Spec, State, Task, Work};

/// Tasks of jobs belong to owners of this prefix and the job's uid.
pub(super) const OWNER: &str = "jobs.batch/";
/// Who ends tasks for the job itself.
pub(super) const BY_THE_JOB: &str = "system:mcplane:jobs";
/// Which completion of an indexed job a pod is for.
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// The label by which a job chooses its queue, as Kueue has it.
const QUEUE_LABEL: &str = "kueue.x-k8s.io/queue-name";
const QUEUE: &str = "default";
const PRIORITY: i64 = 5;

/// The owner of a job's tasks.
pub(super) fn owner(uid: &str) -> String {
    format!("{OWNER}{uid}")
}

/// The task for a pod that is to be, and the pod's name.
pub(super) fn new_task(job: &Job, pod: &NewPod) -> Result<(NewTask, String)> {
    let metadata = &job.metadata;
    let (name, uid) = (metadata.name.as_deref().unwrap_or_default(), metadata.uid.as_deref().unwrap_or_default());
    let spec = job.spec.as_ref().ok_or_else(|| Error::internal("a job without a spec"))?;
    let indexed = spec.completion_mode.as_deref() == Some("Indexed");
    let mut template = serde_json::to_value(&spec.template).map_err(Error::internal)?;
    let prefix = if indexed { format!("{name}-{}-", pod.index) } else { format!("{name}-") };
    let pod_name = names::generate_name(&prefix, rand::random);
    if !template.is_object() {
        return Err(Error::internal("a job without a template"));
    }
    let fields = template.metadata_mut();
    fields.insert("name".to_owned(), pod_name.as_str().into());
    fields.insert("generateName".to_owned(), prefix.into());
    let owner_reference = json!([{
        "apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid, "controller": true, "blockOwnerDeletion": true,
    }]);
    fields.insert("ownerReferences".to_owned(), owner_reference);
    let mut put = |field: &str, key: &str, value: &str| {
        let map = fields.entry(field).or_insert_with(|| json!({}));
        if let Some(map) = map.as_object_mut() {
            map.insert(key.to_owned(), value.into());
        }
    };
    put("labels", UID_LABEL, uid);
    put("labels", NAME_LABEL, name);
    if indexed {
        put("labels", INDEX, &pod.index.to_string());
        put("annotations", INDEX, &pod.index.to_string());
        tell_index(&mut template["spec"], pod.index);
    }
    let key = format!("{OWNER}{uid}/{}/{}", pod.index, pod.ordinal);
    let seconds = |field: &str| template["spec"][field].as_i64();
    let labels = metadata.labels.as_ref();
    let queue = labels.and_then(|labels| labels.get(QUEUE_LABEL)).map_or(QUEUE, String::as_str);
    let task = NewTask {
        name: name.to_owned(),
        queue: queue.into(),
        priority: PRIORITY,
        due_at: pod.not_before,
        demand: demand(&template)?,
        concurrency: None,
        unique_key: Some(key.clone()),
        idempotency_key: Some(key),
        owner: Some(owner(uid).into()),
        spec: Spec {
            code: None,
            fresh: None,
            timeout_ms: seconds("activeDeadlineSeconds").map(|seconds| seconds.saturating_mul(1000)),
            grace_ms: seconds("terminationGracePeriodSeconds").unwrap_or(GRACE_SECONDS).saturating_mul(1000),
            retries: Retries { most_attempts: 1, ..Retries::default() },
            work: Work::Pod(template),
        },
    };
    Ok((task, pod_name))
}

/// Has the containers know which completion they are for.
fn tell_index(spec: &mut Value, index: i64) {
    const VARIABLE: &str = "JOB_COMPLETION_INDEX";
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(container) = container.as_object_mut() else { continue };
            let env = container.entry("env").or_insert_with(|| json!([]));
            if let Some(env) = env.as_array_mut()
                && !env.iter().any(|variable| variable["name"] == VARIABLE)
            {
                env.push(json!({"name": VARIABLE, "value": index.to_string()}));
            }
        }
    }
}

/// What the pod of a template takes of a machine.
///
/// # Errors
/// [`Error::BadRequest`] for amounts that are no quantities.
pub fn demand(template: &Value) -> Result<Demand> {
    let pod = Pod::from_object(template).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Error::bad_request(faults.join(", "))
    })?;
    let requests = pod.requests();
    let amount = |name: &str| requests.get(name).copied().unwrap_or_default();
    Ok(Demand { cpu_milli: amount("cpu").milli(), memory: amount("memory").value(), gpu: devices(&requests) })
}

/// Devices of any maker.
fn devices(requests: &ResourceList) -> i64 {
    let gpus = requests.iter().filter(|(name, _)| name.ends_with("/gpu"));
    gpus.map(|(_, quantity): (_, &Quantity)| quantity.value()).sum()
}

/// A task as the decision sees it.
pub(super) fn piece(task: &Task) -> Piece {
    let index = match &task.spec.work {
        Work::Pod(template) => template["metadata"]["annotations"][INDEX].as_str().and_then(|index| index.parse().ok()),
        Work::Custom { .. } => None,
    };
    Piece {
        no: task.no,
        index: index.unwrap_or(0),
        state: task.state,
        cancelled: task.cancelled_by.is_some(),
        dropped: task.cancelled_by.as_deref() == Some(BY_THE_JOB),
        hopeless: task.state == State::Failed && task.reason == NO_IMAGE,
        finished_at: task.finished_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(spec: Value) -> Job {
        let mut job = json!({
            "metadata": {"name": "train", "uid": "u", "labels": {"kueue.x-k8s.io/queue-name": "gpu"}},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "activeDeadlineSeconds": 7, "containers": [{
                "name": "c", "image": "i",
                "resources": {"requests": {"cpu": "1500m", "memory": "1Gi"}, "limits": {"nvidia.com/gpu": "2"}},
            }]}}},
        });
        for (field, value) in spec.as_object().unwrap() {
            job["spec"][field] = value.clone();
        }
        serde_json::from_value(job).unwrap()
    }

    #[test]
    fn a_pod_is_a_task_with_one_attempt() {
        let pod = NewPod { index: 0, ordinal: 3, not_before: Some(9) };
        let (task, name) = new_task(&job(json!({})), &pod).unwrap();
        assert!(name.starts_with("train-") && name.len() == 11, "{name}");
        assert_eq!(task.demand, Demand { cpu_milli: 1500, memory: 1 << 30, gpu: 2 });
        assert_eq!(task.unique_key.as_deref(), Some("jobs.batch/u/0/3"));
        assert_eq!((task.owner.as_deref(), &*task.queue, task.due_at), (Some("jobs.batch/u"), "gpu", Some(9)));
        assert_eq!((task.spec.timeout_ms, task.spec.grace_ms), (Some(7_000), 30_000));
        let Work::Pod(template) = &task.spec.work else { panic!("a pod") };
        assert_eq!(template["metadata"]["name"], name);
        assert_eq!(template["metadata"]["ownerReferences"][0]["uid"], "u");
    }

    #[test]
    fn an_indexed_pod_knows_its_index() {
        let pod = NewPod { index: 4, ordinal: 0, not_before: None };
        let job = job(json!({"completionMode": "Indexed", "completions": 9}));
        let (task, name) = new_task(&job, &pod).unwrap();
        assert!(name.starts_with("train-4-"), "{name}");
        let Work::Pod(template) = &task.spec.work else { panic!("a pod") };
        assert_eq!(template["metadata"]["annotations"][INDEX], "4");
        let env = &template["spec"]["containers"][0]["env"];
        assert_eq!(env, &json!([{"name": "JOB_COMPLETION_INDEX", "value": "4"}]));
    }
}
