//! The roles and bindings that every server starts with.
//!
//! `admin`, `edit` and `view` are sums: a capability that brings new kinds adds a ClusterRole with one of the labels
//! `rbac.authorization.k8s.io/aggregate-to-{admin,edit,view}` and touches nothing here.

use serde_json::{Value, json};

use super::GROUP;

/// A local user whose role is `R` belongs to the group of this prefix and `R`.
pub const ROLE_GROUP_PREFIX: &str = "mcplane:role:";

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "update", "patch", "delete", "deletecollection"];
const ALL: &[&str] = &["*"];
const CORE: &[&str] = &[""];
const ISTIO: &[&str] = &["networking.istio.io"];
const LEASES: &[&str] = &["coordination.k8s.io"];
const EVENTS: &[&str] = &["", "events.k8s.io"];
const ACCESS: &[&str] = &["authorization.k8s.io"];
const AUTHENTICATION: &[&str] = &["authentication.k8s.io"];

/// All default ClusterRoles and ClusterRoleBindings, as manifests.
pub fn manifests() -> Vec<Value> {
    let health = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
    let discovery = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"];
    let mut all = vec![
        cluster_role("cluster-admin", &[rule(ALL, ALL, ALL), paths(ALL, ALL)]),
        sum("admin", &["admin"], None),
        sum("edit", &["edit"], Some("admin")),
        sum("view", &["view"], Some("edit")),
        part("admin", &admin()),
        part("edit", &edit()),
        part("view", &view()),
        cluster_role("system:discovery", &[paths(&[&health[..], &discovery[..]].concat(), &["get"])]),
        cluster_role("system:public-info-viewer", &[paths(&health, &["get"])]),
        cluster_role(
            "system:basic-user",
            &[
                rule(ACCESS, &["selfsubjectaccessreviews", "selfsubjectrulesreviews"], &["create"]),
                rule(AUTHENTICATION, &["selfsubjectreviews"], &["create"]),
            ],
        ),
        binding("cluster-admin", "cluster-admin", &["system:masters"]),
        binding("system:discovery", "system:discovery", &["system:authenticated"]),
        binding("system:basic-user", "system:basic-user", &["system:authenticated"]),
        binding(
            "system:public-info-viewer",
            "system:public-info-viewer",
            &["system:authenticated", "system:unauthenticated"],
        ),
    ];
    all.extend([("admin", "cluster-admin"), ("editor", "edit"), ("viewer", "view")].map(|(local, role)| {
        let group = format!("{ROLE_GROUP_PREFIX}{local}");
        binding(&group, role, &[&group])
    }));
    all
}

fn view() -> Vec<Value> {
    let plain = ["configmaps", "limitranges", "namespaces", "namespaces/status", "resourcequotas"];
    let more = ["resourcequotas/status", "serviceaccounts"];
    vec![
        rule(CORE, &[&plain[..], &more[..]].concat(), READ),
        rule(EVENTS, &["events"], READ),
        rule(LEASES, &["leases"], READ),
        rule(ISTIO, &["destinationrules", "virtualservices"], READ),
    ]
}

fn edit() -> Vec<Value> {
    vec![
        rule(CORE, &["secrets"], READ),
        rule(CORE, &["configmaps", "secrets", "serviceaccounts"], WRITE),
        rule(CORE, &["serviceaccounts/token"], &["create"]),
        rule(EVENTS, &["events"], WRITE),
        rule(LEASES, &["leases"], WRITE),
        rule(ISTIO, &["destinationrules", "virtualservices"], WRITE),
    ]
}

fn admin() -> Vec<Value> {
    vec![
        rule(&[GROUP], &["rolebindings", "roles"], &[READ, WRITE].concat()),
        rule(ACCESS, &["localsubjectaccessreviews"], &["create"]),
    ]
}

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs})
}

fn paths(urls: &[&str], verbs: &[&str]) -> Value {
    json!({"nonResourceURLs": urls, "verbs": verbs})
}

fn object(kind: &str, name: &str) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": kind,
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        },
    })
}

fn cluster_role(name: &str, rules: &[Value]) -> Value {
    let mut role = object("ClusterRole", name);
    role["rules"] = rules.into();
    role
}

fn label(target: &str) -> String {
    format!("{GROUP}/aggregate-to-{target}")
}

/// A role that is the sum of those labelled for `targets`, and itself counts towards `towards`.
fn sum(name: &str, targets: &[&str], towards: Option<&str>) -> Value {
    let mut role = object("ClusterRole", name);
    let selectors: Vec<Value> = targets.iter().map(|target| json!({"matchLabels": {label(target): "true"}})).collect();
    role["aggregationRule"] = json!({"clusterRoleSelectors": selectors});
    if let Some(target) = towards {
        role["metadata"]["labels"][label(target)] = "true".into();
    }
    role
}

/// The role with the server's own rules of the sum `target`.
fn part(target: &str, rules: &[Value]) -> Value {
    let mut role = cluster_role(&format!("system:aggregate-to-{target}"), rules);
    role["metadata"]["labels"][label(target)] = "true".into();
    role
}

fn binding(name: &str, role: &str, groups: &[&str]) -> Value {
    let mut binding = object("ClusterRoleBinding", name);
    binding["roleRef"] = json!({"apiGroup": GROUP, "kind": "ClusterRole", "name": role});
    binding["subjects"] =
        groups.iter().map(|group| json!({"apiGroup": GROUP, "kind": "Group", "name": group})).collect();
    binding
}

#[cfg(test)]
mod tests {
    use super::super::escalation::check_cluster_role_binding;
    use super::super::testing::{caller, policy};
    use super::*;

    #[test]
    fn names_are_unique_and_references_resolve() {
        let all = manifests();
        let mut names: Vec<String> = all.iter().map(|m| format!("{}/{}", m["kind"], m["metadata"]["name"])).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all.len());
        for binding in all.iter().filter(|m| m["kind"] == "ClusterRoleBinding") {
            let found = |m: &&Value| m["kind"] == "ClusterRole" && m["metadata"]["name"] == binding["roleRef"]["name"];
            assert!(all.iter().any(|m| found(&m)), "{binding}");
        }
        for manifest in &all {
            assert_eq!(manifest["metadata"]["labels"]["kubernetes.io/bootstrapping"], "rbac-defaults");
            assert_eq!(manifest["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"], "true");
        }
    }

    #[test]
    fn lesser_roles_cannot_bind_greater_ones() {
        let policy = policy(manifests().into());
        let wide = serde_json::from_value(binding("x", "cluster-admin", &["system:authenticated"])).unwrap();
        for role in ["editor", "viewer", "stranger"] {
            let user = caller("u", &[&format!("{ROLE_GROUP_PREFIX}{role}"), "system:authenticated"]);
            assert!(check_cluster_role_binding(&policy, &user, &wide).is_err(), "{role}");
        }
        let admin = caller("u", &[&format!("{ROLE_GROUP_PREFIX}admin")]);
        assert!(check_cluster_role_binding(&policy, &admin, &wide).is_ok());
    }
}
