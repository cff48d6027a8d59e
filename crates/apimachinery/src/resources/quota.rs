//! ResourceQuota: the rules of its `spec`, which Pods it is about, and whether one more is admitted.

use std::collections::BTreeSet;

use mcplane_core::{FieldError, FieldReason, Timestamp};
use serde_json::Value;

use super::{Pod, Refusal, ResourceList, items, names, parse_list, read_list, refuse_negative, usage};
use crate::selector::LabelTest;

/// Pods that a quota can be restricted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Terminating,
    NotTerminating,
    BestEffort,
    NotBestEffort,
    PriorityClass,
    CrossNamespacePodAffinity,
}

const COMPUTE: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

impl Scope {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "Terminating" => Self::Terminating,
            "NotTerminating" => Self::NotTerminating,
            "BestEffort" => Self::BestEffort,
            "NotBestEffort" => Self::NotBestEffort,
            "PriorityClass" => Self::PriorityClass,
            "CrossNamespacePodAffinity" => Self::CrossNamespacePodAffinity,
            _ => return None,
        })
    }

    /// Best-effort Pods ask for nothing, so there is nothing but their number to limit.
    fn applies_to(self, resource: &str) -> bool {
        resource == "pods" || self != Self::BestEffort && COMPUTE.contains(&resource)
    }

    fn holds(self, test: &LabelTest, pod: &Pod) -> bool {
        match self {
            Self::Terminating => pod.has_deadline,
            Self::NotTerminating => !pod.has_deadline,
            Self::BestEffort => pod.is_best_effort(),
            Self::NotBestEffort => !pod.is_best_effort(),
            Self::PriorityClass => test.passes(pod.priority_class.as_deref()),
            Self::CrossNamespacePodAffinity => pod.crosses_namespaces,
        }
    }
}

/// A ResourceQuota, ready to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    name: String,
    hard: ResourceList,
    used: ResourceList,
    scopes: Vec<(Scope, LabelTest)>,
}

impl Quota {
    /// Reads a ResourceQuota: limits from `spec.hard`, usage from `status.used`.
    ///
    /// # Errors
    /// Every rule of its `spec` that is broken.
    pub fn from_object(object: &Value) -> Result<Self, Vec<FieldError>> {
        let spec = &object["spec"];
        let mut errors = validate_spec(spec);
        let used = read_list(&object["status"]["used"], "status.used", &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        Ok(Self { name, hard: parse_list(&spec["hard"], "spec.hard")?, used, scopes: scopes(spec) })
    }

    /// The quota's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The limits.
    pub fn hard(&self) -> &ResourceList {
        &self.hard
    }

    /// The usage as last recorded.
    pub fn used(&self) -> &ResourceList {
        &self.used
    }

    /// Whether the quota is about some Pods only, and so about nothing but Pods.
    pub fn is_scoped(&self) -> bool {
        !self.scopes.is_empty()
    }

    /// Whether the quota is about this Pod.
    pub fn matches(&self, pod: &Pod) -> bool {
        self.scopes.iter().all(|(scope, test)| scope.holds(test, pod))
    }

    /// The usage after `delta` more.
    ///
    /// # Errors
    /// What does not fit; see [`usage::check`].
    pub fn charge(&self, delta: &ResourceList) -> Result<ResourceList, String> {
        usage::check(&self.name, &self.hard, &self.used, delta)
    }

    /// The usage after one more Pod; `None` if the quota is not about it.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`] if a container leaves out what the quota demands, or the Pod does not fit.
    pub fn admit_pod(&self, pod: &Pod, now: Timestamp) -> Result<Option<ResourceList>, Refusal> {
        if !self.matches(pod) {
            return Ok(None);
        }
        usage::check_stated(&self.hard, pod)
            .map_err(|reason| Refusal::Forbidden(format!("failed quota: {}: {reason}", self.name)))?;
        self.charge(&usage::pod_usage(pod, now)).map(Some).map_err(Refusal::Forbidden)
    }
}

/// The scopes of a valid `spec`, both from `scopes` and from `scopeSelector`.
fn scopes(spec: &Value) -> Vec<(Scope, LabelTest)> {
    let plain = items(&spec["scopes"]).filter_map(|name| Some((Scope::from_name(name.as_str()?)?, LabelTest::Exists)));
    let selected = items(&spec["scopeSelector"]["matchExpressions"]).filter_map(|expression| {
        let scope = Scope::from_name(expression["scopeName"].as_str()?)?;
        let values = || items(&expression["values"]).filter_map(Value::as_str).map(str::to_owned).collect();
        let test = match expression["operator"].as_str()? {
            "In" => LabelTest::In(values()),
            "NotIn" => LabelTest::NotIn(values()),
            "DoesNotExist" => LabelTest::DoesNotExist,
            _ => LabelTest::Exists,
        };
        Some((scope, test))
    });
    plain.chain(selected).collect()
}

/// Every rule that the `spec` of a ResourceQuota breaks.
pub fn validate_spec(spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    validate_amounts(&spec["hard"], "spec.hard", &mut errors);
    validate_scopes(spec, &mut errors);
    validate_scope_selector(spec, &mut errors);
    errors
}

/// Every rule that `new` breaks as the next `spec` after `old`.
pub fn validate_spec_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = validate_spec(new);
    let names = |spec: &Value| items(&spec["scopes"]).map(ToString::to_string).collect::<BTreeSet<_>>();
    if names(new) != names(old) {
        errors.push(FieldError::invalid("spec.scopes", new["scopes"].clone(), "field is immutable"));
    }
    errors
}

/// Every rule that the `status` of a ResourceQuota breaks.
pub fn validate_status(status: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    validate_amounts(&status["hard"], "status.hard", &mut errors);
    validate_amounts(&status["used"], "status.used", &mut errors);
    errors
}

fn validate_amounts(amounts: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let list = read_list(amounts, path, errors);
    refuse_negative(&list, path, errors);
    for (name, quantity) in &list {
        let at = || format!("{path}[{name}]");
        let faults = names::quota_faults(name);
        errors.extend(faults.into_iter().map(|fault| FieldError::invalid(at(), name.as_str(), fault)));
        if names::is_integer(name) && quantity.milli() % 1000 != 0 {
            errors.push(FieldError::invalid(at(), *quantity, "must be an integer"));
        }
    }
}

fn resources_outside(scope: Option<Scope>, spec: &Value) -> usize {
    let hard = spec["hard"].as_object().into_iter().flat_map(serde_json::Map::keys);
    hard.filter(|name| names::is_standard_quota(name) && scope.is_some_and(|scope| !scope.applies_to(name))).count()
}

fn conflict(scopes: &BTreeSet<Scope>) -> bool {
    let both = |a, b| scopes.contains(&a) && scopes.contains(&b);
    both(Scope::BestEffort, Scope::NotBestEffort) || both(Scope::Terminating, Scope::NotTerminating)
}

fn validate_scopes(spec: &Value, errors: &mut Vec<FieldError>) {
    const FIELD: &str = "spec.scopes";
    let all = &spec["scopes"];
    if !matches!(all, Value::Null | Value::Array(_)) {
        errors.push(FieldError::new(FIELD, FieldReason::TypeInvalid, "must be an array"));
    }
    let mut fault = |detail: &str| errors.push(FieldError::invalid(FIELD, all.clone(), detail));
    let mut known = BTreeSet::new();
    for name in items(all) {
        let scope = name.as_str().and_then(Scope::from_name);
        if scope.is_none() {
            fault("unsupported scope");
        }
        (0..resources_outside(scope, spec)).for_each(|_| fault("unsupported scope applied to resource"));
        known.extend(scope);
    }
    if conflict(&known) {
        fault("conflicting scopes");
    }
}

fn validate_scope_selector(spec: &Value, errors: &mut Vec<FieldError>) {
    const FIELD: &str = "spec.scopeSelector.matchExpressions";
    let selector = &spec["scopeSelector"];
    let mut known = BTreeSet::new();
    for expression in items(&selector["matchExpressions"]) {
        let mut fault = |part: &str, value: &Value, detail: &str| {
            errors.push(FieldError::invalid(format!("{FIELD}{part}"), value.clone(), detail));
        };
        let scope = expression["scopeName"].as_str().and_then(Scope::from_name);
        if scope.is_none() {
            fault(".scopeName", &expression["scopeName"], "unsupported scope");
        }
        for _ in 0..resources_outside(scope, spec) {
            fault("", selector, "unsupported scope applied to resource");
        }
        let (operator, values) = (&expression["operator"], &expression["values"]);
        if scope.is_some_and(|scope| scope != Scope::PriorityClass) && operator != "Exists" {
            let detail = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, \
                          ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, \
                          ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            fault(".operator", operator, detail);
        }
        let empty = items(values).next().is_none();
        match operator.as_str() {
            Some("In" | "NotIn") if empty => {
                let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.push(FieldError::required(format!("{FIELD}.values"), detail));
            }
            Some("Exists" | "DoesNotExist") if !empty => {
                let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                fault(".values", values, detail);
            }
            Some("In" | "NotIn" | "Exists" | "DoesNotExist") => {}
            _ => fault(".operator", operator, "not a valid selector operator"),
        }
        known.extend(scope);
    }
    if conflict(&known) {
        errors.push(FieldError::invalid("spec.scopeSelector", selector.clone(), "conflicting scopes"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::display_list;
    use super::*;

    fn quota(spec: &Value, used: &Value) -> Quota {
        let object = json!({"metadata": {"name": "dev-quota"}, "spec": spec, "status": {"used": used}});
        Quota::from_object(&object).unwrap()
    }

    fn pod(spec: &Value) -> Pod {
        Pod::from_object(&json!({"spec": spec})).unwrap()
    }

    fn faults(spec: &Value) -> Vec<String> {
        validate_spec(spec).iter().map(ToString::to_string).collect()
    }

    fn development() -> Value {
        json!({"hard": {"requests.cpu": "2", "requests.memory": "2Gi", "limits.cpu": "4", "limits.memory": "4Gi"}})
    }

    #[test]
    fn a_namespace_fills_up() {
        let trainer = pod(&json!({"containers": [{"name": "c1", "resources": {
            "requests": {"cpu": "1", "memory": "512Mi"}, "limits": {"cpu": "2", "memory": "1Gi"}}}]}));
        let empty = quota(&development(), &json!({}));
        let used = empty.admit_pod(&trainer, 0).unwrap().unwrap();
        assert_eq!(display_list(&used), "limits.cpu=2,limits.memory=1Gi,requests.cpu=1,requests.memory=512Mi");
        let full = quota(&development(), &json!({"requests.cpu": "2", "limits.cpu": "3"}));
        assert_eq!(
            full.admit_pod(&trainer, 0).unwrap_err(),
            Refusal::Forbidden(
                "exceeded quota: dev-quota, requested: limits.cpu=2,requests.cpu=1, \
                 used: limits.cpu=3,requests.cpu=2, limited: limits.cpu=4,requests.cpu=2"
                    .to_owned()
            )
        );
    }

    #[test]
    fn what_is_left_out_is_asked_for() {
        let sloppy = pod(&json!({"containers": [{"name": "c1", "resources": {
            "requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}}]}));
        let refusal = quota(&development(), &json!({})).admit_pod(&sloppy, 0).unwrap_err();
        let error = refusal.into_error(mcplane_core::Subject::new("", "pods", "train-1"));
        assert_eq!(error.http_status(), 403);
        assert_eq!(
            error.to_string(),
            "pods \"train-1\" is forbidden: failed quota: dev-quota: must specify limits.cpu for: c1"
        );
    }

    #[test]
    fn scopes_choose_pods() {
        let plain = pod(&json!({"containers": [{"name": "c"}]}));
        let busy = pod(&json!({
            "activeDeadlineSeconds": 60, "priorityClassName": "high",
            "containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}}],
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "podAffinityTerm": {"namespaces": ["other"]}}]}}
        }));
        let class = |operator: &str, values: &Value| {
            let expression = json!({"scopeName": "PriorityClass", "operator": operator, "values": values});
            json!({"hard": {"pods": 1}, "scopeSelector": {"matchExpressions": [expression]}})
        };
        let scope = |name: &str| json!({"hard": {"pods": 1}, "scopes": [name]});
        for (spec, matches_plain, matches_busy) in [
            (json!({"hard": {"pods": 1}}), true, true),
            (scope("Terminating"), false, true),
            (scope("NotTerminating"), true, false),
            (scope("BestEffort"), true, false),
            (scope("NotBestEffort"), false, true),
            (scope("PriorityClass"), false, true),
            (scope("CrossNamespacePodAffinity"), false, true),
            (class("In", &json!(["high", "low"])), false, true),
            (class("In", &json!(["low"])), false, false),
            (class("NotIn", &json!(["high"])), true, false),
            (class("Exists", &json!([])), false, true),
            (class("DoesNotExist", &json!(null)), true, false),
        ] {
            let quota = quota(&spec, &json!({}));
            assert_eq!((quota.matches(&plain), quota.matches(&busy)), (matches_plain, matches_busy), "{spec}");
            assert_eq!(quota.admit_pod(&plain, 0).unwrap().is_some(), matches_plain, "{spec}");
            assert_eq!(quota.is_scoped(), spec.get("scopes").or(spec.get("scopeSelector")).is_some());
        }
    }

    #[test]
    fn limits_have_known_names_and_sane_amounts() {
        assert_eq!(faults(&development()), Vec::<String>::new());
        assert_eq!(
            faults(&json!({"hard": {"count/x.example.com": "3", "requests.nvidia.com/gpu": "4", "configmaps": 10}})),
            Vec::<String>::new()
        );
        assert_eq!(
            faults(&json!({"hard": {"cpu": "-1", "gpus": "1", "pods": "1500m", "memory": "much"}})),
            [
                "spec.hard[memory]: Invalid value: \"much\": quantities must match the regular expression \
                 '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
                "spec.hard[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
                "spec.hard[gpus]: Invalid value: \"gpus\": must be a standard resource type or fully qualified",
                "spec.hard[gpus]: Invalid value: \"gpus\": must be a standard resource for quota",
                "spec.hard[pods]: Invalid value: \"1500m\": must be an integer",
            ]
        );
        assert_eq!(faults(&json!({"hard": []})), ["spec.hard: Invalid value: must be an object of quantities"]);
        assert_eq!(validate_status(&json!({"hard": {"pods": 1}, "used": {"pods": "-1"}})).len(), 1);
    }

    #[test]
    fn scopes_fit_their_resources() {
        assert_eq!(
            faults(&json!({"hard": {"cpu": 1, "configmaps": 1}, "scopes": ["BestEffort", "NotBestEffort", "Odd"]})),
            [
                "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Odd\"]: unsupported scope applied to resource",
                "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Odd\"]: unsupported scope applied to resource",
                "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Odd\"]: unsupported scope applied to resource",
                "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Odd\"]: unsupported scope",
                "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"Odd\"]: conflicting scopes",
            ]
        );
        let errors = faults(&json!({"scopeSelector": {"matchExpressions": [
            {"scopeName": "Terminating", "operator": "In"},
            {"scopeName": "PriorityClass", "operator": "Exists", "values": ["x"]},
            {"scopeName": "PriorityClass", "operator": "Like"},
            {"scopeName": "NotTerminating", "operator": "Exists"},
            {}
        ]}}));
        for (index, part) in [
            "operator: Invalid value: \"In\": must be 'Exist' when",
            "values: Required value: must be at least one value",
            "values: Invalid value: [\"x\"]: must be no value",
            "operator: Invalid value: \"Like\": not a valid selector operator",
            "scopeName: Invalid value: null: unsupported scope",
            "operator: Invalid value: null: not a valid selector operator",
            "conflicting scopes",
        ]
        .iter()
        .enumerate()
        {
            assert!(errors[index].contains(part), "{}", errors[index]);
        }
    }

    #[test]
    fn scopes_stay() {
        let (old, new) = (json!({"scopes": ["Terminating"]}), json!({"scopes": ["BestEffort"]}));
        assert!(validate_spec_update(&old, &old).is_empty());
        assert_eq!(
            validate_spec_update(&new, &old)[0].to_string(),
            "spec.scopes: Invalid value: [\"BestEffort\"]: field is immutable"
        );
    }
}
