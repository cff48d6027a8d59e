//! A step as a task of the scheduler: a pod's template, with what the step asks of the platform.

use mcplane_apimachinery::names;
use mcplane_scheduler::jobs::demand;
use mcplane_scheduler::tasks::{NewTask, Retries, Spec, Work};
use serde_json::{Map, Value, json};

use super::command::Launch;
use super::{PART_LABEL, RUN_LABEL, STEP, literal, owner};
use crate::kinds;
use crate::outputs;
use crate::run::{Resources, Step};
use crate::runs::RunRow;

/// Milliseconds between the wish to end a step and its being killed.
const GRACE_MS: i64 = 30_000;
/// Longest part of a pod's name that tells its run and task.
const LONGEST_PREFIX: usize = 56;
/// Attempts that the scheduler makes of one task.
const MOST_ATTEMPTS: i64 = 1_000;
/// What the platform of processes can't give, by the name that the SDK's extension has for it.
const REFUSED: [&str; 3] = ["pvcMount", "genericEphemeralVolume", "emptyDirMounts"];

/// The task that does a step.
///
/// # Errors
/// A sentence, for what the step asks and can't have here.
pub(super) fn new_task(
    run: &RunRow,
    step: &Step,
    launch: Launch,
    image: &str,
    tracked: &str,
) -> Result<NewTask, String> {
    let platform = step.platforms.get("kubernetes").and_then(Value::as_object).cloned().unwrap_or_default();
    if let Some(name) = REFUSED.into_iter().find(|name| platform.get(*name).is_some_and(|value| !is_empty(value))) {
        return Err(format!(
            "{name} is not supported: steps run as processes of this machine and share its files; use artifacts"
        ));
    }
    let mut env: Vec<Value> =
        vec![variable("MLFLOW_RUN_ID", tracked), variable("MLFLOW_EXPERIMENT_ID", &run.experiment)];
    env.retain(|variable| variable["value"] != "");
    env.extend(step.env.iter().chain(&launch.env).map(|(name, value)| variable(name, value)));
    env.extend(from_objects(&platform));
    let (volumes, mounts) = volumes(&platform);
    let words = |words: &[String]| words.iter().map(|word| literal(word)).collect::<Vec<_>>();
    let mut pod = json!({
        "restartPolicy": "Never",
        "containers": [{
            "name": "main",
            "image": image,
            "command": words(&launch.command),
            "args": words(&launch.args),
            "env": env,
            "resources": resources(&step.resources),
            "volumeMounts": mounts,
        }],
        "volumes": volumes,
    });
    if !run.asked.service_account.is_empty() {
        pod["serviceAccountName"] = run.asked.service_account.as_str().into();
    }
    let template = json!({"metadata": metadata(run, step), "spec": pod});
    let seconds = platform.get("activeDeadlineSeconds").and_then(Value::as_i64).filter(|seconds| *seconds > 0);
    let demand = demand(&template).map_err(|error| format!("the resources of the step: {error}"))?;
    let key = format!("pipeline/{}/{}", run.uid, step.node);
    // A node may lie so deep that its path is no key.
    let key = if key.len() <= 512 { key } else { format!("pipeline/{}", crate::records::run_id(&run.uid, &step.node)) };
    Ok(NewTask {
        name: named(&format!("{} {}", run.name, step.display_name)),
        queue: if run.asked.queue.is_empty() { "default".into() } else { run.asked.queue.as_str().into() },
        priority: 5,
        due_at: None,
        demand,
        concurrency: None,
        unique_key: Some(key.clone()),
        idempotency_key: Some(key),
        owner: Some(owner(&run.uid).into()),
        spec: Spec {
            work: Work::Pod(template),
            code: None,
            fresh: Some(outputs::fresh(step)),
            timeout_ms: seconds.map(|seconds| seconds.saturating_mul(1_000)),
            grace_ms: GRACE_MS,
            retries: retries(step),
        },
    })
}

fn named(text: &str) -> String {
    text[..text.floor_char_boundary(253)].to_owned()
}

fn variable(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty) || value.is_null()
}

fn retries(step: &Step) -> Retries {
    let ms = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let (initial_ms, max_ms) = (ms(step.retry.backoff), ms(step.retry.max_backoff));
    Retries {
        most_attempts: i64::from(step.retry.max_retries).saturating_add(1).min(MOST_ATTEMPTS),
        initial_ms: initial_ms.min(max_ms),
        factor: step.retry.factor.clamp(1.0, 100.0),
        max_ms,
    }
}

fn metadata(run: &RunRow, step: &Step) -> Value {
    let controller = json!({
        "apiVersion": format!("{}/{}", kinds::GROUP, kinds::VERSION), "kind": "PipelineRun", "name": run.name, "uid": run.uid,
        "controller": true, "blockOwnerDeletion": true,
    });
    json!({
        "generateName": prefix(&format!("{}-{}", run.name, step.task)),
        "labels": {PART_LABEL: STEP, RUN_LABEL: run.uid},
        "annotations": {"mcplane.io/pipeline-node": step.node.as_str(), "mcplane.io/pipeline-run": run.name},
        "ownerReferences": [controller],
    })
}

/// The beginning of a pod's name, as DNS allows.
fn prefix(text: &str) -> String {
    let mut name = String::with_capacity(LONGEST_PREFIX);
    for letter in text.chars().map(|letter| letter.to_ascii_lowercase()) {
        if name.len() >= LONGEST_PREFIX {
            break;
        }
        match letter {
            'a'..='z' | '0'..='9' => name.push(letter),
            _ if name.is_empty() || name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    let name = name.trim_matches('-');
    let name = if names::dns1123_label(name).is_ok() { name } else { "step" };
    format!("{name}-")
}

fn resources(asked: &Resources) -> Value {
    let mut lists = (Map::new(), Map::new());
    let mut put = |name: &str, request: &str, limit: &str| {
        // As Kubernetes has it, who says only what is the most asks for that.
        let request = if request.is_empty() { limit } else { request };
        for (list, amount) in [(&mut lists.0, request), (&mut lists.1, limit)] {
            if !amount.is_empty() {
                list.insert(name.to_owned(), amount.into());
            }
        }
    };
    put("cpu", &asked.cpu_request, &asked.cpu_limit);
    put("memory", &asked.memory_request, &asked.memory_limit);
    if !asked.accelerator_count.is_empty() && asked.accelerator_count != "0" {
        let kind = &asked.accelerator_type;
        let kind = if kind.contains('/') { kind.as_str() } else { "nvidia.com/gpu" };
        put(kind, "", &asked.accelerator_count);
    }
    json!({"requests": lists.0, "limits": lists.1})
}

/// The items of a list of the platform's settings.
fn items<'p>(platform: &'p Map<String, Value>, name: &str) -> impl Iterator<Item = &'p Value> {
    platform.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// A name that is given as it is, or as the value of a parameter.
fn name_of(item: &Value, plain: &str, parameter: &str) -> String {
    let given = item[plain].as_str().filter(|name| !name.is_empty());
    let constant = || item[parameter]["runtimeValue"]["constant"].as_str().or_else(|| item[parameter].as_str());
    given.or_else(constant).unwrap_or_default().to_owned()
}

/// Variables from secrets, config maps and the pod itself.
fn from_objects(platform: &Map<String, Value>) -> Vec<Value> {
    let mut env = Vec::new();
    for (list, name, parameter, key, reference) in [
        ("secretAsEnv", "secretName", "secretNameParameter", "secretKey", "secretKeyRef"),
        ("configMapAsEnv", "configMapName", "configMapNameParameter", "configMapKey", "configMapKeyRef"),
    ] {
        for item in items(platform, list) {
            let object = name_of(item, name, parameter);
            for pair in item["keyToEnv"].as_array().into_iter().flatten() {
                let source =
                    json!({"name": object, "key": pair[key], "optional": item["optional"].as_bool().unwrap_or(false)});
                env.push(json!({"name": pair["envVar"], "valueFrom": {reference: source}}));
            }
        }
    }
    for item in items(platform, "fieldPathAsEnv") {
        env.push(json!({"name": item["name"], "valueFrom": {"fieldRef": {"fieldPath": item["fieldPath"]}}}));
    }
    env
}

/// Files from secrets and config maps.
fn volumes(platform: &Map<String, Value>) -> (Vec<Value>, Vec<Value>) {
    let (mut volumes, mut mounts) = (Vec::new(), Vec::new());
    for (list, name, parameter, source, field) in [
        ("secretAsVolume", "secretName", "secretNameParameter", "secret", "secretName"),
        ("configMapAsVolume", "configMapName", "configMapNameParameter", "configMap", "name"),
    ] {
        for item in items(platform, list) {
            let volume = format!("volume-{}", volumes.len());
            let optional = item["optional"].as_bool().unwrap_or(false);
            let source_value = json!({field: name_of(item, name, parameter), "optional": optional});
            volumes.push(json!({"name": volume, source: source_value}));
            mounts.push(json!({"name": volume, "mountPath": item["mountPath"]}));
        }
    }
    (volumes, mounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pods_are_names() {
        for (text, name) in [("Run_1-for-loop[3]", "run-1-for-loop-3-"), ("--", "step-"), ("Ü", "step-")] {
            assert_eq!(prefix(text), name);
        }
        assert!(prefix(&"x".repeat(300)).len() <= LONGEST_PREFIX + 1);
    }

    #[test]
    fn what_is_limited_is_asked_for() {
        let asked = Resources { cpu_limit: "2".into(), memory_request: "1Gi".into(), ..Resources::default() };
        let expected = json!({"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"cpu": "2"}});
        assert_eq!(resources(&asked), expected);
        let asked = Resources { accelerator_count: "1".into(), accelerator_type: "T4".into(), ..Resources::default() };
        assert_eq!(resources(&asked)["limits"], json!({"nvidia.com/gpu": "1"}));
    }

    #[test]
    fn secrets_are_given_by_reference() {
        let platform = json!({"secretAsEnv": [
            {"secretName": "s", "keyToEnv": [{"secretKey": "k", "envVar": "TOKEN"}]},
            {"secretNameParameter": {"runtimeValue": {"constant": "t"}}, "keyToEnv": [{"secretKey": "k", "envVar": "B"}]},
        ]});
        let env = from_objects(platform.as_object().unwrap());
        let reference = json!({"name": "s", "key": "k", "optional": false});
        assert_eq!(env[0], json!({"name": "TOKEN", "valueFrom": {"secretKeyRef": reference}}));
        assert_eq!(env[1]["valueFrom"]["secretKeyRef"]["name"], "t");
    }
}
