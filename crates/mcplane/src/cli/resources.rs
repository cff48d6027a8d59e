//! What the server has: kinds by the many names that people use for them.

use std::sync::Arc;

use futures::future::try_join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroupList, APIResourceList};

use super::connection::{Connection, encode};
use super::failure::Failure;

/// One kind of object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) plural: String,
    pub(super) singular: String,
    pub(super) kind: String,
    pub(super) short_names: Vec<String>,
    pub(super) namespaced: bool,
}

impl Resource {
    /// The path of a collection, or of an object in it. Without a namespace, all namespaces.
    pub(super) fn path(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let mut path = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        if let Some(namespace) = namespace.filter(|_| self.namespaced) {
            path.push_str(&format!("/namespaces/{}", encode(namespace)));
        }
        path.push_str(&format!("/{}", self.plural));
        if let Some(name) = name {
            path.push_str(&format!("/{}", encode(name)));
        }
        path
    }

    /// As commands name an object: `configmap/a`, `virtualservice.networking.istio.io/a`.
    pub(super) fn display(&self, name: &str) -> String {
        let singular = if self.singular.is_empty() { self.kind.to_lowercase() } else { self.singular.clone() };
        if self.group.is_empty() { format!("{singular}/{name}") } else { format!("{singular}.{}/{name}", self.group) }
    }

    fn is_called(&self, name: &str) -> bool {
        let (name, rest) = name.split_once('.').map_or((name, None), |(name, rest)| (name, Some(rest)));
        let lower = name.to_lowercase();
        let named = lower == self.plural
            || lower == self.singular
            || lower == self.kind.to_lowercase()
            || self.short_names.contains(&lower);
        named && rest.is_none_or(|rest| rest == self.group || rest == format!("{}.{}", self.version, self.group))
    }
}

/// Everything that the server has, in its order of preference.
#[derive(Debug, Clone)]
pub(super) struct Resources(Arc<[Resource]>);

impl Resources {
    /// Asks the server.
    pub(super) async fn discover(connection: &Connection) -> Result<Self, Failure> {
        let groups: APIGroupList = connection.get("/apis").await?;
        let mut paths = vec!["/api/v1".to_owned()];
        for group in groups.groups {
            // The preferred version first: a kind without a version means that one.
            let preferred = group.preferred_version.map(|version| version.group_version);
            let rest = group.versions.into_iter().map(|version| version.group_version);
            let others: Vec<String> = rest.filter(|version| Some(version) != preferred.as_ref()).collect();
            paths.extend(preferred.into_iter().chain(others).map(|version| format!("/apis/{version}")));
        }
        let lists: Vec<APIResourceList> = try_join_all(paths.iter().map(|path| connection.get(path))).await?;
        Ok(Self(lists.into_iter().flat_map(resources_of).collect()))
    }

    /// The kind that people call `name`: plural, singular, kind or short name, perhaps with its group.
    pub(super) fn find(&self, name: &str) -> Result<&Resource, Failure> {
        self.0.iter().find(|resource| resource.is_called(name)).ok_or_else(|| {
            let names = self.0.iter().flat_map(|resource| [&resource.plural, &resource.singular]);
            let scored = names.map(|known| (strsim::jaro_winkler(known, &name.to_lowercase()), known));
            let nearest = scored.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(score, _)| *score > 0.8);
            let hint = match nearest {
                Some((_, known)) => format!("did you mean {known:?}?"),
                None => "`kubectl api-resources` lists what it has".to_owned(),
            };
            Failure::failed(format!("the server has no kind {name:?}")).hint(hint)
        })
    }

    /// The kind of an object.
    pub(super) fn of(&self, api_version: &str, kind: &str) -> Option<&Resource> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.0.iter().find(|known| known.group == group && known.version == version && known.kind == kind)
    }
}

fn resources_of(list: APIResourceList) -> Vec<Resource> {
    let (group, version) = match list.group_version.split_once('/') {
        Some((group, version)) => (group.to_owned(), version.to_owned()),
        None => (String::new(), list.group_version.clone()),
    };
    let top = list.resources.into_iter().filter(|resource| !resource.name.contains('/'));
    top.map(|resource| Resource {
        group: group.clone(),
        version: version.clone(),
        plural: resource.name,
        singular: resource.singular_name,
        kind: resource.kind,
        short_names: resource.short_names.unwrap_or_default(),
        namespaced: resource.namespaced,
    })
    .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn some() -> Resources {
        let core = json!({"groupVersion": "v1", "resources": [
            {"name": "configmaps", "singularName": "configmap", "kind": "ConfigMap", "namespaced": true,
             "shortNames": ["cm"], "verbs": ["get"]},
            {"name": "namespaces", "singularName": "namespace", "kind": "Namespace", "namespaced": false,
             "shortNames": ["ns"], "verbs": ["get"]},
            {"name": "namespaces/status", "singularName": "", "kind": "Namespace", "namespaced": false, "verbs": []},
        ]});
        let istio = |version: &str| {
            json!({"groupVersion": format!("networking.istio.io/{version}"), "resources": [
                {"name": "virtualservices", "singularName": "virtualservice", "kind": "VirtualService",
                 "namespaced": true, "shortNames": ["vs"], "verbs": ["get"]},
            ]})
        };
        let lists = [core, istio("v1"), istio("v1beta1")].map(|list| serde_json::from_value(list).unwrap());
        Resources(lists.into_iter().flat_map(resources_of).collect())
    }

    #[test]
    fn kinds_have_many_names() {
        let resources = some();
        for name in ["cm", "configmap", "ConfigMap", "configmaps", "CONFIGMAPS"] {
            assert_eq!(resources.find(name).unwrap().plural, "configmaps", "{name}");
        }
        for (name, version) in
            [("vs", "v1"), ("virtualservices.networking.istio.io", "v1"), ("vs.v1beta1.networking.istio.io", "v1beta1")]
        {
            assert_eq!(resources.find(name).unwrap().version, version, "{name}");
        }
        assert!(resources.find("confgmap").unwrap_err().text().contains("did you mean \"configmap\"?"));
        assert!(resources.find("cm.apps").is_err());
        assert_eq!(resources.of("networking.istio.io/v1beta1", "VirtualService").unwrap().version, "v1beta1");
        assert_eq!(resources.of("v1", "Pod"), None);
    }

    #[test]
    fn paths_and_names() {
        let resources = some();
        let (map, service) = (resources.find("cm").unwrap(), resources.find("vs").unwrap());
        assert_eq!(map.path(Some("a"), Some("b/c")), "/api/v1/namespaces/a/configmaps/b%2Fc");
        assert_eq!(map.path(None, None), "/api/v1/configmaps");
        assert_eq!(resources.find("ns").unwrap().path(Some("a"), Some("x")), "/api/v1/namespaces/x");
        assert_eq!(service.path(Some("a"), None), "/apis/networking.istio.io/v1/namespaces/a/virtualservices");
        assert_eq!(service.display("x"), "virtualservice.networking.istio.io/x");
        assert_eq!(map.display("x"), "configmap/x");
    }
}
