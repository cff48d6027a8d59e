//! Compute resources: what a Pod uses, and what ResourceQuota and LimitRange say to it. Pure functions over JSON
//! objects, so that anything with a Pod's shape can be judged.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use mcplane_core::{Error, FieldError, FieldReason, Subject};
use serde_json::Value;

use crate::quantity::Quantity;

pub mod limits;
mod names;
mod pod;
pub mod quota;
pub mod usage;

pub use pod::{Container, Pod};

/// Quantities by resource name, such as `cpu` or `requests.nvidia.com/gpu`.
pub type ResourceList = BTreeMap<String, Quantity>;

/// Why an object is not admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The object, or the policy, breaks rules of its kind.
    Malformed(Vec<FieldError>),
    /// A policy forbids it; the sentence is Kubernetes'.
    Forbidden(String),
}

impl Refusal {
    /// The error for the client: 422 for what is malformed, 403 with `SUBJECT is forbidden: …` for what is forbidden.
    pub fn into_error(self, subject: Subject) -> Error {
        match self {
            Self::Malformed(causes) => Error::Invalid { subject, causes },
            Self::Forbidden(reason) => {
                let message = format!("{subject} is forbidden: {reason}");
                Error::Forbidden { subject, message }
            }
        }
    }
}

/// Reads a JSON object of quantities; `path` is where it stands. Absence is an empty list.
///
/// # Errors
/// Every entry that is no quantity.
pub fn parse_list(value: &Value, path: &str) -> Result<ResourceList, Vec<FieldError>> {
    let mut errors = Vec::new();
    let list = read_list(value, path, &mut errors);
    if errors.is_empty() { Ok(list) } else { Err(errors) }
}

/// The list as `a=1,b=2Gi`, the way messages show it.
pub fn display_list(list: &ResourceList) -> String {
    let entries: Vec<String> = list.iter().map(|(name, quantity)| format!("{name}={quantity}")).collect();
    entries.join(",")
}

fn read_list(value: &Value, path: &str, errors: &mut Vec<FieldError>) -> ResourceList {
    let mut list = ResourceList::new();
    match value {
        Value::Null => {}
        Value::Object(entries) => {
            for (name, value) in entries {
                match Quantity::try_from(value) {
                    Ok(quantity) => drop(list.insert(name.clone(), quantity)),
                    Err(fault) => {
                        errors.push(FieldError::invalid(format!("{path}[{name}]"), value.clone(), fault.to_string()));
                    }
                }
            }
        }
        _ => errors.push(FieldError::new(path, FieldReason::TypeInvalid, "must be an object of quantities")),
    }
    list
}

fn refuse_negative(list: &ResourceList, path: &str, errors: &mut Vec<FieldError>) {
    for (name, quantity) in list.iter().filter(|(_, quantity)| quantity.is_negative()) {
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(format!("{path}[{name}]"), *quantity, detail));
    }
}

fn add_list(total: &mut ResourceList, more: &ResourceList) {
    for (name, quantity) in more {
        *total.entry(name.clone()).or_default() += *quantity;
    }
}

fn raise_to(list: &mut ResourceList, least: &ResourceList) {
    for (name, quantity) in least {
        match list.entry(name.clone()) {
            Entry::Occupied(mut entry) if *entry.get() < *quantity => drop(entry.insert(*quantity)),
            Entry::Occupied(_) => {}
            Entry::Vacant(entry) => drop(entry.insert(*quantity)),
        }
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// JSON that looks enough like Pods and policies to get far.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            (-3_i64..4).prop_map(Value::from),
            "Container|Pod|PersistentVolumeClaim|Exists|In|BestEffort|Always|-?[0-9]{1,3}(Mi|m|e9)?"
                .prop_map(Value::from),
        ];
        let key = "spec|metadata|annotations|containers|initContainers|resources|requests|limits|cpu|overhead|hard|\
                   scopes|scopeSelector|matchExpressions|scopeName|operator|values|type|min|max|default|\
                   maxLimitRequestRatio";
        leaf.prop_recursive(6, 64, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect()))
            ]
        })
    }

    fn within(key: &str, value: &Value) -> Value {
        Value::Object([(key.to_owned(), value.clone())].into_iter().collect())
    }

    proptest! {
        #[test]
        fn any_json_is_judged(pod in any_json(), policy in any_json()) {
            for policy in [policy.clone(), within("spec", &policy), within("spec", &within("limits", &policy))] {
                let quota = quota::Quota::from_object(&policy);
                let range = limits::LimitRange::from_object(&policy);
                for mut pod in [pod.clone(), within("spec", &pod), within("spec", &within("containers", &pod))] {
                    if let (Ok(quota), Ok(pod)) = (&quota, Pod::from_object(&pod)) {
                        let _ = quota.admit_pod(&pod, 0);
                    }
                    let ranges: Vec<_> = range.iter().cloned().collect();
                    let _ = (limits::admit_claim(&ranges, &pod), limits::admit_pod(&ranges, &mut pod));
                }
            }
        }
    }

    #[test]
    fn refusals_become_errors() {
        let subject = Subject::new("", "pods", "p");
        let malformed = Refusal::Malformed(vec![FieldError::required("spec", "")]).into_error(subject.clone());
        assert_eq!(malformed.http_status(), 422);
        let forbidden = Refusal::Forbidden("too much".to_owned()).into_error(subject);
        assert_eq!(forbidden.to_string(), "pods \"p\" is forbidden: too much");
        assert_eq!(display_list(&parse_list(&serde_json::json!({"b": "1024Mi", "a": 2}), "l").unwrap()), "a=2,b=1Gi");
    }
}
