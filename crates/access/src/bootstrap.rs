//! Objects that every server has: made when they are missing, repaired when somebody took something away.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::rbac::v1::PolicyRule;
use mcplane_apimachinery::codec::Decoded;
use mcplane_core::authz::authorize;
use mcplane_core::{Attributes, Authorizer, Context, Error, Grant, Result};
use mcplane_objects::kinds::PERMANENT;
use mcplane_objects::object::{self, ObjectExt as _};
use mcplane_objects::service::{DeleteOptions, ListOptions, WriteOptions};
use mcplane_objects::{Objects, RegisteredKind};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::rbac;

/// Set to `false` on an object to keep its changes over restarts, as in Kubernetes.
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
/// Writes on their way at once: enough to fill a group commit.
const CONCURRENT: usize = 64;

/// The objects that this crate and the engine rely on: the permanent namespaces, the default roles and their bindings.
pub fn manifests() -> Vec<Value> {
    let namespace = |name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    PERMANENT.into_iter().map(namespace).chain(rbac::bootstrap::manifests()).collect()
}

/// Creates those of `manifests` that don't exist. Roles and bindings that do, and whose manifest and stored state both
/// allow it by their annotation `autoupdate`, get back what they lack; what was added to them stays. One list a kind is
/// read, and nothing is written where nothing differs.
///
/// # Errors
/// For a manifest of an unknown kind, or one that its kind refuses.
pub async fn bootstrap(objects: &Objects, authorizer: &dyn Authorizer, manifests: Vec<Value>) -> Result<()> {
    let mut kinds: Vec<Kind<'_>> = Vec::new();
    for mut manifest in manifests {
        // As they are stored, so that they compare.
        rbac::kinds::fill_groups(&mut manifest);
        let kind = Kind::of(objects, authorizer, &manifest)?;
        match kinds.iter_mut().find(|other| other.kind.resource() == kind.kind.resource()) {
            Some(known) => known.manifests.push(manifest),
            None => kinds.push(Kind { manifests: vec![manifest], ..kind }),
        }
    }
    // One kind after the other: namespaces come before what lives in them, roles before what binds them.
    for kind in kinds {
        kind.reconcile().await?;
    }
    Ok(())
}

/// The manifests of one kind.
struct Kind<'a> {
    objects: &'a Objects,
    authorizer: &'a dyn Authorizer,
    kind: &'a RegisteredKind,
    version: &'static str,
    manifests: Vec<Value>,
}

impl<'a> Kind<'a> {
    fn of(objects: &'a Objects, authorizer: &'a dyn Authorizer, manifest: &Value) -> Result<Self> {
        let text = |field: &str| manifest[field].as_str().unwrap_or_default();
        let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
        let kind = objects.registry().by_kind(group, text("kind"));
        let found = kind.and_then(|kind| Some((kind, *kind.versions.iter().find(|served| **served == version)?)));
        let (kind, version) = found
            .ok_or_else(|| Error::internal(format!("nobody serves {} of {}", text("kind"), text("apiVersion"))))?;
        Ok(Self { objects, authorizer, kind, version, manifests: vec![] })
    }

    fn grant(&self, verb: &'static str, namespace: &str, name: &str) -> Result<Grant> {
        let context = std::sync::Arc::new(Context::system("bootstrap"));
        let attributes = Attributes::resource(verb, self.kind.group, self.kind.plural, namespace, name);
        authorize(self.authorizer, &context, attributes)
    }

    async fn reconcile(mut self) -> Result<()> {
        let listed = self.objects.list(&self.grant("list", "", "")?, self.version, &ListOptions::default()).await?;
        let mut stored: BTreeMap<(&str, &str), &str> = BTreeMap::new();
        for item in &listed.items {
            stored.insert((&item.namespace, &item.name), &item.body);
        }
        let manifests = std::mem::take(&mut self.manifests);
        let changes = manifests.into_iter().map(|wanted| {
            let found = stored.get(&(wanted.namespace(), wanted.name())).copied();
            let this = &self;
            async move {
                match found {
                    None => this.create(wanted).await,
                    Some(found) => this.repair(found, &wanted).await,
                }
            }
        });
        futures::stream::iter(changes).buffer_unordered(CONCURRENT).try_collect().await
    }

    async fn create(&self, wanted: Value) -> Result<()> {
        let grant = self.grant("create", wanted.namespace(), wanted.name())?;
        match self.objects.create(&grant, self.version, decoded(wanted), &WriteOptions::default()).await {
            // Another server on the same store was faster.
            Ok(_) | Err(Error::AlreadyExists(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn repair(&self, found: &str, wanted: &Value) -> Result<()> {
        let mut object = object::parse_as(&self.kind.api_version(self.version), self.kind.kind, found)?;
        if !updates_itself(wanted) || !updates_itself(&object) {
            return Ok(());
        }
        if object.get("roleRef") != wanted.get("roleRef") {
            // What a binding refers to can't be changed, so that it is made anew.
            let grant = self.grant("delete", wanted.namespace(), wanted.name())?;
            self.objects.delete(&grant, self.version, &DeleteOptions::default()).await?;
            return self.create(wanted.clone()).await;
        }
        let before = object.clone();
        complete(&mut object, wanted)?;
        if object == before {
            return Ok(());
        }
        let grant = self.grant("update", wanted.namespace(), wanted.name())?;
        match self.objects.update(&grant, self.version, decoded(object), &WriteOptions::default()).await {
            Ok(_) | Err(Error::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn decoded(value: Value) -> Decoded {
    Decoded { value, duplicates: vec![] }
}

fn updates_itself(object: &Value) -> bool {
    object["metadata"]["annotations"][AUTOUPDATE] == "true"
}

/// Adds to `object` what `wanted` has and it lacks.
fn complete(object: &mut Value, wanted: &Value) -> Result<()> {
    for field in ["labels", "annotations"] {
        let theirs = wanted["metadata"][field].as_object().into_iter().flatten();
        for (key, value) in theirs {
            if object["metadata"][field][key] != *value {
                object["metadata"][field][key] = value.clone();
            }
        }
    }
    let rules = |value: &Value| Vec::<PolicyRule>::deserialize(value).map_err(Error::internal);
    if let Some(wanted) = wanted.get("rules").filter(|rules| rules.is_array()) {
        let held = object.get("rules").filter(|rules| rules.is_array()).map(rules).transpose()?.unwrap_or_default();
        if let Err(missing) = rbac::cover::covers(&held, &rules(wanted)?) {
            extend(object, &["rules"], missing.iter().map(|rule| json!(rule)));
        }
    }
    for path in [&["subjects"][..], &["aggregationRule", "clusterRoleSelectors"]] {
        let at = |value: &Value| path.iter().try_fold(value.clone(), |value, field| value.get(field).cloned());
        let held = at(object).and_then(|held| held.as_array().cloned()).unwrap_or_default();
        let wanted = at(wanted).and_then(|wanted| wanted.as_array().cloned()).unwrap_or_default();
        let missing: Vec<Value> = wanted.into_iter().filter(|item| !held.contains(item)).collect();
        if !missing.is_empty() {
            extend(object, path, missing.into_iter());
        }
    }
    Ok(())
}

/// Appends to the list at `path`, which is made if it isn't there.
fn extend(object: &mut Value, path: &[&str], items: impl Iterator<Item = Value>) {
    let list = path.iter().fold(object, |value, field| &mut value[*field]);
    match list.as_array_mut() {
        Some(list) => list.extend(items),
        None => *list = items.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_added_and_what_was_added_stays() {
        let rule = |resource: &str, verbs: &[&str]| json!({"apiGroups": [""], "resources": [resource], "verbs": verbs});
        let wanted = json!({
            "metadata": {"labels": {"a": "1"}}, "rules": [rule("pods", &["get", "list"])],
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"x": "true"}}]},
        });
        let mut object =
            json!({"metadata": {"labels": {"b": "2"}}, "rules": [rule("pods", &["get"]), rule("x", &["get"])]});
        complete(&mut object, &wanted).unwrap();
        assert_eq!(object["metadata"]["labels"], json!({"a": "1", "b": "2"}));
        assert_eq!(object["rules"][2], rule("pods", &["list"]));
        assert_eq!(object["aggregationRule"], wanted["aggregationRule"]);
        let whole = object.clone();
        complete(&mut object, &wanted).unwrap();
        assert_eq!(object, whole);
    }
}
