//! Discovery: what there is, in Kubernetes' old form (one document per version) and its new one (all in one).

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use mcplane_apimachinery::codec::{self, Accept, DiscoveryVersion};
use mcplane_core::{Error, Result};
use serde_json::{Value, json};

use super::routes::Parameters;
use super::{Door, Failure};
use crate::kind::{RegisteredKind, Registry};
use crate::subresource::Action;

/// `/api/v1`, `/apis/networking.istio.io/v1beta1`.
pub(super) fn prefix(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

/// Groups with their versions, preferred first, in the order of registration.
fn group_versions(registry: &Registry) -> Vec<(&'static str, Vec<&'static str>)> {
    let mut groups: Vec<(&'static str, Vec<&'static str>)> = Vec::new();
    let kinds = registry.kinds().iter().flat_map(|kind| kind.versions.iter().map(|version| (kind.group, *version)));
    let actions = registry.virtual_actions().iter().map(|action| (action.path_group, action.path_version));
    for (group, version) in kinds.chain(actions) {
        match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, versions)) if versions.contains(&version) => {}
            Some((_, versions)) => versions.push(version),
            None => groups.push((group, vec![version])),
        }
    }
    groups
}

fn versions_of(registry: &Registry, group: &str) -> Result<Vec<&'static str>> {
    let groups = group_versions(registry);
    groups.into_iter().find(|(name, _)| *name == group).map(|(_, versions)| versions).ok_or(Error::NoSuchPath)
}

/// Paths of discovery documents: versions of the core group, the other groups, and their versions.
pub(super) fn paths(registry: &Registry) -> [Vec<String>; 3] {
    let groups = group_versions(registry);
    let (core, named): (Vec<_>, Vec<_>) = groups.into_iter().partition(|(group, _)| group.is_empty());
    let versions = |groups: &[(&str, Vec<&str>)]| {
        groups.iter().flat_map(|(group, versions)| versions.iter().map(|version| prefix(group, version))).collect()
    };
    [versions(&core), named.iter().map(|(group, _)| format!("/apis/{group}")).collect(), versions(&named)]
}

fn answer(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, codec::JSON)], value.to_string()).into_response()
}

/// The aggregated form, if the client prefers it.
fn aggregated(door: &Door, headers: &HeaderMap, core: bool) -> Result<Option<Response>> {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let accept = codec::negotiate_among(accept, |accept| matches!(accept, Accept::Json | Accept::Discovery(_)))?;
    let Accept::Discovery(version) = accept else { return Ok(None) };
    let registry = door.objects.registry();
    let groups = group_versions(registry).into_iter().filter(|(group, _)| group.is_empty() == core);
    let items: Vec<Value> = groups.map(|(group, versions)| group_discovery(registry, group, &versions)).collect();
    let api_version = match version {
        DiscoveryVersion::V2 => "apidiscovery.k8s.io/v2",
        DiscoveryVersion::V2Beta1 => "apidiscovery.k8s.io/v2beta1",
    };
    let list = json!({"kind": "APIGroupDiscoveryList", "apiVersion": api_version, "metadata": {}, "items": items});
    Ok(Some(([(header::CONTENT_TYPE, accept.content_type())], list.to_string()).into_response()))
}

fn group_discovery(registry: &Registry, group: &str, versions: &[&str]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| {
            let kinds = served(registry, group, version).map(|kind| kind_discovery(kind, version));
            let actions = posted(registry, group, version).map(|action| {
                json!({
                    "resource": action.name, "singularResource": action.singular, "verbs": ["create"],
                    "scope": scope(action.namespaced), "responseKind": response_kind(action.api_version, action.kind),
                })
            });
            let resources: Vec<Value> = kinds.chain(actions).collect();
            json!({"version": version, "freshness": "Current", "resources": resources})
        })
        .collect();
    let metadata = if group.is_empty() {
        json!({"creationTimestamp": null})
    } else {
        json!({"name": group, "creationTimestamp": null})
    };
    json!({"metadata": metadata, "versions": versions})
}

fn kind_discovery(kind: &RegisteredKind, version: &str) -> Value {
    let own = response_kind(&kind.api_version(version), kind.kind);
    let subresources: Vec<Value> = subresources(kind)
        .into_iter()
        .map(|sub| {
            let (api_version, kind_name) = sub.answers.unwrap_or(("", kind.kind));
            let answers = if api_version.is_empty() { own.clone() } else { response_kind(api_version, kind_name) };
            json!({"subresource": sub.name, "responseKind": answers, "verbs": sub.verbs})
        })
        .collect();
    let mut resource = json!({
        "resource": kind.plural, "singularResource": kind.singular, "scope": scope(kind.is_namespaced()),
        "responseKind": own, "verbs": kind.verbs,
    });
    for (field, list) in [("shortNames", kind.short_names), ("categories", kind.categories)] {
        if !list.is_empty() {
            resource[field] = json!(list);
        }
    }
    if !subresources.is_empty() {
        resource["subresources"] = subresources.into();
    }
    resource
}

struct Subresource<'a> {
    name: &'a str,
    verbs: &'static [&'static str],
    /// `apiVersion` and kind, where they are not the parent's.
    answers: Option<(&'a str, &'a str)>,
}

fn subresources(kind: &RegisteredKind) -> Vec<Subresource<'_>> {
    let offered = ["status", "finalize"]
        .into_iter()
        .filter_map(|name| kind.subresource_verbs(name).map(|verbs| Subresource { name, verbs, answers: None }));
    let mut list: Vec<Subresource<'_>> = offered.collect();
    list.extend(kind.actions.iter().map(|action| Subresource {
        name: action.name,
        verbs: &["create"],
        answers: Some((action.api_version, action.kind)),
    }));
    list.extend(kind.readings.iter().map(|reading| Subresource { name: reading.name, verbs: &["get"], answers: None }));
    list
}

fn served<'a>(registry: &'a Registry, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a RegisteredKind> {
    let kinds = registry.kinds().iter().map(AsRef::as_ref);
    kinds.filter(move |kind: &&RegisteredKind| kind.group == group && kind.versions.contains(&version))
}

fn posted<'a>(registry: &'a Registry, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Action> {
    registry.virtual_actions().iter().filter(move |action| action.path_group == group && action.path_version == version)
}

fn scope(namespaced: bool) -> &'static str {
    if namespaced { "Namespaced" } else { "Cluster" }
}

fn response_kind(api_version: &str, kind: &str) -> Value {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    json!({"group": group, "version": version, "kind": kind})
}

/// `/api`.
pub(super) async fn legacy_root(State(door): State<Door>, headers: HeaderMap) -> Result<Response, Failure> {
    if let Some(response) = aggregated(&door, &headers, true)? {
        return Ok(response);
    }
    let versions = versions_of(door.objects.registry(), "")?;
    Ok(answer(&json!({"kind": "APIVersions", "versions": versions, "serverAddressByClientCIDRs": []})))
}

/// `/apis`.
pub(super) async fn groups(State(door): State<Door>, headers: HeaderMap) -> Result<Response, Failure> {
    if let Some(response) = aggregated(&door, &headers, false)? {
        return Ok(response);
    }
    let groups = group_versions(door.objects.registry()).into_iter().filter(|(group, _)| !group.is_empty());
    let groups: Vec<Value> = groups.map(|(group, versions)| api_group(group, &versions)).collect();
    Ok(answer(&json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})))
}

/// `/apis/GROUP`.
pub(super) async fn group(
    State(door): State<Door>,
    Parameters(group): Parameters<String>,
) -> Result<Response, Failure> {
    let versions = versions_of(door.objects.registry(), &group)?;
    let mut document = api_group(&group, &versions);
    document["kind"] = "APIGroup".into();
    document["apiVersion"] = "v1".into();
    Ok(answer(&document))
}

fn api_group(group: &str, versions: &[&str]) -> Value {
    let version = |version: &&str| json!({"groupVersion": format!("{group}/{version}"), "version": version});
    let versions: Vec<Value> = versions.iter().map(version).collect();
    json!({"name": group, "preferredVersion": versions[0], "versions": versions})
}

/// `/api/VERSION`.
pub(super) async fn legacy_version(
    State(door): State<Door>,
    Parameters(version): Parameters<String>,
) -> Result<Response, Failure> {
    resources(&door, "", &version)
}

/// `/apis/GROUP/VERSION`.
pub(super) async fn version(
    State(door): State<Door>,
    Parameters((group, version)): Parameters<(String, String)>,
) -> Result<Response, Failure> {
    resources(&door, &group, &version)
}

fn resources(door: &Door, group: &str, version: &str) -> Result<Response, Failure> {
    let registry = door.objects.registry();
    if !versions_of(registry, group)?.contains(&version) {
        return Err(Error::NoSuchPath.into());
    }
    let mut list = Vec::new();
    for kind in served(registry, group, version) {
        list.push(json!({
            "name": kind.plural, "singularName": kind.singular, "namespaced": kind.is_namespaced(), "kind": kind.kind,
            "verbs": kind.verbs, "shortNames": kind.short_names, "categories": kind.categories,
        }));
        for sub in subresources(kind) {
            let mut entry = json!({
                "name": format!("{}/{}", kind.plural, sub.name), "singularName": "",
                "namespaced": kind.is_namespaced(), "kind": kind.kind, "verbs": sub.verbs,
            });
            if let Some((api_version, kind)) = sub.answers {
                let answers = response_kind(api_version, kind);
                entry["kind"] = kind.into();
                entry["group"] = answers["group"].clone();
                entry["version"] = answers["version"].clone();
            }
            list.push(entry);
        }
    }
    list.extend(posted(registry, group, version).map(|action| {
        json!({
            "name": action.name, "singularName": action.singular, "namespaced": action.namespaced,
            "kind": action.kind, "verbs": ["create"],
        })
    }));
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Ok(answer(&json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list,
    })))
}
