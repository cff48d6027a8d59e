//! The rules of a LimitRange's `spec`.

use std::collections::BTreeSet;

use mcplane_core::{FieldError, FieldReason};
use serde_json::Value;

use super::super::names;
use super::{CLAIM, CONTAINER, Item, POD, compare_ratio};
use crate::names::qualified_name;
use crate::quantity::Quantity;

/// Every rule that the `spec` of a LimitRange breaks.
pub fn validate_spec(spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !matches!(spec["limits"], Value::Null | Value::Array(_)) {
        errors.push(FieldError::new("spec.limits", FieldReason::TypeInvalid, "must be an array"));
    }
    let mut kinds = BTreeSet::new();
    for (index, item) in Item::read_all(spec, &mut errors).iter().enumerate() {
        let path = format!("spec.limits[{index}]");
        let kind = item.kind.as_str();
        if let Err(fault) = kind_fault(kind) {
            errors.push(FieldError::invalid(format!("{path}.type"), kind, fault));
        }
        if !kinds.insert(kind.to_owned()) {
            let duplicate = FieldError::new(format!("{path}.type"), FieldReason::Duplicate, "");
            errors.push(duplicate.with_value(kind));
        }
        validate_names(item, &path, &mut errors);
        validate_amounts(item, &path, &mut errors);
    }
    errors
}

fn kind_fault(kind: &str) -> Result<(), String> {
    qualified_name(kind)?;
    if kind.contains('/') || [CONTAINER, POD, CLAIM].contains(&kind) {
        return Ok(());
    }
    Err("must be a standard limit type or fully qualified".to_owned())
}

fn validate_names(item: &Item, path: &str, errors: &mut Vec<FieldError>) {
    let lists = [
        ("max", &item.max),
        ("min", &item.min),
        ("default", &item.default),
        ("defaultRequest", &item.default_request),
        ("maxLimitRequestRatio", &item.max_ratio),
    ];
    for (field, list) in lists {
        if item.kind == POD && field.starts_with("default") && !list.is_empty() {
            let detail = "may not be specified when `type` is 'Pod'";
            errors.push(FieldError::forbidden(format!("{path}.{field}"), detail));
            continue;
        }
        for name in list.keys() {
            let of_containers = item.kind == POD || item.kind == CONTAINER;
            let faults = if of_containers { names::container_faults(name) } else { names::any_faults(name) };
            let at = format!("{path}.{field}[{name}]");
            errors.extend(faults.into_iter().map(|fault| FieldError::invalid(&at, name.as_str(), fault)));
        }
    }
    if item.kind == CLAIM && !item.min.contains_key("storage") && !item.max.contains_key("storage") {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        errors.push(FieldError::required(format!("{path}.limits"), detail));
    }
}

/// minimum ≤ default request ≤ default limit ≤ maximum, and ratios that these allow.
fn validate_amounts(item: &Item, path: &str, errors: &mut Vec<FieldError>) {
    let resources: BTreeSet<&String> = [&item.min, &item.max, &item.default, &item.default_request, &item.max_ratio]
        .into_iter()
        .flat_map(|list| list.keys())
        .collect();
    for name in resources {
        let of_pod = item.kind == POD;
        let default = item.default.get(name).filter(|_| !of_pod).copied();
        let request = item.default_request.get(name).filter(|_| !of_pod).copied();
        let (min, max) = (item.min.get(name).copied(), item.max.get(name).copied());
        let mut order =
            |field: &str, lower: (&str, Option<Quantity>), upper: (&str, Option<Quantity>), shown: Option<Quantity>| {
                if let (Some(low), Some(high), Some(shown)) = (lower.1, upper.1, shown)
                    && low > high
                {
                    let detail = format!("{} value {low} is greater than {} value {high}", lower.0, upper.0);
                    errors.push(FieldError::invalid(format!("{path}.{field}[{name}]"), shown, detail));
                }
            };
        order("min", ("min", min), ("max", max), min);
        order("defaultRequest", ("min", min), ("default request", request), request);
        order("defaultRequest", ("default request", request), ("max", max), request);
        order("defaultRequest", ("default request", request), ("default limit", default), request);
        order("default", ("min", min), ("default", default), min);
        order("default", ("default", default), ("max", max), max);

        if let Some(ratio) = item.max_ratio.get(name).copied() {
            let mut fault = |detail| {
                errors.push(FieldError::invalid(format!("{path}.maxLimitRequestRatio[{name}]"), ratio, detail));
            };
            if ratio < Quantity::from_milli(1000) {
                fault(format!("ratio {ratio} is less than 1"));
            }
            if let (Some(min), Some(max)) = (min.filter(|min| !min.is_zero()), max)
                && compare_ratio(max, min, ratio).is_lt()
            {
                let most = max.nanos() as f64 / min.nanos() as f64;
                fault(format!("ratio {ratio} is greater than max/min = {most:.6}"));
            }
        }
        if let (Some(default), Some(request)) = (default, request)
            && !names::is_overcommit_allowed(name)
            && default != request
        {
            let detail = format!("default value {default} must equal to defaultRequest value {request} in {name}");
            errors.push(FieldError::invalid(format!("{path}.defaultRequest[{name}]"), request, detail));
        }
    }
}
