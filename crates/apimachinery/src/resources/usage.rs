//! What objects count for in a ResourceQuota, and whether that still fits.

use std::collections::{BTreeMap, BTreeSet};

use mcplane_core::Timestamp;

use super::{Pod, ResourceList, add_list, display_list, names};
use crate::quantity::{Format, Quantity};

/// Kubernetes demands these of every container when a quota names them, and calls that a mistake not to repeat.
const MUST_BE_STATED: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// Kinds of the core group that quotas also count under their plain names.
const COUNTED_BY_NAME: [&str; 6] =
    ["configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas", "secrets", "services"];

/// The names under which quotas count objects of a resource: `count/deployments.apps`, and for older kinds of the core
/// group also `configmaps`. Pods are not among the latter, because `pods` counts unfinished ones only: see
/// [`pod_usage`].
pub fn count_names(group: &str, resource: &str) -> Vec<String> {
    if !group.is_empty() {
        return vec![format!("count/{resource}.{group}")];
    }
    let mut names = vec![format!("count/{resource}")];
    if COUNTED_BY_NAME.contains(&resource) {
        names.push(resource.to_owned());
    }
    names
}

/// What a Pod counts for. A finished Pod still counts as a stored object.
pub fn pod_usage(pod: &Pod, now: Timestamp) -> ResourceList {
    let one = Quantity::from_units(1, Format::DecimalSi);
    let mut usage = ResourceList::from([("count/pods".to_owned(), one)]);
    if pod.is_charged(now) {
        usage.insert("pods".to_owned(), one);
        usage.extend(compute_usage(&pod.requests(), &pod.limits()));
    }
    usage
}

/// Requests and limits under the names that quotas have for them.
fn compute_usage(requests: &ResourceList, limits: &ResourceList) -> ResourceList {
    let mut usage = ResourceList::new();
    for (name, quantity) in requests {
        let standard = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || names::is_hugepages(name);
        if standard {
            usage.insert(name.clone(), *quantity);
        }
        if standard || names::is_extended(name) {
            usage.insert(format!("requests.{name}"), *quantity);
        }
    }
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(quantity) = limits.get(name) {
            usage.insert(format!("limits.{name}"), *quantity);
        }
    }
    usage
}

/// Whether every container states what a quota with these names demands.
///
/// # Errors
/// `must specify limits.cpu for: a,b; requests.memory for: b`
pub fn check_stated(hard: &ResourceList, pod: &Pod) -> Result<(), String> {
    let (requests, limits) = pod.own();
    let stated_by_pod = compute_usage(requests, limits);
    let demanded = |name: &&str| hard.contains_key(*name) && !stated_by_pod.contains_key(*name);
    let demanded: Vec<&str> = MUST_BE_STATED.into_iter().filter(demanded).collect();

    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in pod.all_containers() {
        let stated = compute_usage(&container.requests, &container.limits);
        for name in demanded.iter().filter(|name| !stated.contains_key(**name)) {
            missing.entry(*name).or_default().insert(container.name.as_str());
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let list = |(name, containers): (&str, BTreeSet<&str>)| {
        let containers: Vec<&str> = containers.into_iter().collect();
        format!("{name} for: {}", containers.join(","))
    };
    let missing: Vec<String> = missing.into_iter().map(list).collect();
    Err(format!("must specify {}", missing.join("; ")))
}

/// Whether `delta` more than `used` fits into `hard`, and the new usage if so. Names that the quota does not have
/// don't matter, and nothing that shrinks is refused, so that an overfull quota can be emptied.
///
/// # Errors
/// `exceeded quota: NAME, requested: …, used: …, limited: …` with the resources that do not fit.
pub fn check(
    name: &str,
    hard: &ResourceList,
    used: &ResourceList,
    delta: &ResourceList,
) -> Result<ResourceList, String> {
    let delta: ResourceList =
        delta.iter().filter(|(name, _)| hard.contains_key(*name)).map(|(name, by)| (name.clone(), *by)).collect();
    let mut after = used.clone();
    add_list(&mut after, &delta);

    let exceeds = |resource: &String, by: &Quantity| *by > Quantity::ZERO && after.get(resource) > hard.get(resource);
    let exceeded: BTreeSet<&String> =
        delta.iter().filter(|(resource, by)| exceeds(resource, by)).map(|(resource, _)| resource).collect();
    if exceeded.is_empty() {
        return Ok(after);
    }
    let part = |list: &ResourceList| {
        let known = |resource: &&String| ((*resource).clone(), list.get(*resource).copied().unwrap_or_default());
        display_list(&exceeded.iter().map(known).collect())
    };
    let (requested, used, limited) = (part(&delta), part(used), part(hard));
    Err(format!("exceeded quota: {name}, requested: {requested}, used: {used}, limited: {limited}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::parse_list;
    use super::*;

    fn list(value: &Value) -> ResourceList {
        parse_list(value, "list").unwrap()
    }

    fn usage(pod: &Value) -> Value {
        let pod = Pod::from_object(pod).unwrap();
        let usage = pod_usage(&pod, 1_700_000_000_000);
        serde_json::to_value(usage).unwrap()
    }

    /// A training Pod: a data fetcher, a logging sidecar, the trainer with a GPU and a metrics exporter, in a sandbox.
    fn training_pod() -> Value {
        json!({
            "metadata": {"name": "train-1", "namespace": "development"},
            "spec": {
                "restartPolicy": "Never",
                "overhead": {"cpu": "100m", "memory": "64Mi"},
                "initContainers": [
                    {"name": "fetch", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}},
                    {"name": "logs", "restartPolicy": "Always",
                     "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "200m", "memory": "128Mi"}}},
                    {"name": "unpack", "resources": {"requests": {"cpu": "1", "memory": "6Gi"}, "limits": {"memory": "6Gi"}}}
                ],
                "containers": [
                    {"name": "train", "resources": {
                        "requests": {"cpu": "2", "memory": "4Gi", "ephemeral-storage": "10Gi"},
                        "limits": {"cpu": "4", "memory": "4Gi", "nvidia.com/gpu": 1}}},
                    {"name": "metrics", "resources": {"limits": {"cpu": "50m", "memory": "32Mi"}}}
                ]
            }
        })
    }

    #[test]
    fn a_pod_counts_for_its_peak() {
        assert_eq!(
            usage(&training_pod()),
            json!({
                "count/pods": "1",
                "pods": "1",
                // train 2 + metrics 50m + logs 100m + overhead 100m
                "cpu": "2250m",
                "requests.cpu": "2250m",
                // unpack 6Gi beside logs 128Mi is more than all that runs later; + overhead 64Mi
                "memory": "6336Mi",
                "requests.memory": "6336Mi",
                "ephemeral-storage": "10Gi",
                "requests.ephemeral-storage": "10Gi",
                "requests.nvidia.com/gpu": "1",
                // train 4 + metrics 50m + logs 200m + overhead 100m
                "limits.cpu": "4350m",
                "limits.memory": "6336Mi"
            })
        );
    }

    #[test]
    fn finished_and_expired_pods_are_only_stored() {
        for change in [
            json!({"status": {"phase": "Succeeded"}}),
            json!({"status": {"phase": "Failed"}}),
            json!({"metadata": {"deletionTimestamp": "2023-11-14T22:13:00Z", "deletionGracePeriodSeconds": 10}}),
        ] {
            let mut pod = training_pod();
            for (key, value) in change.as_object().unwrap() {
                pod[key] = value.clone();
            }
            assert_eq!(usage(&pod), json!({"count/pods": "1"}), "{change}");
        }
        let mut pod = training_pod();
        pod["metadata"] = json!({"deletionTimestamp": "2023-11-14T22:13:00Z", "deletionGracePeriodSeconds": 30});
        assert_eq!(usage(&pod)["pods"], "1");
    }

    #[test]
    fn the_pods_own_amounts_win() {
        let mut pod = training_pod();
        pod["spec"]["resources"] = json!({"requests": {"cpu": "8"}, "limits": {"cpu": "8", "memory": "16Gi"}});
        let usage = usage(&pod);
        assert_eq!(usage["requests.cpu"], "8100m");
        assert_eq!(usage["limits.memory"], "16448Mi");
        assert_eq!(usage["requests.memory"], "6336Mi");
        assert_eq!(usage["requests.nvidia.com/gpu"], "1");
    }

    #[test]
    fn huge_pages_and_unknown_names() {
        let pod = json!({"spec": {"containers": [{"name": "c", "resources": {
            "requests": {"hugepages-2Mi": "4Mi", "example.com/fpga": "2"}, "limits": {"hugepages-2Mi": "4Mi"}}}]}});
        assert_eq!(
            usage(&pod),
            json!({"count/pods": "1", "pods": "1", "hugepages-2Mi": "4Mi", "requests.hugepages-2Mi": "4Mi",
                   "requests.example.com/fpga": "2"})
        );
    }

    #[test]
    fn amounts_must_be_quantities_and_not_negative() {
        let pod = json!({"spec": {
            "overhead": [],
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "-1", "memory": "lots"}}}]
        }});
        let errors: Vec<String> = Pod::from_object(&pod).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(errors[0], "spec.overhead: Invalid value: must be an object of quantities");
        assert!(errors[1].starts_with(
            "spec.containers[0].resources.requests[memory]: Invalid value: \"lots\": quantities must match"
        ));
        assert_eq!(
            errors[2],
            "spec.containers[0].resources.requests[cpu]: Invalid value: \"-1\": must be greater than or equal to 0"
        );
    }

    #[test]
    fn containers_state_what_the_quota_names() {
        let hard = list(&json!({
            "requests.cpu": "2", "requests.memory": "2Gi", "limits.cpu": "4", "limits.memory": "4Gi", "pods": "9",
            "requests.ephemeral-storage": "1Gi"
        }));
        let pod = Pod::from_object(&training_pod()).unwrap();
        assert_eq!(
            check_stated(&hard, &pod).unwrap_err(),
            "must specify limits.cpu for: fetch,unpack; limits.memory for: fetch"
        );
        let bare =
            json!({"spec": {"containers": [{"name": "c1"}, {"name": "c2", "resources": {"limits": {"cpu": 1}}}]}});
        assert_eq!(
            check_stated(&hard, &Pod::from_object(&bare).unwrap()).unwrap_err(),
            "must specify limits.cpu for: c1; limits.memory for: c1,c2; requests.cpu for: c1; requests.memory for: c1,c2"
        );
        let mut whole = bare;
        whole["spec"]["resources"] =
            json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}});
        assert_eq!(check_stated(&hard, &Pod::from_object(&whole).unwrap()), Ok(()));
        assert_eq!(check_stated(&list(&json!({"pods": "1"})), &pod), Ok(()));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let hard = list(&json!({"requests.cpu": "2", "requests.memory": "2Gi", "pods": "5"}));
        let used = list(&json!({"requests.cpu": "1500m", "requests.memory": "1Gi"}));
        let delta = list(&json!({"requests.cpu": "500m", "requests.memory": "512Mi", "pods": "1", "limits.cpu": "9"}));
        let after = check("dev-quota", &hard, &used, &delta).unwrap();
        assert_eq!(display_list(&after), "pods=1,requests.cpu=2,requests.memory=1536Mi");
        assert_eq!(
            check("dev-quota", &hard, &after, &list(&json!({"requests.cpu": "1", "pods": "1"}))).unwrap_err(),
            "exceeded quota: dev-quota, requested: requests.cpu=1, used: requests.cpu=2, limited: requests.cpu=2"
        );
        assert_eq!(
            check("q", &hard, &ResourceList::new(), &list(&json!({"requests.memory": "4Gi", "pods": 6}))).unwrap_err(),
            "exceeded quota: q, requested: pods=6,requests.memory=4Gi, used: pods=0,requests.memory=0, \
             limited: pods=5,requests.memory=2Gi"
        );
    }

    #[test]
    fn an_overfull_quota_can_be_emptied() {
        let hard = list(&json!({"pods": "1"}));
        let used = list(&json!({"pods": "5"}));
        let after = check("q", &hard, &used, &list(&json!({"pods": "-1"}))).unwrap();
        assert_eq!(display_list(&after), "pods=4");
        assert!(check("q", &hard, &used, &list(&json!({"pods": "0"}))).is_ok());
    }

    #[test]
    fn objects_are_counted_by_resource() {
        assert_eq!(count_names("apps", "deployments"), ["count/deployments.apps"]);
        assert_eq!(count_names("", "configmaps"), ["count/configmaps", "configmaps"]);
        assert_eq!(count_names("", "pods"), ["count/pods"]);
    }

    fn amounts() -> impl Strategy<Value = Value> {
        prop::collection::btree_map(prop::sample::select(&["cpu", "memory", "nvidia.com/gpu"][..]), 0_u32..1000, 0..3)
            .prop_map(|map| serde_json::to_value(map).unwrap())
    }

    proptest! {
        #[test]
        fn a_pod_never_counts_for_less_than_one_of_its_containers(
            containers in prop::collection::vec((amounts(), amounts()), 1..4),
            init in prop::collection::vec((amounts(), amounts(), any::<bool>()), 0..4),
        ) {
            let resources = |(requests, limits): &(Value, Value)| json!({"resources": {"requests": requests, "limits": limits}});
            let init: Vec<Value> = init.into_iter().map(|(requests, limits, sidecar)| {
                let mut container = resources(&(requests, limits));
                if sidecar { container["restartPolicy"] = json!("Always"); }
                container
            }).collect();
            let containers: Vec<Value> = containers.iter().map(resources).collect();
            let pod = Pod::from_object(&json!({"spec": {"containers": containers, "initContainers": init}})).unwrap();
            let (requests, limits) = (pod.requests(), pod.limits());
            for container in pod.all_containers() {
                for (name, quantity) in &container.requests { prop_assert!(requests[name] >= *quantity); }
                for (name, quantity) in &container.limits { prop_assert!(limits[name] >= *quantity); }
            }
        }

        #[test]
        fn usage_never_grows_beyond_the_quota(steps in prop::collection::vec(-20_i64..40, 0..30)) {
            let hard = list(&json!({"requests.cpu": "100"}));
            let mut used = ResourceList::new();
            for step in steps {
                if let Ok(after) = check("q", &hard, &used, &list(&json!({"requests.cpu": step}))) {
                    used = after;
                }
                prop_assert!(used.get("requests.cpu").copied().unwrap_or_default() <= hard["requests.cpu"]);
            }
        }
    }
}
