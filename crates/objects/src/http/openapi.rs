//! `/openapi/v3`: as much as clients need to validate and to merge: the components of each kind, and the paths with their
//! parameters, from which clients learn that the server validates fields itself.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use mcplane_apimachinery::{codec, schema};
use mcplane_core::{Error, Result};
use serde_json::{Map, Value, json};

use super::discovery::prefix;
use super::routes::Parameters;
use super::{Door, Failure};
use crate::kind::{RegisteredKind, Registry};

/// `api/v1`, `apis/networking.istio.io/v1` of every version that has kinds.
fn versions(registry: &Registry) -> Vec<(&'static str, &'static str)> {
    let mut versions = Vec::new();
    for kind in registry.kinds() {
        for version in kind.versions {
            if !versions.contains(&(kind.group, *version)) {
                versions.push((kind.group, *version));
            }
        }
    }
    versions
}

/// Paths of the documents of all versions.
pub(super) fn paths(registry: &Registry) -> Vec<String> {
    versions(registry).into_iter().map(|(group, version)| format!("/openapi/v3{}", prefix(group, version))).collect()
}

/// Where the document of each version is. The hash makes clients fetch it again after an upgrade.
pub(super) async fn index(State(door): State<Door>) -> Response {
    let entry = |(group, version): (&str, &str)| {
        let path = prefix(group, version);
        let url = format!("/openapi/v3{path}?hash={}", env!("CARGO_PKG_VERSION"));
        (path.trim_start_matches('/').to_owned(), json!({ "serverRelativeURL": url }))
    };
    let paths: Map<String, Value> = versions(door.objects.registry()).into_iter().map(entry).collect();
    ([(header::CONTENT_TYPE, codec::JSON)], json!({ "paths": paths }).to_string()).into_response()
}

/// The document of one version.
pub(super) async fn document(
    State(door): State<Door>,
    Parameters(path): Parameters<String>,
) -> Result<Response, Failure> {
    let registry = door.objects.registry();
    let wanted = format!("/{path}");
    let found = versions(registry).into_iter().find(|(group, version)| prefix(group, version) == wanted);
    let (group, version) = found.ok_or(Error::NoSuchPath)?;
    let kinds: Vec<&RegisteredKind> = registry
        .kinds()
        .iter()
        .map(AsRef::as_ref)
        .filter(|kind: &&RegisteredKind| kind.group == group && kind.versions.contains(&version))
        .collect();
    let names: Vec<&str> = kinds.iter().map(|kind| kind.kind).collect();
    let mut components = schema::openapi_components(group, version, &names);
    for own in kinds.iter().filter_map(|kind| kind.openapi(version)) {
        components.extend(own.as_object().cloned().unwrap_or_default());
    }
    let mut paths = Map::new();
    for kind in kinds {
        let (collection, object) = locations(kind, version);
        paths.insert(collection, operations(kind, version, &[("get", "list"), ("post", "create")]));
        let verbs = [("get", "get"), ("put", "update"), ("patch", "patch"), ("delete", "delete")];
        paths.insert(object, operations(kind, version, &verbs));
    }
    let document = json!({
        "openapi": "3.0.0",
        "info": {"title": "mcplane", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {"schemas": components},
    });
    Ok(([(header::CONTENT_TYPE, codec::JSON)], document.to_string()).into_response())
}

fn locations(kind: &RegisteredKind, version: &str) -> (String, String) {
    let namespace = if kind.is_namespaced() { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{}{namespace}/{}", prefix(kind.group, version), kind.plural);
    let object = format!("{collection}/{{name}}");
    (collection, object)
}

fn operations(kind: &RegisteredKind, version: &str, methods: &[(&str, &str)]) -> Value {
    let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
    let operation = |verb: &str| {
        let write = ["create", "update", "patch"].contains(&verb);
        let names: &[&str] = if write { &["dryRun", "fieldManager", "fieldValidation"] } else { &[] };
        json!({
            "operationId": format!("{verb}{}", kind.kind),
            "x-kubernetes-action": verb,
            "x-kubernetes-group-version-kind": {"group": kind.group, "version": version, "kind": kind.kind},
            "parameters": names.iter().map(|name| parameter(name)).collect::<Vec<_>>(),
            "responses": {"200": {"description": "OK"}},
        })
    };
    let offered = methods.iter().filter(|(_, verb)| kind.verbs.contains(verb));
    Value::Object(offered.map(|(method, verb)| ((*method).to_owned(), operation(verb))).collect())
}
