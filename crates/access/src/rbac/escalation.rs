//! The guard against escalation: whoever writes a role must hold all that it allows, or the verb `escalate` on it;
//! whoever writes a binding must hold all that its role allows, or the verb `bind` on the role.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::{
    AggregationRule, ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef,
};
use mcplane_core::authz::{Attributes, Authorizer, Decision};
use mcplane_core::context::{Caller, MASTERS};
use mcplane_core::{Error, Result, Subject};

use super::cover::{covers, describe, quoted};
use super::{GROUP, Policy};
use crate::users::GROUP as USERS;

/// Most lines of missing permissions in a refusal.
const MOST_LINES: usize = 64;

/// Whether the caller may create or update `role` to what it says.
///
/// # Errors
/// [`Error::Forbidden`] with the permissions that the caller lacks.
pub fn check_role(policy: &Policy, caller: &Caller, role: &Role) -> Result<()> {
    let namespace = role.metadata.namespace.as_deref().unwrap_or_default();
    let name = role.metadata.name.as_deref().unwrap_or_default();
    let object = Object { group: GROUP, resource: "roles", namespace, name };
    if caller.in_group(MASTERS) || object.allows(policy, caller, "escalate") {
        return Ok(());
    }
    object.confirm(policy, caller, role.rules.as_deref().unwrap_or_default())
}

/// Whether the caller may create `role`, or update `old` to it.
///
/// A role that aggregates can come to hold anything, so that only who holds everything may change what it selects.
///
/// # Errors
/// [`Error::Forbidden`] with the permissions that the caller lacks.
pub fn check_cluster_role(
    policy: &Policy,
    caller: &Caller,
    old: Option<&ClusterRole>,
    role: &ClusterRole,
) -> Result<()> {
    let name = role.metadata.name.as_deref().unwrap_or_default();
    let object = Object { group: GROUP, resource: "clusterroles", namespace: "", name };
    if caller.in_group(MASTERS) || object.allows(policy, caller, "escalate") {
        return Ok(());
    }
    object.confirm(policy, caller, role.rules.as_deref().unwrap_or_default())?;
    let selectors = |role: &ClusterRole| {
        let rule: Option<&AggregationRule> = role.aggregation_rule.as_ref();
        rule.and_then(|rule| rule.cluster_role_selectors.clone()).unwrap_or_default()
    };
    let unchanged = selectors(role) == old.map(selectors).unwrap_or_default();
    if unchanged || covers(&policy.rules_for(caller, ""), &everything()).is_ok() {
        return Ok(());
    }
    Err(object.forbidden("must have cluster-admin privileges to use the aggregationRule"))
}

/// Whether the caller may create or update `binding` to what it says.
///
/// # Errors
/// [`Error::Forbidden`] with the permissions that the caller lacks, [`Error::NotFound`] for a role that isn't there.
pub fn check_role_binding(policy: &Policy, caller: &Caller, binding: &RoleBinding) -> Result<()> {
    let namespace = binding.metadata.namespace.as_deref().unwrap_or_default();
    let name = binding.metadata.name.as_deref().unwrap_or_default();
    check_binding(
        policy,
        caller,
        &Object { group: GROUP, resource: "rolebindings", namespace, name },
        &binding.role_ref,
    )
}

/// Whether the caller may create or update `binding` to what it says.
///
/// # Errors
/// [`Error::Forbidden`] with the permissions that the caller lacks, [`Error::NotFound`] for a role that isn't there.
pub fn check_cluster_role_binding(policy: &Policy, caller: &Caller, binding: &ClusterRoleBinding) -> Result<()> {
    let name = binding.metadata.name.as_deref().unwrap_or_default();
    check_binding(
        policy,
        caller,
        &Object { group: GROUP, resource: "clusterrolebindings", namespace: "", name },
        &binding.role_ref,
    )
}

fn check_binding(policy: &Policy, caller: &Caller, binding: &Object<'_>, role: &RoleRef) -> Result<()> {
    let resource = if role.kind == "ClusterRole" { "clusterroles" } else { "roles" };
    let target = Object { group: GROUP, resource, namespace: binding.namespace, name: &role.name };
    if caller.in_group(MASTERS) || target.allows(policy, caller, "bind") {
        return Ok(());
    }
    let Some(rules) = policy.role_rules(role, binding.namespace) else {
        return Err(Error::NotFound(Subject::new(GROUP, resource, &role.name)));
    };
    binding.confirm(policy, caller, &rules)
}

/// Whether the caller may write the credentials or the role of a local user, who then is `user`: whoever sets a password
/// can act as its user.
///
/// # Errors
/// [`Error::Forbidden`] with the permissions that the caller lacks.
pub fn check_user(policy: &Policy, caller: &Caller, user: &Caller) -> Result<()> {
    let in_namespace = |namespace| Object { group: USERS, resource: "users", namespace, name: &user.name };
    if caller.in_group(MASTERS) || in_namespace("").allows(policy, caller, "escalate") {
        return Ok(());
    }
    let namespaces = policy.namespaces_of(user);
    for namespace in std::iter::once("").chain(namespaces) {
        in_namespace(namespace).confirm(policy, caller, &policy.rules_for(user, namespace))?;
    }
    Ok(())
}

/// An object that a check is about.
struct Object<'a> {
    group: &'static str,
    resource: &'static str,
    namespace: &'a str,
    name: &'a str,
}

impl Object<'_> {
    fn allows(&self, policy: &Policy, caller: &Caller, verb: &'static str) -> bool {
        let attributes = Attributes::resource(verb, self.group, self.resource, self.namespace, self.name);
        matches!(policy.decide(caller, &attributes), Decision::Allow(_))
    }

    fn confirm(&self, policy: &Policy, caller: &Caller, granted: &[PolicyRule]) -> Result<()> {
        let Err(missing) = covers(&policy.rules_for(caller, self.namespace), granted) else { return Ok(()) };
        let lines: BTreeSet<String> = missing.iter().map(describe).collect();
        let mut message = format!(
            "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:",
            caller.name,
            quoted(&caller.groups)
        );
        for line in lines.iter().take(MOST_LINES) {
            message.push('\n');
            message.push_str(line);
        }
        if let Some(more) = lines.len().checked_sub(MOST_LINES).filter(|more| *more > 0) {
            message.push_str(&format!("\nand {more} more"));
        }
        Err(self.forbidden(&message))
    }

    fn forbidden(&self, reason: &str) -> Error {
        let subject = Subject::new(self.group, self.resource, self.name);
        let message = format!("{subject} is forbidden: {reason}");
        Error::Forbidden { subject, message }
    }
}

/// The rules of somebody who may do everything.
pub(super) fn everything() -> [PolicyRule; 2] {
    let star = || vec!["*".to_owned()];
    [
        PolicyRule { api_groups: Some(star()), resources: Some(star()), verbs: star(), ..PolicyRule::default() },
        PolicyRule { non_resource_urls: Some(star()), verbs: star(), ..PolicyRule::default() },
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::{caller, policy};
    use super::*;

    fn object<T: serde::de::DeserializeOwned>(kind: &str, mut value: Value) -> T {
        value["apiVersion"] = format!("{GROUP}/v1").into();
        value["kind"] = kind.into();
        serde_json::from_value(value).unwrap()
    }

    fn role(resource: &str) -> Role {
        object(
            "Role",
            json!({"metadata": {"name": "r", "namespace": "a"},
            "rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get"]}]}),
        )
    }

    fn binding(namespace: &str, kind: &str, name: &str) -> RoleBinding {
        object(
            "RoleBinding",
            json!({"metadata": {"name": "b", "namespace": namespace},
            "roleRef": {"kind": kind, "name": name}}),
        )
    }

    /// ann may get pods in `a`; eva may escalate roles and bind the ClusterRole `secret` in `a`; root is cluster-admin.
    fn cluster() -> Policy {
        policy(json!([
            {"kind": "Role", "metadata": {"name": "pod", "namespace": "a"},
             "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
            {"kind": "ClusterRole", "metadata": {"name": "secret"},
             "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]},
            {"kind": "Role", "metadata": {"name": "special", "namespace": "a"},
             "rules": [{"apiGroups": [GROUP], "resources": ["roles"], "verbs": ["escalate"]},
                       {"apiGroups": [GROUP], "resources": ["clusterroles"], "resourceNames": ["secret"], "verbs": ["bind"]}]},
            {"kind": "ClusterRole", "metadata": {"name": "all"},
             "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*"], "verbs": ["*"]}]},
            {"kind": "RoleBinding", "metadata": {"name": "ann", "namespace": "a"},
             "roleRef": {"kind": "Role", "name": "pod"}, "subjects": [{"kind": "User", "name": "ann"}]},
            {"kind": "RoleBinding", "metadata": {"name": "eva", "namespace": "a"},
             "roleRef": {"kind": "Role", "name": "special"}, "subjects": [{"kind": "User", "name": "eva"}]},
            {"kind": "ClusterRoleBinding", "metadata": {"name": "root"},
             "roleRef": {"kind": "ClusterRole", "name": "all"}, "subjects": [{"kind": "User", "name": "root"}]},
        ]))
    }

    #[test]
    fn roles_grant_what_is_held() {
        let (policy, ann) = (cluster(), caller("ann", &["devs", "system:authenticated"]));
        assert!(check_role(&policy, &ann, &role("pods")).is_ok());
        let refused = check_role(&policy, &ann, &role("secrets")).unwrap_err();
        assert_eq!(refused.http_status(), 403);
        assert_eq!(
            refused.to_string(),
            "roles.rbac.authorization.k8s.io \"r\" is forbidden: user \"ann\" (groups=[\"devs\" \"system:authenticated\"]) \
             is attempting to grant RBAC permissions not currently held:\n\
             {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}"
        );
        assert!(check_role(&policy, &caller("eva", &[]), &role("secrets")).is_ok());
        assert!(check_role(&policy, &caller("root", &[]), &role("secrets")).is_ok());
        assert!(check_role(&policy, &caller("x", &[MASTERS]), &role("secrets")).is_ok());
    }

    #[test]
    fn what_is_held_in_a_namespace_grants_nothing_elsewhere() {
        let (policy, ann) = (cluster(), caller("ann", &[]));
        let mut elsewhere = role("pods");
        elsewhere.metadata.namespace = Some("b".into());
        assert!(check_role(&policy, &ann, &elsewhere).is_err());
        let everywhere: ClusterRole = object(
            "ClusterRole",
            json!({"metadata": {"name": "r"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
        );
        assert!(check_cluster_role(&policy, &ann, None, &everywhere).is_err());
        let wide: ClusterRoleBinding = object(
            "ClusterRoleBinding",
            json!({"metadata": {"name": "b"},
            "roleRef": {"kind": "ClusterRole", "name": "secret"}}),
        );
        assert!(check_cluster_role_binding(&policy, &caller("eva", &[]), &wide).is_err());
        assert!(check_cluster_role_binding(&policy, &caller("root", &[]), &wide).is_ok());
    }

    #[test]
    fn bindings_grant_what_is_held_or_may_be_bound() {
        let (policy, ann, eva) = (cluster(), caller("ann", &[]), caller("eva", &[]));
        assert!(check_role_binding(&policy, &ann, &binding("a", "Role", "pod")).is_ok());
        assert!(check_role_binding(&policy, &ann, &binding("a", "ClusterRole", "secret")).is_err());
        assert!(check_role_binding(&policy, &eva, &binding("a", "ClusterRole", "secret")).is_ok());
        assert!(check_role_binding(&policy, &eva, &binding("b", "ClusterRole", "secret")).is_err());
        assert!(check_role_binding(&policy, &eva, &binding("a", "ClusterRole", "all")).is_err());
        let missing = check_role_binding(&policy, &ann, &binding("a", "Role", "gone")).unwrap_err();
        assert_eq!(missing.to_string(), "roles.rbac.authorization.k8s.io \"gone\" not found");
    }

    #[test]
    fn aggregation_is_for_those_who_hold_everything() {
        let aggregated = |label: &str| -> ClusterRole {
            object(
                "ClusterRole",
                json!({"metadata": {"name": "sum"},
                "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}}),
            )
        };
        let (policy, ann, root) = (cluster(), caller("ann", &[]), caller("root", &[]));
        let refused = check_cluster_role(&policy, &ann, None, &aggregated("x")).unwrap_err();
        assert!(refused.to_string().ends_with("must have cluster-admin privileges to use the aggregationRule"));
        assert!(check_cluster_role(&policy, &ann, Some(&aggregated("x")), &aggregated("x")).is_ok());
        assert!(check_cluster_role(&policy, &ann, Some(&aggregated("x")), &aggregated("y")).is_err());
        assert!(check_cluster_role(&policy, &root, None, &aggregated("x")).is_ok());
    }

    #[test]
    fn long_refusals_are_cut() {
        let many: Vec<String> = (0..200).map(|n| format!("r{n}")).collect();
        let role: Role = object(
            "Role",
            json!({"metadata": {"name": "r", "namespace": "a"},
            "rules": [{"apiGroups": [""], "resources": many, "verbs": ["get"]}]}),
        );
        let message = check_role(&cluster(), &caller("ann", &[]), &role).unwrap_err().to_string();
        assert!(message.ends_with("\nand 136 more"), "{message}");
    }

    #[test]
    fn users_may_be_made_by_those_who_hold_what_they_get() {
        let all = json!({"kind": "ClusterRole", "name": "all"});
        let to = |kind: &str, name: &str| json!([{"kind": kind, "name": name}]);
        let policy = policy(json!([
            {"kind": "ClusterRole", "metadata": {"name": "all"},
             "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]},
            {"kind": "ClusterRole", "metadata": {"name": "hirer"},
             "rules": [{"apiGroups": [USERS], "resources": ["users"], "verbs": ["escalate"]}]},
            {"kind": "ClusterRoleBinding", "metadata": {"name": "a"}, "roleRef": all, "subjects": to("Group", "bosses")},
            {"kind": "RoleBinding", "metadata": {"name": "b", "namespace": "a"}, "roleRef": all,
             "subjects": to("User", "tom")},
            {"kind": "ClusterRoleBinding", "metadata": {"name": "c"},
             "roleRef": {"kind": "ClusterRole", "name": "hirer"}, "subjects": to("User", "eva")},
        ]));
        let (ann, boss) = (caller("ann", &[]), caller("bob", &["bosses"]));
        assert!(check_user(&policy, &ann, &caller("new", &[])).is_ok());
        assert!(check_user(&policy, &ann, &caller("new", &["bosses"])).is_err());
        assert!(check_user(&policy, &ann, &caller("tom", &[])).is_err(), "tom holds something in one namespace");
        assert!(check_user(&policy, &boss, &caller("tom", &["bosses"])).is_ok());
        assert!(check_user(&policy, &caller("eva", &[]), &caller("new", &["bosses"])).is_ok());
        assert!(check_user(&policy, &caller("root", &[MASTERS]), &caller("new", &["bosses"])).is_ok());
    }
}
