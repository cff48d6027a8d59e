//! `RoleBinding` and `ClusterRoleBinding`.

use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding, RoleRef, Subject};
use mcplane_apimachinery::names;
use mcplane_core::FieldError;
use mcplane_objects::http::AGE;
use mcplane_objects::{Column, Kind, NameRule, Resource};
use serde::Deserialize;
use serde_json::Value;

use super::text;
use crate::rbac::GROUP;

/// `RoleBinding` as a kind.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct RoleBindingKind(pub RoleBinding);

/// `ClusterRoleBinding` as a kind.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct ClusterRoleBindingKind(pub ClusterRoleBinding);

const COLUMNS: &[Column] = &[
    Column { name: "Role", format: "string", priority: 0, cell: |binding| role(binding) },
    AGE,
    Column { name: "Users", format: "string", priority: 1, cell: |binding| subjects(binding, "User") },
    Column { name: "Groups", format: "string", priority: 1, cell: |binding| subjects(binding, "Group") },
    Column {
        name: "ServiceAccounts",
        format: "string",
        priority: 1,
        cell: |binding| subjects(binding, "ServiceAccount"),
    },
];

impl Resource for RoleBindingKind {
    const KIND: Kind = Kind {
        name_rule: NameRule::PathSegment,
        columns: COLUMNS,
        ..Kind::namespaced(GROUP, &["v1"], "RoleBinding", "rolebindings", "rolebinding")
    };

    fn prepare(new: &mut Value, _: Option<&Value>) {
        fill_groups(new);
    }

    fn validate(new: &Self, old: Option<&Self>) -> Vec<FieldError> {
        let binding = Binding { role: &new.0.role_ref, subjects: new.0.subjects.as_deref() };
        binding.check(&["Role", "ClusterRole"], old.map(|old| &old.0.role_ref))
    }
}

impl Resource for ClusterRoleBindingKind {
    const KIND: Kind = Kind {
        name_rule: NameRule::PathSegment,
        columns: COLUMNS,
        ..Kind::cluster(GROUP, &["v1"], "ClusterRoleBinding", "clusterrolebindings", "clusterrolebinding")
    };

    fn prepare(new: &mut Value, _: Option<&Value>) {
        fill_groups(new);
    }

    fn validate(new: &Self, old: Option<&Self>) -> Vec<FieldError> {
        let binding = Binding { role: &new.0.role_ref, subjects: new.0.subjects.as_deref() };
        binding.check(&["ClusterRole"], old.map(|old| &old.0.role_ref))
    }
}

/// `ClusterRole/admin`.
fn role(binding: &Value) -> Value {
    format!("{}/{}", text(&binding["roleRef"], "kind"), text(&binding["roleRef"], "name")).into()
}

fn subjects(binding: &Value, kind: &str) -> Value {
    let name = |subject: &Value| match text(subject, "namespace") {
        "" => text(subject, "name").to_owned(),
        namespace => format!("{namespace}/{}", text(subject, "name")),
    };
    let subjects = binding["subjects"].as_array().into_iter().flatten();
    let names: Vec<String> = subjects.filter(|subject| text(subject, "kind") == kind).map(name).collect();
    names.join(", ").into()
}

/// The API groups that clients may leave out.
pub(crate) fn fill_groups(binding: &mut Value) {
    let fill = |reference: &mut Value| {
        if reference.is_object() && text(reference, "apiGroup").is_empty() {
            reference["apiGroup"] = GROUP.into();
        }
    };
    if let Some(role) = binding.get_mut("roleRef") {
        fill(role);
    }
    let subjects = binding.get_mut("subjects").and_then(Value::as_array_mut);
    subjects.into_iter().flatten().filter(|subject| ["User", "Group"].contains(&text(subject, "kind"))).for_each(fill);
}

struct Binding<'a> {
    role: &'a RoleRef,
    subjects: Option<&'a [Subject]>,
}

impl Binding<'_> {
    /// The rules of both kinds; a binding across the cluster is one that refers to ClusterRoles alone.
    fn check(&self, role_kinds: &[&str], old: Option<&RoleRef>) -> Vec<FieldError> {
        let mut errors = check_role_ref(self.role, role_kinds);
        for (index, subject) in self.subjects.unwrap_or_default().iter().enumerate() {
            errors.extend(check_subject(subject, &format!("subjects[{index}]"), role_kinds.contains(&"Role")));
        }
        if old.is_some_and(|old| old != self.role) {
            let value = serde_json::to_value(self.role).unwrap_or_default();
            errors.push(FieldError::invalid("roleRef", value, "cannot change roleRef"));
        }
        errors
    }
}

fn check_role_ref(role: &RoleRef, kinds: &[&str]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let group = role.api_group.as_deref().unwrap_or_default();
    if group != GROUP {
        errors.push(FieldError::not_supported("roleRef.apiGroup", group, &[GROUP]));
    }
    if !kinds.contains(&role.kind.as_str()) {
        errors.push(FieldError::not_supported("roleRef.kind", role.kind.as_str(), kinds));
    }
    if role.name.is_empty() {
        errors.push(FieldError::required("roleRef.name", ""));
    } else if let Err(fault) = names::path_segment_name(&role.name) {
        errors.push(FieldError::invalid("roleRef.name", role.name.as_str(), fault));
    }
    errors
}

fn check_subject(subject: &Subject, path: &str, namespaced: bool) -> Vec<FieldError> {
    let field = |name: &str| format!("{path}.{name}");
    let mut errors = Vec::new();
    if subject.name.is_empty() {
        errors.push(FieldError::required(field("name"), ""));
    }
    let group = subject.api_group.as_deref().unwrap_or_default();
    match subject.kind.as_str() {
        "ServiceAccount" => {
            if let Err(fault) = names::dns1123_subdomain(&subject.name)
                && !subject.name.is_empty()
            {
                errors.push(FieldError::invalid(field("name"), subject.name.as_str(), fault));
            }
            if !group.is_empty() {
                errors.push(FieldError::not_supported(field("apiGroup"), group, &[""]));
            }
            if !namespaced && subject.namespace.as_deref().unwrap_or_default().is_empty() {
                errors.push(FieldError::required(field("namespace"), ""));
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                errors.push(FieldError::not_supported(field("apiGroup"), group, &[GROUP]));
            }
        }
        other => errors.push(FieldError::not_supported(field("kind"), other, &["Group", "ServiceAccount", "User"])),
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn binding(mut value: Value) -> Value {
        value["apiVersion"] = format!("{GROUP}/v1").into();
        value["metadata"] = json!({"name": "b"});
        value
    }

    fn errors<R: Resource>(kind: &str, new: Value, old: Option<Value>) -> Vec<String> {
        let typed = |mut value: Value| -> R {
            value["kind"] = kind.into();
            R::prepare(&mut value, None);
            serde_json::from_value(value).unwrap()
        };
        let old = old.map(&typed);
        R::validate(&typed(new), old.as_ref()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn groups_are_filled_in_and_the_role_stays() {
        let to = |role: &str| {
            binding(json!({"roleRef": {"kind": "Role", "name": role}, "subjects": [
                {"kind": "User", "name": "ann"}, {"kind": "ServiceAccount", "name": "bot"}]}))
        };
        assert_eq!(errors::<RoleBindingKind>("RoleBinding", to("a"), None), Vec::<String>::new());
        let changed = errors::<RoleBindingKind>("RoleBinding", to("b"), Some(to("a")));
        assert_eq!(changed.len(), 1);
        assert!(changed[0].starts_with("roleRef: Invalid value: ") && changed[0].ends_with("cannot change roleRef"));
    }

    #[test]
    fn bindings_of_the_cluster_name_cluster_roles_and_namespaces() {
        let wrong = binding(json!({"roleRef": {"kind": "Role", "name": "a"}, "subjects": [
            {"kind": "ServiceAccount", "name": "bot"}, {"kind": "Robot", "name": ""},
            {"kind": "User", "name": "ann", "apiGroup": "x"}]}));
        assert_eq!(
            errors::<ClusterRoleBindingKind>("ClusterRoleBinding", wrong, None),
            [
                r#"roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole""#,
                "subjects[0].namespace: Required value",
                "subjects[1].name: Required value",
                r#"subjects[1].kind: Unsupported value: "Robot": supported values: "Group", "ServiceAccount", "User""#,
                r#"subjects[2].apiGroup: Unsupported value: "x": supported values: "rbac.authorization.k8s.io""#,
            ]
        );
    }

    #[test]
    fn columns_name_role_and_subjects() {
        let shown = binding(json!({"roleRef": {"kind": "ClusterRole", "name": "edit"}, "subjects": [
            {"kind": "User", "name": "ann"}, {"kind": "User", "name": "tom"},
            {"kind": "ServiceAccount", "name": "bot", "namespace": "ns"}]}));
        let cells: Vec<Value> = COLUMNS.iter().map(|column| (column.cell)(&shown)).collect();
        assert_eq!(cells, [json!("ClusterRole/edit"), Value::Null, json!("ann, tom"), json!(""), json!("ns/bot")]);
    }
}
