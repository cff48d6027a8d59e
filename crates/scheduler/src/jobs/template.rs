//! Pod templates: what jobs make pods of.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use mcplane_apimachinery::names;
use mcplane_apimachinery::resources::Pod;
use mcplane_core::{FieldError, FieldReason};
use serde_json::{Map, Value, json};

/// Seconds between the wish to end a pod and its being killed.
pub(crate) const GRACE_SECONDS: i64 = 30;

fn set(map: &mut Map<String, Value>, field: &str, default: impl Into<Value>) {
    if map.get(field).is_none_or(Value::is_null) {
        map.insert(field.to_owned(), default.into());
    }
}

/// Fills in what Kubernetes fills in.
pub(crate) fn set_defaults(template: &mut Value) {
    let Some(Value::Object(spec)) = template.get_mut("spec") else { return };
    set(spec, "dnsPolicy", "ClusterFirst");
    set(spec, "schedulerName", "default-scheduler");
    set(spec, "securityContext", json!({}));
    set(spec, "terminationGracePeriodSeconds", GRACE_SECONDS);
    for list in ["containers", "initContainers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for container in containers.filter_map(Value::as_object_mut) {
            let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
            let name = image.rsplit('/').next().unwrap_or_default();
            let floats = !name.contains('@') && (!name.contains(':') || name.ends_with(":latest"));
            set(container, "imagePullPolicy", if floats { "Always" } else { "IfNotPresent" });
            set(container, "resources", json!({}));
            set(container, "terminationMessagePath", "/dev/termination-log");
            set(container, "terminationMessagePolicy", "File");
        }
    }
    let mut pod = Value::Object(Map::from_iter([("spec".to_owned(), template["spec"].take())]));
    mcplane_apimachinery::resources::limits::default_requests(&mut pod);
    template["spec"] = pod["spec"].take();
}

/// The rules of a template at `path`, in Kubernetes' words.
pub(crate) fn validate(template: &PodTemplateSpec, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let labels = template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
    for (key, value) in labels.into_iter().flatten() {
        let faults = [names::qualified_name(key).err(), names::label_value(value).err()];
        let fault = |fault| FieldError::invalid(format!("{path}.metadata.labels"), value.as_str(), fault);
        errors.extend(faults.into_iter().flatten().map(fault));
    }
    let Some(spec) = &template.spec else {
        errors.push(FieldError::required(format!("{path}.spec.containers"), ""));
        return errors;
    };
    validate_spec(spec, &format!("{path}.spec"), &mut errors);
    let pod = json!({ "spec": spec });
    if let Err(faults) = Pod::from_object(&pod) {
        errors.extend(faults.into_iter().map(|fault| FieldError { field: format!("{path}.{}", fault.field), ..fault }));
    }
    errors
}

fn validate_spec(spec: &PodSpec, path: &str, errors: &mut Vec<FieldError>) {
    match spec.restart_policy.as_deref() {
        Some("OnFailure" | "Never") => {}
        None | Some("" | "Always") => {
            let detail = "valid values: \"OnFailure\", \"Never\"";
            errors.push(FieldError::required(format!("{path}.restartPolicy"), detail));
        }
        Some(other) => {
            errors.push(FieldError::not_supported(format!("{path}.restartPolicy"), other, &["OnFailure", "Never"]));
        }
    }
    if spec.containers.is_empty() {
        errors.push(FieldError::required(format!("{path}.containers"), ""));
    }
    let mut seen = BTreeSet::new();
    for (index, container) in spec.containers.iter().enumerate() {
        validate_container(container, &format!("{path}.containers[{index}]"), &mut seen, errors);
    }
    for (index, container) in spec.init_containers.iter().flatten().enumerate() {
        validate_container(container, &format!("{path}.initContainers[{index}]"), &mut seen, errors);
    }
    let at_least = |field: &str, value: Option<i64>, least: i64, detail: &str| {
        let value = value.filter(|value| *value < least)?;
        Some(FieldError::invalid(format!("{path}.{field}"), value, detail))
    };
    let (grace, deadline) = (spec.termination_grace_period_seconds, spec.active_deadline_seconds);
    errors.extend(at_least("terminationGracePeriodSeconds", grace, 0, NOT_NEGATIVE));
    errors.extend(at_least("activeDeadlineSeconds", deadline, 1, "must be between 1 and 2147483647, inclusive"));
}

/// What Kubernetes says of numbers below zero.
pub(crate) const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

fn validate_container<'a>(
    container: &'a Container,
    path: &str,
    seen: &mut BTreeSet<&'a str>,
    errors: &mut Vec<FieldError>,
) {
    let name = container.name.as_str();
    let at_name = format!("{path}.name");
    if name.is_empty() {
        errors.push(FieldError::required(at_name, ""));
    } else if let Err(fault) = names::dns1123_label(name) {
        errors.push(FieldError::invalid(at_name, name, fault));
    } else if !seen.insert(name) {
        errors.push(FieldError::new(at_name, FieldReason::Duplicate, "").with_value(name));
    }
    if container.image.as_deref().unwrap_or_default().is_empty() {
        errors.push(FieldError::required(format!("{path}.image"), ""));
    }
    for (index, variable) in container.env.iter().flatten().enumerate() {
        if variable.name.is_empty() {
            errors.push(FieldError::required(format!("{path}.env[{index}].name"), ""));
        } else if variable.name.contains('=') || !variable.name.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            let detail =
                "a valid environment variable name must consist only of printable ASCII characters other than '='";
            errors.push(FieldError::invalid(format!("{path}.env[{index}].name"), variable.name.as_str(), detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(template: Value) -> Vec<String> {
        let template: PodTemplateSpec = serde_json::from_value(template).unwrap();
        validate(&template, "spec.template").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn faults_are_told_as_kubernetes_does() {
        let container = json!({"name": "c", "image": "i"});
        assert_eq!(
            faults(json!({"spec": {"restartPolicy": "Never", "containers": [container]}})),
            Vec::<String>::new()
        );
        assert_eq!(
            faults(json!({"spec": {"containers": [container]}})),
            ["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""]
        );
        assert_eq!(
            faults(json!({"spec": {"restartPolicy": "Sometimes", "containers": [
                {"name": "c"}, {"name": "c", "image": "i", "resources": {"requests": {"cpu": "-1"}}},
                {"name": "C_", "image": "i", "env": [{"name": "a=b"}]},
            ]}}))
            .iter()
            .map(|fault| fault.split(": ").take(2).collect::<Vec<_>>().join(": "))
            .collect::<Vec<_>>(),
            [
                "spec.template.spec.restartPolicy: Unsupported value",
                "spec.template.spec.containers[0].image: Required value",
                "spec.template.spec.containers[1].name: Duplicate value",
                "spec.template.spec.containers[2].name: Invalid value",
                "spec.template.spec.containers[2].env[0].name: Invalid value",
                "spec.template.spec.containers[1].resources.requests[cpu]: Invalid value",
            ]
        );
        assert_eq!(
            faults(json!({"spec": {"restartPolicy": "Never", "containers": [], "activeDeadlineSeconds": 0}})).len(),
            2
        );
    }

    #[test]
    fn defaults_are_those_of_kubernetes() {
        let mut template = json!({"spec": {"containers": [
            {"name": "a", "image": "host:5000/x"}, {"name": "b", "image": "x:1", "resources": {"limits": {"cpu": 1}}},
        ]}});
        set_defaults(&mut template);
        let spec = &template["spec"];
        assert_eq!(spec["terminationGracePeriodSeconds"], 30);
        assert_eq!(spec["containers"][0]["imagePullPolicy"], "Always");
        assert_eq!(spec["containers"][1]["imagePullPolicy"], "IfNotPresent");
        assert_eq!(spec["containers"][1]["resources"]["requests"]["cpu"], 1);
        let once = template.clone();
        set_defaults(&mut template);
        assert_eq!(template, once);
    }
}
