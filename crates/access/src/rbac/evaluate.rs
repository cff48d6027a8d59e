//! Whether a rule matches a request, and the authorizer that asks this of the caller's rules.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use k8s_openapi::api::rbac::v1::PolicyRule;
use mcplane_core::authz::{Attributes, Authorizer, Decision, Target};
use mcplane_core::context::{Caller, MASTERS};

use super::policy::{Policy, PolicySource};

/// Whether `rule` allows the request.
pub fn rule_allows(rule: &PolicyRule, request: &Attributes) -> bool {
    if !has_or_all(Some(&rule.verbs), &request.verb) {
        return false;
    }
    match &request.target {
        Target::Path(path) => rule.non_resource_urls.iter().flatten().any(|url| url_matches(url, path)),
        Target::Resource { group, resource, subresource, name, .. } => {
            has_or_all(rule.api_groups.as_ref(), group)
                && rule.resources.iter().flatten().any(|wanted| resource_matches(wanted, resource, subresource))
                && name_matches(rule.resource_names.as_deref().unwrap_or_default(), request, subresource, name)
        }
    }
}

fn has_or_all(list: Option<&Vec<String>>, wanted: &str) -> bool {
    list.is_some_and(|list| list.iter().any(|item| item == "*" || item == wanted))
}

fn resource_matches(rule: &str, resource: &str, subresource: &str) -> bool {
    if rule == "*" {
        return true;
    }
    match rule.split_once('/') {
        None => subresource.is_empty() && rule == resource,
        Some((of, sub)) => !subresource.is_empty() && sub == subresource && (of == "*" || of == resource),
    }
}

/// A rule with names matches requests that name one of them. What is being created has no name that can be trusted,
/// and a collection has none at all.
fn name_matches(names: &[String], request: &Attributes, subresource: &str, name: &str) -> bool {
    if names.is_empty() {
        return true;
    }
    let nameless = request.verb == "deletecollection" || request.verb == "create" && subresource.is_empty();
    !nameless && !name.is_empty() && names.iter().any(|n| n == name)
}

/// Whether a rule's URL, which may end in `*`, matches `path`.
pub(super) fn url_matches(rule: &str, path: &str) -> bool {
    rule == path || rule.ends_with('*') && path.starts_with(rule.trim_end_matches('*'))
}

impl Authorizer for Policy {
    fn decide(&self, caller: &Caller, attributes: &Attributes) -> Decision {
        if caller.in_group(MASTERS) {
            return Decision::Allow(format!("allowed for group {MASTERS:?}"));
        }
        let namespace = match &attributes.target {
            Target::Resource { namespace, .. } => namespace,
            Target::Path(_) => "",
        };
        let mut broken = Vec::new();
        for binding in self.bindings_of(caller, namespace) {
            if binding.rules().iter().any(|rule| rule_allows(rule, attributes)) {
                return Decision::Allow(format!("RBAC: allowed by {binding}"));
            }
            broken.extend(binding.dangling().filter(|reason| !broken.contains(reason)));
        }
        Decision::Deny(match broken.as_slice() {
            [] => String::new(),
            [one] => format!("RBAC: {one}"),
            many => format!("RBAC: [{}]", many.join(", ")),
        })
    }
}

/// Counts changes of roles and bindings.
#[derive(Debug, Clone, Default)]
pub struct Changes(Arc<AtomicU64>);

impl Changes {
    /// Notes that what the policy is made of is now another.
    pub fn note(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    fn seen(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// The authorizer of the running server. The first decision after a change builds the policy anew, so that many changes in
/// a row cost one build.
pub struct RbacAuthorizer {
    source: Box<dyn Fn() -> PolicySource + Send + Sync>,
    changes: Changes,
    /// The policy, with the number of changes that it knows of.
    built: RwLock<(u64, Arc<Policy>)>,
}

impl std::fmt::Debug for RbacAuthorizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RbacAuthorizer").finish_non_exhaustive()
    }
}

impl RbacAuthorizer {
    /// An authorizer of what `source` gives after the newest of `changes`.
    pub fn new(source: impl Fn() -> PolicySource + Send + Sync + 'static, changes: Changes) -> Self {
        let seen = changes.seen();
        let policy = Arc::new(Policy::build(&source()));
        Self { source: Box::new(source), changes, built: RwLock::new((seen, policy)) }
    }

    /// The latest policy; decisions under way finish with the one before.
    pub fn policy(&self) -> Arc<Policy> {
        {
            let built = self.built.read().unwrap_or_else(PoisonError::into_inner);
            if built.0 == self.changes.seen() {
                return Arc::clone(&built.1);
            }
        }
        let mut built = self.built.write().unwrap_or_else(PoisonError::into_inner);
        // Counted before the source is read: a change that comes meanwhile leads to one build too many, never too few.
        let seen = self.changes.seen();
        if built.0 != seen {
            *built = (seen, Arc::new(Policy::build(&(self.source)())));
        }
        Arc::clone(&built.1)
    }
}

impl Authorizer for RbacAuthorizer {
    fn decide(&self, caller: &Caller, attributes: &Attributes) -> Decision {
        self.policy().decide(caller, attributes)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{allows, caller, policy};
    use super::*;

    fn rule(value: serde_json::Value) -> PolicyRule {
        serde_json::from_value(value).unwrap()
    }

    fn request(verb: &'static str, group: &str, resource: &str, subresource: &str, name: &str) -> Attributes {
        Attributes::resource(verb, group, resource, "ns", name).with_subresource(subresource)
    }

    #[test]
    fn resources_and_subresources() {
        let check = |resources: &[&str], resource: &str, subresource: &str| {
            let rule = rule(json!({"apiGroups": [""], "resources": resources, "verbs": ["get"]}));
            rule_allows(&rule, &request("get", "", resource, subresource, "a"))
        };
        assert!(check(&["pods"], "pods", ""));
        assert!(!check(&["pods"], "pods", "status"));
        assert!(!check(&["pods"], "secrets", ""));
        assert!(check(&["pods/status"], "pods", "status"));
        assert!(!check(&["pods/status"], "pods", ""));
        assert!(check(&["*/status"], "pods", "status"));
        assert!(!check(&["*/status"], "pods", "log"));
        assert!(!check(&["*/status"], "pods", ""));
        assert!(check(&["*"], "pods", ""));
        assert!(check(&["*"], "pods", "status"));
        assert!(!check(&["pods/*"], "pods", "status"));
        assert!(!check(&[], "pods", ""));
    }

    #[test]
    fn groups_and_verbs() {
        let one = rule(json!({"apiGroups": ["apps"], "resources": ["*"], "verbs": ["get", "list"]}));
        assert!(rule_allows(&one, &request("list", "apps", "x", "", "")));
        assert!(!rule_allows(&one, &request("watch", "apps", "x", "", "")));
        assert!(!rule_allows(&one, &request("get", "", "x", "", "a")));
        let all = rule(json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}));
        assert!(rule_allows(&all, &request("escalate", "any", "x", "y", "a")));
        assert!(!rule_allows(&all, &Attributes::path("get", "/metrics")));
        let groupless = rule(json!({"resources": ["*"], "verbs": ["*"]}));
        assert!(!rule_allows(&groupless, &request("get", "", "x", "", "a")));
    }

    #[test]
    fn named_rules_match_named_requests_only() {
        let named =
            rule(json!({"apiGroups": [""], "resources": ["x", "x/token"], "resourceNames": ["a"], "verbs": ["*"]}));
        assert!(rule_allows(&named, &request("get", "", "x", "", "a")));
        assert!(rule_allows(&named, &request("list", "", "x", "", "a")));
        assert!(rule_allows(&named, &request("create", "", "x", "token", "a")));
        assert!(!rule_allows(&named, &request("get", "", "x", "", "b")));
        assert!(!rule_allows(&named, &request("list", "", "x", "", "")));
        assert!(!rule_allows(&named, &request("create", "", "x", "", "a")));
        assert!(!rule_allows(&named, &request("deletecollection", "", "x", "", "a")));
    }

    #[test]
    fn paths() {
        let check = |urls: &[&str], path: &str| {
            rule_allows(&rule(json!({"nonResourceURLs": urls, "verbs": ["get"]})), &Attributes::path("get", path))
        };
        assert!(check(&["/metrics"], "/metrics"));
        assert!(!check(&["/metrics"], "/metrics/x"));
        assert!(check(&["/apis/*"], "/apis/apps/v1"));
        assert!(!check(&["/apis/*"], "/apis"));
        assert!(check(&["*"], "/anything"));
        assert!(!check(&["/a*b"], "/axb"));
    }

    #[test]
    fn bindings_reach_their_subjects_in_their_scope() {
        let policy = policy(json!([
            {"kind": "ClusterRole", "metadata": {"name": "reader"},
             "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
                       {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]},
            {"kind": "Role", "metadata": {"name": "writer", "namespace": "a"},
             "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["update"]}]},
            {"kind": "ClusterRoleBinding", "metadata": {"name": "everywhere"},
             "roleRef": {"kind": "ClusterRole", "name": "reader"}, "subjects": [{"kind": "User", "name": "ann"}]},
            {"kind": "RoleBinding", "metadata": {"name": "here", "namespace": "a"},
             "roleRef": {"kind": "ClusterRole", "name": "reader"},
             "subjects": [{"kind": "Group", "name": "team"}, {"kind": "ServiceAccount", "name": "bot"}]},
            {"kind": "RoleBinding", "metadata": {"name": "write", "namespace": "a"},
             "roleRef": {"kind": "Role", "name": "writer"},
             "subjects": [{"kind": "ServiceAccount", "name": "bot", "namespace": "b"}]},
            {"kind": "RoleBinding", "metadata": {"name": "elsewhere", "namespace": "b"},
             "roleRef": {"kind": "Role", "name": "writer"}, "subjects": [{"kind": "User", "name": "eve"}]},
        ]));
        let get = |namespace: &str| Attributes::resource("get", "", "configmaps", namespace, "x");
        let update = Attributes::resource("update", "", "configmaps", "a", "x");
        let (ann, team) = (caller("ann", &[]), caller("tom", &["team"]));
        assert!(allows(&policy, &ann, get("")) && allows(&policy, &ann, get("b")));
        assert!(allows(&policy, &ann, Attributes::path("get", "/metrics")));
        assert!(allows(&policy, &team, get("a")));
        assert!(!allows(&policy, &team, get("b")) && !allows(&policy, &team, get("")));
        assert!(!allows(&policy, &team, Attributes::path("get", "/metrics")));
        assert!(allows(&policy, &caller("system:serviceaccount:a:bot", &[]), get("a")));
        assert!(allows(&policy, &caller("system:serviceaccount:b:bot", &[]), update.clone()));
        assert!(!allows(&policy, &caller("system:serviceaccount:a:bot", &[]), update.clone()));
        assert!(!allows(&policy, &caller("team", &["ann"]), get("a")));
        assert!(allows(&policy, &caller("root", &[MASTERS]), update));

        let reason = |name: &str, groups: &[&str], attributes| policy.decide(&caller(name, groups), &attributes);
        assert_eq!(
            reason("ann", &[], get("a")),
            Decision::Allow(
                r#"RBAC: allowed by ClusterRoleBinding "everywhere" of ClusterRole "reader" to User "ann""#.into()
            )
        );
        assert_eq!(
            reason("system:serviceaccount:a:bot", &[], get("a")),
            Decision::Allow(
                r#"RBAC: allowed by RoleBinding "here/a" of ClusterRole "reader" to ServiceAccount "bot/a""#.into()
            )
        );
        assert_eq!(
            reason("eve", &[], get("b")),
            Decision::Deny(r#"RBAC: role.rbac.authorization.k8s.io "writer" not found"#.into())
        );
        assert_eq!(reason("nobody", &[], get("b")), Decision::Deny(String::new()));
    }

    #[test]
    fn a_change_counts_at_the_next_decision_and_is_built_once() {
        let (changes, builds) = (Changes::default(), Arc::new(AtomicU64::new(0)));
        let (objects, count) = (Arc::new(std::sync::Mutex::new(json!([]))), Arc::clone(&builds));
        let stored = Arc::clone(&objects);
        let source = move || {
            count.fetch_add(1, Ordering::SeqCst);
            PolicySource::from_manifests(stored.lock().unwrap().as_array().unwrap().iter().cloned()).unwrap()
        };
        let authorizer = RbacAuthorizer::new(source, changes.clone());
        let (ann, attributes) = (caller("ann", &[]), Attributes::path("get", "/metrics"));
        assert!(!allows(&authorizer, &ann, attributes.clone()));
        *objects.lock().unwrap() = json!([
            {"kind": "ClusterRole", "metadata": {"name": "r"}, "rules": [{"nonResourceURLs": ["*"], "verbs": ["*"]}]},
            {"kind": "ClusterRoleBinding", "metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "r"},
             "subjects": [{"kind": "User", "name": "ann"}]},
        ]);
        (0..10).for_each(|_| changes.note());
        assert!(allows(&authorizer, &ann, attributes.clone()) && allows(&authorizer, &ann, attributes));
        assert_eq!(builds.load(Ordering::SeqCst), 2);
    }
}
