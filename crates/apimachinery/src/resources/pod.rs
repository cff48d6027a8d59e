//! What a Pod asks for.

use mcplane_core::FieldError;
use mcplane_core::clock::{Timestamp, parse_rfc3339};
use serde_json::Value;

use super::{ResourceList, add_list, items, names, raise_to, read_list, refuse_negative};

/// What one container asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// The container's name.
    pub name: String,
    /// For init containers: whether it keeps running beside the others (`restartPolicy: Always`).
    pub sidecar: bool,
    /// Requests; a resource with a limit only requests the limit.
    pub requests: ResourceList,
    /// Limits.
    pub limits: ResourceList,
}

/// The parts of a Pod that quotas and limit ranges look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    /// Containers that run together.
    pub containers: Vec<Container>,
    /// Containers that run before, one after the other.
    pub init_containers: Vec<Container>,
    requests: ResourceList,
    limits: ResourceList,
    overhead: ResourceList,
    pub(super) has_deadline: bool,
    pub(super) crosses_namespaces: bool,
    pub(super) priority_class: Option<String>,
    finished: bool,
    gone_at: Option<Timestamp>,
}

impl Pod {
    /// Reads a Pod.
    ///
    /// # Errors
    /// Every amount that is no quantity, or is negative.
    pub fn from_object(pod: &Value) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let (spec, meta) = (&pod["spec"], &pod["metadata"]);
        let mut amounts = |value: &Value, path: &str| {
            let list = read_list(value, path, &mut errors);
            refuse_negative(&list, path, &mut errors);
            list
        };
        let requests = amounts(&spec["resources"]["requests"], "spec.resources.requests");
        let limits = amounts(&spec["resources"]["limits"], "spec.resources.limits");
        let overhead = amounts(&spec["overhead"], "spec.overhead");
        let mut containers = |field: &str| {
            let read = |(index, container): (usize, &Value)| {
                let at = |part: &str| format!("spec.{field}[{index}].resources.{part}");
                let resources = &container["resources"];
                let limits = amounts(&resources["limits"], &at("limits"));
                let mut requests = limits.clone();
                requests.extend(amounts(&resources["requests"], &at("requests")));
                let name = container["name"].as_str().unwrap_or_default().to_owned();
                Container { name, sidecar: container["restartPolicy"] == "Always", requests, limits }
            };
            items(&spec[field]).enumerate().map(read).collect()
        };
        let (containers, init_containers) = (containers("containers"), containers("initContainers"));
        if !errors.is_empty() {
            return Err(errors);
        }
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let deletion = meta["deletionTimestamp"].as_str().and_then(parse_rfc3339);
        let grace = meta["deletionGracePeriodSeconds"].as_i64();
        Ok(Self {
            containers,
            init_containers,
            requests,
            limits,
            overhead,
            has_deadline: spec["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0),
            crosses_namespaces: crosses_namespaces(&spec["affinity"]),
            priority_class: text(&spec["priorityClassName"]),
            finished: matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")),
            gone_at: deletion.zip(grace).map(|(at, grace)| at.saturating_add(grace.saturating_mul(1000))),
        })
    }

    /// All containers, the init containers last.
    pub fn all_containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().chain(&self.init_containers)
    }

    /// What the Pod needs at most at any time, with its overhead.
    pub fn requests(&self) -> ResourceList {
        let mut total = self.requests_without_overhead();
        add_list(&mut total, &self.overhead);
        total
    }

    /// What the Pod may use at most at any time, with its overhead where there is a limit at all.
    pub fn limits(&self) -> ResourceList {
        let mut total = self.limits_without_overhead();
        for (name, quantity) in &mut total {
            if let Some(overhead) = self.overhead.get(name).filter(|_| !quantity.is_zero()) {
                *quantity += *overhead;
            }
        }
        total
    }

    pub(super) fn requests_without_overhead(&self) -> ResourceList {
        let mut total = self.peak(|container| &container.requests);
        for (name, limit) in pod_level(&self.limits) {
            total.entry(name.clone()).or_insert(*limit);
        }
        total.extend(pod_level(&self.requests).map(|(name, quantity)| (name.clone(), *quantity)));
        total
    }

    pub(super) fn limits_without_overhead(&self) -> ResourceList {
        let mut total = self.peak(|container| &container.limits);
        total.extend(pod_level(&self.limits).map(|(name, quantity)| (name.clone(), *quantity)));
        total
    }

    /// The larger of what runs together and what runs at any time before. Sidecars start in their turn among the init
    /// containers and stay.
    fn peak<'a>(&'a self, list: impl Fn(&'a Container) -> &'a ResourceList) -> ResourceList {
        let mut together = ResourceList::new();
        for container in &self.containers {
            add_list(&mut together, list(container));
        }
        let (mut sidecars, mut before) = (ResourceList::new(), ResourceList::new());
        for container in &self.init_containers {
            let mut running = sidecars.clone();
            add_list(&mut running, list(container));
            raise_to(&mut before, &running);
            if container.sidecar {
                add_list(&mut together, list(container));
                sidecars = running;
            }
        }
        raise_to(&mut together, &before);
        together
    }

    /// Requests and limits of the Pod as a whole, where it states them.
    pub(super) fn own(&self) -> (&ResourceList, &ResourceList) {
        (&self.requests, &self.limits)
    }

    /// Whether nothing asks for processor or memory (the quality of service `BestEffort`).
    pub fn is_best_effort(&self) -> bool {
        let asks = |list: &ResourceList| {
            ["cpu", "memory"].iter().any(|name| list.get(*name).is_some_and(|quantity| !quantity.is_zero()))
        };
        let mut lists = self.all_containers().flat_map(|container| [&container.requests, &container.limits]);
        !asks(&self.requests) && !asks(&self.limits) && !lists.any(asks)
    }

    /// Whether the Pod still counts against quotas of compute resources: it has not finished, and its time to stop, if
    /// it is being deleted, is not over.
    pub fn is_charged(&self, now: Timestamp) -> bool {
        !self.finished && self.gone_at.is_none_or(|gone_at| now <= gone_at)
    }
}

fn pod_level(list: &ResourceList) -> impl Iterator<Item = (&String, &crate::quantity::Quantity)> {
    list.iter().filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory") || names::is_hugepages(name))
}

fn crosses_namespaces(affinity: &Value) -> bool {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    ["podAffinity", "podAntiAffinity"].iter().any(|side| {
        let side = &affinity[side];
        let mut terms = items(&side[REQUIRED]).chain(items(&side[PREFERRED]).map(|term| &term["podAffinityTerm"]));
        terms.any(|term| items(&term["namespaces"]).next().is_some() || !term["namespaceSelector"].is_null())
    })
}
