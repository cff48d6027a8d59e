//! LimitRange: defaults for what containers leave out, and bounds for what they ask.

use std::cmp::Ordering;

use mcplane_core::FieldError;
use serde_json::{Map, Value};

use super::{Pod, Refusal, ResourceList, items, read_list, refuse_negative};
use crate::quantity::Quantity;

#[cfg(test)]
mod tests;
mod validate;

pub use validate::validate_spec;

/// The annotation that says which defaults a Pod got.
pub const ANNOTATION: &str = "kubernetes.io/limit-ranger";

const CONTAINER: &str = "Container";
const POD: &str = "Pod";
const CLAIM: &str = "PersistentVolumeClaim";

/// A LimitRange, ready to judge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LimitRange {
    items: Vec<Item>,
}

/// The bounds for one type of object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Item {
    kind: String,
    min: ResourceList,
    max: ResourceList,
    default: ResourceList,
    default_request: ResourceList,
    max_ratio: ResourceList,
}

impl LimitRange {
    /// Reads a LimitRange, with its defaults filled in.
    ///
    /// # Errors
    /// Every rule of its `spec` that is broken.
    pub fn from_object(object: &Value) -> Result<Self, Vec<FieldError>> {
        let mut spec = object["spec"].clone();
        set_defaults(&mut spec);
        let mut errors = validate_spec(&spec);
        if errors.is_empty() { Ok(Self { items: Item::read_all(&spec, &mut errors) }) } else { Err(errors) }
    }

    fn of(&self, kind: &'static str) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| item.kind == kind)
    }
}

/// Fills in what the `spec` of a LimitRange leaves to the server: the default limit of a container is the maximum, its
/// default request the default limit, else the minimum.
pub fn set_defaults(spec: &mut Value) {
    for item in objects_mut(spec, "limits") {
        if item.get("type").is_some_and(|kind| kind == CONTAINER) {
            copy_missing(item, "max", "default");
            copy_missing(item, "default", "defaultRequest");
            copy_missing(item, "min", "defaultRequest");
        }
    }
}

/// Fills in requests of a Pod's containers where there is a limit only.
pub fn default_requests(pod: &mut Value) {
    for field in ["containers", "initContainers"] {
        for container in pod.get_mut("spec").into_iter().flat_map(|spec| objects_mut(spec, field)) {
            if let Some(Value::Object(resources)) = container.get_mut("resources") {
                copy_missing(resources, "limits", "requests");
            }
        }
    }
}

/// Gives the Pod what its containers leave out, first requests from their own limits, then everything from the limit
/// ranges, and checks the bounds of each.
///
/// # Errors
/// [`Refusal::Malformed`] for amounts that are no quantities, [`Refusal::Forbidden`] for broken bounds.
pub fn admit_pod(ranges: &[LimitRange], pod: &mut Value) -> Result<(), Refusal> {
    default_requests(pod);
    apply_defaults(ranges, pod);
    let pod = Pod::from_object(pod).map_err(Refusal::Malformed)?;
    for range in ranges {
        let mut faults = Vec::new();
        for item in range.of(CONTAINER) {
            for container in pod.all_containers() {
                item.check(&container.requests, &container.limits, &mut faults);
            }
        }
        for item in range.of(POD) {
            item.check(&pod.requests_without_overhead(), &pod.limits_without_overhead(), &mut faults);
        }
        refuse(faults)?;
    }
    Ok(())
}

/// Checks what a PersistentVolumeClaim requests.
///
/// # Errors
/// [`Refusal::Malformed`] for amounts that are no quantities, [`Refusal::Forbidden`] for broken bounds.
pub fn admit_claim(ranges: &[LimitRange], claim: &Value) -> Result<(), Refusal> {
    const PATH: &str = "spec.resources.requests";
    let mut errors = Vec::new();
    let requests = read_list(&claim["spec"]["resources"]["requests"], PATH, &mut errors);
    refuse_negative(&requests, PATH, &mut errors);
    if !errors.is_empty() {
        return Err(Refusal::Malformed(errors));
    }
    for range in ranges {
        let mut faults = Vec::new();
        for item in range.of(CLAIM) {
            let request = |name: &String| requests.get(name).copied();
            let minimum = item.min.iter().filter_map(|(name, least)| below(CLAIM, name, *least, request(name), None));
            let maximum = item.max.iter().filter_map(|(name, most)| request_above(CLAIM, name, *most, request(name)));
            faults.extend(minimum.chain(maximum));
        }
        refuse(faults)?;
    }
    Ok(())
}

fn refuse(mut faults: Vec<String>) -> Result<(), Refusal> {
    faults.dedup();
    match faults.as_slice() {
        [] => Ok(()),
        [one] => Err(Refusal::Forbidden(one.clone())),
        many => Err(Refusal::Forbidden(format!("[{}]", many.join(", ")))),
    }
}

impl Item {
    fn read_all(spec: &Value, errors: &mut Vec<FieldError>) -> Vec<Self> {
        let mut read = |(index, item): (usize, &Value)| {
            let mut list = |field: &str| read_list(&item[field], &format!("spec.limits[{index}].{field}"), errors);
            Self {
                min: list("min"),
                max: list("max"),
                default: list("default"),
                default_request: list("defaultRequest"),
                max_ratio: list("maxLimitRequestRatio"),
                kind: item["type"].as_str().unwrap_or_default().to_owned(),
            }
        };
        items(&spec["limits"]).enumerate().map(&mut read).collect()
    }

    fn check(&self, requests: &ResourceList, limits: &ResourceList, faults: &mut Vec<String>) {
        let kind = self.kind.as_str();
        let request = |name: &String| requests.get(name).copied();
        let limit = |name: &String| limits.get(name).copied();
        let minimum = self.min.iter().filter_map(|(name, least)| below(kind, name, *least, request(name), limit(name)));
        let maximum = self.max.iter().filter_map(|(name, most)| above(kind, name, *most, request(name), limit(name)));
        let ratios = self.max_ratio.iter();
        let ratios = ratios.filter_map(|(name, most)| too_elastic(kind, name, *most, request(name), limit(name)));
        faults.extend(minimum.chain(maximum).chain(ratios));
    }
}

type Amount = Option<Quantity>;

fn below(kind: &str, name: &str, least: Quantity, request: Amount, limit: Amount) -> Option<String> {
    let minimum = format!("minimum {name} usage per {kind} is {least}");
    match (request, limit) {
        (None, _) => Some(format!("{minimum}.  No request is specified")),
        (Some(request), _) if request < least => Some(format!("{minimum}, but request is {request}")),
        (_, Some(limit)) if limit < least => Some(format!("{minimum}, but limit is {limit}")),
        _ => None,
    }
}

fn above(kind: &str, name: &str, most: Quantity, request: Amount, limit: Amount) -> Option<String> {
    let maximum = format!("maximum {name} usage per {kind} is {most}");
    match (request, limit) {
        (_, None) => Some(format!("{maximum}.  No limit is specified")),
        (_, Some(limit)) if limit > most => Some(format!("{maximum}, but limit is {limit}")),
        (Some(request), _) if request > most => Some(format!("{maximum}, but request is {request}")),
        _ => None,
    }
}

fn request_above(kind: &str, name: &str, most: Quantity, request: Amount) -> Option<String> {
    let maximum = format!("maximum {name} usage per {kind} is {most}");
    match request {
        None => Some(format!("{maximum}.  No request is specified")),
        Some(request) if request > most => Some(format!("{maximum}, but request is {request}")),
        Some(_) => None,
    }
}

fn too_elastic(kind: &str, name: &str, most: Quantity, request: Amount, limit: Amount) -> Option<String> {
    let rule = format!("{name} max limit to request ratio per {kind} is {most}");
    let Some(request) = request.filter(|request| !request.is_zero()) else {
        return Some(format!("{rule}, but no request is specified or request is 0"));
    };
    let Some(limit) = limit.filter(|limit| !limit.is_zero()) else {
        return Some(format!("{rule}, but no limit is specified or limit is 0"));
    };
    compare_ratio(limit, request, most).is_gt().then(|| {
        let ratio = limit.nanos() as f64 / request.nanos() as f64;
        format!("{rule}, but provided ratio is {ratio:.6}")
    })
}

/// `dividend / divisor` compared with `ratio`, exactly. The divisor must not be zero.
fn compare_ratio(dividend: Quantity, divisor: Quantity, ratio: Quantity) -> Ordering {
    let one = Quantity::from_milli(1000).nanos().unsigned_abs();
    if ratio.is_negative() {
        return Ordering::Greater;
    }
    let left = (dividend.nanos().unsigned_abs(), divisor.nanos().unsigned_abs());
    compare_fractions(left, (ratio.nanos().unsigned_abs(), one))
}

/// Compares by continued fractions, because products would not fit. The denominators must not be zero.
fn compare_fractions(left: (u128, u128), right: (u128, u128)) -> Ordering {
    let whole = (left.0 / left.1).cmp(&(right.0 / right.1));
    match (whole, left.0 % left.1, right.0 % right.1) {
        (Ordering::Equal, 0, 0) => Ordering::Equal,
        (Ordering::Equal, 0, _) => Ordering::Less,
        (Ordering::Equal, _, 0) => Ordering::Greater,
        (Ordering::Equal, left_rest, right_rest) => compare_fractions((right.1, right_rest), (left.1, left_rest)),
        (decided, ..) => decided,
    }
}

fn apply_defaults(ranges: &[LimitRange], pod: &mut Value) {
    let mut notes = Vec::new();
    for (field, title) in [("containers", "container"), ("initContainers", "init container")] {
        for container in pod.get_mut("spec").into_iter().flat_map(|spec| objects_mut(spec, field)) {
            let name = container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            for item in ranges.iter().flat_map(|range| range.of(CONTAINER)) {
                for (list, what, defaults) in
                    [("requests", "request", &item.default_request), ("limits", "limit", &item.default)]
                {
                    let set = fill_in(container, list, defaults);
                    if !set.is_empty() {
                        notes.push(format!("{} {what} for {title} {name}", set.join(", ")));
                    }
                }
            }
        }
    }
    if notes.is_empty() {
        return;
    }
    let note = format!("LimitRanger plugin set: {}", notes.join("; "));
    if let Some(annotations) = child_mut(pod, "metadata").and_then(|meta| child_mut(meta, "annotations")) {
        annotations[ANNOTATION] = Value::String(note);
    }
}

/// Adds the defaults that the container's list lacks, and gives their names.
fn fill_in<'a>(container: &mut Map<String, Value>, list: &str, defaults: &'a ResourceList) -> Vec<&'a str> {
    let resources = container.entry("resources").or_insert(Value::Null);
    let Some(Value::Object(amounts)) = (!defaults.is_empty()).then(|| child_mut(resources, list)).flatten() else {
        return Vec::new();
    };
    let missing: Vec<_> = defaults.iter().filter(|(name, _)| !amounts.contains_key(*name)).collect();
    for (name, quantity) in &missing {
        amounts.insert((*name).clone(), Value::from(**quantity));
    }
    missing.into_iter().map(|(name, _)| name.as_str()).collect()
}

/// The object under `key`, made where there is nothing; `None` where there is something else.
fn child_mut<'a>(parent: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    if parent.is_null() {
        *parent = Value::Object(Map::new());
    }
    let child = parent.as_object_mut()?.entry(key).or_insert(Value::Null);
    if child.is_null() {
        *child = Value::Object(Map::new());
    }
    child.is_object().then_some(child)
}

fn objects_mut<'a>(parent: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let list = parent.get_mut(field).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}

/// Copies the entries of one map to another that lacks them.
fn copy_missing(object: &mut Map<String, Value>, from: &str, to: &str) {
    let Some(Value::Object(source)) = object.get(from).cloned() else { return };
    if source.is_empty() {
        return;
    }
    let target = object.entry(to).or_insert(Value::Null);
    if target.is_null() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(target) = target {
        for (key, value) in source {
            target.entry(key).or_insert(value);
        }
    }
}
