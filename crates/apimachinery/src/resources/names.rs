//! Which resource names exist, and where they may stand.

use crate::names::qualified_name;

const HUGEPAGES: &str = "hugepages-";
const REQUESTS: &str = "requests.";

const CONTAINER: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
const COUNTED: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];
const QUOTA: [&str; 7] = [
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];

/// Pages of a fixed size, which are never overcommitted.
pub(super) fn is_hugepages(name: &str) -> bool {
    name.starts_with(HUGEPAGES)
}

/// Without a domain, or in Kubernetes' own.
pub(super) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// A device or the like that somebody else defines, such as `nvidia.com/gpu`.
pub(super) fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with(REQUESTS) && qualified_name(&format!("{REQUESTS}{name}")).is_ok()
}

/// Whether limits above requests make sense.
pub(super) fn is_overcommit_allowed(name: &str) -> bool {
    is_native(name) && !is_hugepages(name)
}

/// Whether it is counted in whole things.
pub(super) fn is_integer(name: &str) -> bool {
    COUNTED.contains(&name) || is_extended(name)
}

/// Whether the quota system knows the name.
pub(super) fn is_standard_quota(name: &str) -> bool {
    CONTAINER.contains(&name)
        || COUNTED.contains(&name)
        || QUOTA.contains(&name)
        || is_hugepages(name.strip_prefix(REQUESTS).unwrap_or(name))
}

/// What is wrong with the name of any resource.
pub(super) fn any_faults(name: &str) -> Vec<String> {
    if let Err(fault) = qualified_name(name) {
        return vec![fault];
    }
    if !name.contains('/') && !is_standard_quota(name) && name != "storage" {
        return vec!["must be a standard resource type or fully qualified".to_owned()];
    }
    Vec::new()
}

/// What is wrong with a name in a ResourceQuota.
pub(super) fn quota_faults(name: &str) -> Vec<String> {
    let mut faults = any_faults(name);
    if !name.contains('/') && !is_standard_quota(name) {
        faults.push("must be a standard resource for quota".to_owned());
    }
    faults
}

/// What is wrong with a name in a container's requests and limits.
pub(super) fn container_faults(name: &str) -> Vec<String> {
    let mut faults = any_faults(name);
    if !name.contains('/') {
        if !CONTAINER.contains(&name) && !is_hugepages(name) {
            faults.push("must be a standard resource for containers".to_owned());
        }
    } else if !is_native(name) && !is_extended(name) {
        faults.push("doesn't follow extended resource name standard".to_owned());
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_places() {
        for good in ["requests.cpu", "pods", "count/deployments.apps", "requests.nvidia.com/gpu", "hugepages-2Mi"] {
            assert!(quota_faults(good).is_empty(), "{good}");
        }
        assert_eq!(
            quota_faults("gpus"),
            ["must be a standard resource type or fully qualified", "must be a standard resource for quota"]
        );
        assert_eq!(quota_faults("storage"), ["must be a standard resource for quota"]);
        assert_eq!(quota_faults("a b").len(), 2);
        assert!(container_faults("nvidia.com/gpu").is_empty() && container_faults("hugepages-1Gi").is_empty());
        assert_eq!(container_faults("pods"), ["must be a standard resource for containers"]);
        assert_eq!(container_faults("requests.nvidia.com/gpu"), ["doesn't follow extended resource name standard"]);
        assert!(is_extended("nvidia.com/gpu") && !is_extended("requests.nvidia.com/gpu") && !is_extended("cpu"));
        assert!(is_overcommit_allowed("cpu") && !is_overcommit_allowed("nvidia.com/gpu"));
    }
}
