//! The schemas that come with the binary: text until somebody asks for a kind.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Schema;
use super::compile::{Components, OBJECT_META, REF_PREFIX};

const KUBERNETES: &str = include_str!("../../schemas/kubernetes.json");
const ISTIO: &str = include_str!("../../schemas/istio.json");
const ISTIO_GROUP: &str = "networking.istio.io";
const ISTIO_VERSIONS: &[&str] = &["v1", "v1beta1", "v1alpha3"];

struct Vendored {
    group: &'static str,
    versions: &'static [&'static str],
    kind: &'static str,
    /// Where a built-in kind's component is; a custom resource has none.
    component: Option<&'static str>,
    compiled: OnceLock<Option<Schema>>,
}

impl Vendored {
    const fn builtin(group: &'static str, kind: &'static str, component: &'static str) -> Self {
        Self { group, versions: &["v1"], kind, component: Some(component), compiled: OnceLock::new() }
    }

    const fn istio(kind: &'static str) -> Self {
        Self { group: ISTIO_GROUP, versions: ISTIO_VERSIONS, kind, component: None, compiled: OnceLock::new() }
    }

    fn compile(&self) -> Option<Schema> {
        match self.component {
            Some(name) => Schema::from_components(&components([name]), name).ok(),
            // The versions are equal upstream; a test says so.
            None => Schema::from_crd(&istio(self.kind, ISTIO_VERSIONS[0])?).ok(),
        }
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";

static VENDORED: [Vendored; 18] = [
    Vendored::builtin("", "ConfigMap", "io.k8s.api.core.v1.ConfigMap"),
    Vendored::builtin("", "Event", "io.k8s.api.core.v1.Event"),
    Vendored::builtin("", "LimitRange", "io.k8s.api.core.v1.LimitRange"),
    Vendored::builtin("", "Namespace", "io.k8s.api.core.v1.Namespace"),
    Vendored::builtin("", "Pod", "io.k8s.api.core.v1.Pod"),
    Vendored::builtin("", "ResourceQuota", "io.k8s.api.core.v1.ResourceQuota"),
    Vendored::builtin("", "Secret", "io.k8s.api.core.v1.Secret"),
    Vendored::builtin("", "Service", "io.k8s.api.core.v1.Service"),
    Vendored::builtin("", "ServiceAccount", "io.k8s.api.core.v1.ServiceAccount"),
    Vendored::builtin("batch", "CronJob", "io.k8s.api.batch.v1.CronJob"),
    Vendored::builtin("batch", "Job", "io.k8s.api.batch.v1.Job"),
    Vendored::builtin("coordination.k8s.io", "Lease", "io.k8s.api.coordination.v1.Lease"),
    Vendored::builtin(RBAC, "ClusterRole", "io.k8s.api.rbac.v1.ClusterRole"),
    Vendored::builtin(RBAC, "ClusterRoleBinding", "io.k8s.api.rbac.v1.ClusterRoleBinding"),
    Vendored::builtin(RBAC, "Role", "io.k8s.api.rbac.v1.Role"),
    Vendored::builtin(RBAC, "RoleBinding", "io.k8s.api.rbac.v1.RoleBinding"),
    Vendored::istio("DestinationRule"),
    Vendored::istio("VirtualService"),
];

fn find(group: &str, version: &str, kind: &str) -> Option<&'static Vendored> {
    VENDORED.iter().find(|v| v.kind == kind && v.group == group && v.versions.contains(&version))
}

/// The schema of a kind that comes with the binary, compiled when it is first asked for.
pub fn builtin(group: &str, version: &str, kind: &str) -> Option<&'static Schema> {
    let vendored = find(group, version, kind)?;
    vendored.compiled.get_or_init(|| vendored.compile()).as_ref()
}

/// The OpenAPI v3 component schemas of `kinds` in a group and version with all that they reach, for
/// `/openapi/v3`. Made anew from the embedded text at each call; kinds that are not vendored are left out.
pub fn openapi_components(group: &str, version: &str, kinds: &[&str]) -> Map<String, Value> {
    let found: Vec<&Vendored> = kinds.iter().filter_map(|kind| find(group, version, kind)).collect();
    let custom: Vec<&Vendored> = found.iter().copied().filter(|v| v.component.is_none()).collect();
    let mut roots: Vec<&str> = found.iter().filter_map(|v| v.component).collect();
    if !custom.is_empty() {
        roots.push(OBJECT_META);
    }
    let mut schemas: Map<String, Value> = components(roots).into_iter().collect();
    for vendored in custom {
        if let Some(schema) = istio(vendored.kind, version) {
            let domain: Vec<&str> = group.rsplit('.').collect();
            let name = format!("{}.{version}.{}", domain.join("."), vendored.kind);
            schemas.insert(name, published(schema, group, version, vendored.kind));
        }
    }
    schemas
}

/// A custom resource's schema as clients are told of it: with the fields that every object has.
fn published(mut schema: Value, group: &str, version: &str, kind: &str) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        let properties = fields.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.insert("apiVersion".into(), json!({"type": "string"}));
            properties.insert("kind".into(), json!({"type": "string"}));
            let meta = json!({"allOf": [{"$ref": format!("{REF_PREFIX}{OBJECT_META}")}]});
            properties.insert("metadata".into(), meta);
        }
        let names = json!([{"group": group, "kind": kind, "version": version}]);
        fields.insert("x-kubernetes-group-version-kind".into(), names);
    }
    schema
}

/// ObjectMeta and what it reaches.
pub(super) fn object_meta() -> Components {
    components([OBJECT_META])
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    components: Section<'a>,
}

#[derive(Deserialize)]
struct Section<'a> {
    #[serde(borrow)]
    schemas: BTreeMap<&'a str, &'a RawValue>,
}

/// Where each component is in the text.
fn index() -> &'static BTreeMap<&'static str, &'static RawValue> {
    static INDEX: OnceLock<BTreeMap<&'static str, &'static RawValue>> = OnceLock::new();
    INDEX.get_or_init(|| {
        let document = serde_json::from_str::<Document<'static>>(KUBERNETES);
        document.map(|d| d.components.schemas).unwrap_or_default()
    })
}

/// The named components and all that they reach. Only those are parsed.
fn components<'a>(roots: impl IntoIterator<Item = &'a str>) -> Components {
    let mut found = Components::new();
    let mut todo: Vec<String> = roots.into_iter().map(str::to_owned).collect();
    while let Some(name) = todo.pop() {
        if found.contains_key(&name) {
            continue;
        }
        let text = index().get(name.as_str());
        if let Some(schema) = text.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok()) {
            references(&schema, &mut todo);
            found.insert(name, schema);
        }
    }
    found
}

fn references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| match value {
            Value::String(name) if key == "$ref" => found.extend(name.strip_prefix(REF_PREFIX).map(str::to_owned)),
            other => references(other, found),
        }),
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[derive(Deserialize)]
struct Shared<'a> {
    versions: Vec<&'a str>,
    #[serde(borrow)]
    schema: &'a RawValue,
}

fn istio(kind: &str, version: &str) -> Option<Value> {
    let mut kinds: BTreeMap<&str, Vec<Shared<'_>>> = serde_json::from_str(ISTIO).ok()?;
    let shared = kinds.remove(kind)?.into_iter().find(|s| s.versions.contains(&version))?;
    serde_json::from_str(shared.schema.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vendored_kind_compiles() {
        for vendored in &VENDORED {
            for version in vendored.versions {
                let schema = builtin(vendored.group, version, vendored.kind);
                let spec = schema.and_then(|s| s.at(&["metadata", "ownerReferences"]));
                assert_eq!(spec.and_then(|s| s.merge_key()), Some("uid"), "{} {version}", vendored.kind);
            }
        }
        assert!(builtin("", "v2", "ConfigMap").is_none());
        assert!(builtin("apps", "v1", "ConfigMap").is_none());
    }

    #[test]
    fn the_versions_of_a_custom_resource_share_one_schema() {
        for kind in ["VirtualService", "DestinationRule"] {
            let first = istio(kind, "v1");
            assert!(first.is_some());
            for version in ISTIO_VERSIONS {
                assert_eq!(istio(kind, version), first, "{kind} {version}");
            }
        }
    }

    #[test]
    fn openapi_holds_what_the_kinds_reach() {
        let core = openapi_components("", "v1", &["ConfigMap", "Pod", "Unknown"]);
        assert!(core.contains_key("io.k8s.api.core.v1.PodSpec"));
        assert!(!core.contains_key("io.k8s.api.core.v1.Secret"));
        let mut mentioned = Vec::new();
        core.values().for_each(|schema| references(schema, &mut mentioned));
        assert!(mentioned.iter().all(|name| core.contains_key(name)));

        let istio = openapi_components(ISTIO_GROUP, "v1beta1", &["VirtualService"]);
        let schema = &istio["io.istio.networking.v1beta1.VirtualService"];
        assert_eq!(schema["x-kubernetes-group-version-kind"][0]["version"], "v1beta1");
        assert!(istio.contains_key(OBJECT_META));
        assert!(schema["properties"]["spec"]["properties"]["http"].is_object());
    }
}
