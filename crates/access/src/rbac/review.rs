//! Answers to "may I?": SelfSubjectAccessReview, SubjectAccessReview, LocalSubjectAccessReview and
//! SelfSubjectRulesReview. Each takes the `spec` that the client sent and gives the `status`.

use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, NonResourceRule, ResourceAttributes, ResourceRule, SelfSubjectAccessReviewSpec,
    SelfSubjectRulesReviewSpec, SubjectAccessReviewSpec, SubjectAccessReviewStatus, SubjectRulesReviewStatus,
};
use mcplane_core::authz::{Attributes, Authorizer, Decision};
use mcplane_core::context::{Caller, MASTERS};
use mcplane_core::{Error, FieldError, Result, Subject};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Policy;
use super::escalation::everything;

const GROUP: &str = "authorization.k8s.io";

/// The status of a SelfSubjectAccessReview: whether the caller may do what `spec` says.
///
/// # Errors
/// [`Error::BadRequest`] for a spec of the wrong shape, [`Error::Invalid`] for one that asks nothing or two things.
pub fn self_subject_access(authorizer: &dyn Authorizer, caller: &Caller, spec: Value) -> Result<Value> {
    let kind = "SelfSubjectAccessReview";
    let spec: SelfSubjectAccessReviewSpec = parse(kind, spec)?;
    answer(authorizer, caller, &attributes(kind, spec.resource_attributes, spec.non_resource_attributes)?)
}

/// The status of a SubjectAccessReview: whether the user or groups of `spec` may do what it says.
///
/// # Errors
/// As [`self_subject_access`], and [`Error::Invalid`] without user and groups.
pub fn subject_access(authorizer: &dyn Authorizer, spec: Value) -> Result<Value> {
    let kind = "SubjectAccessReview";
    let spec: SubjectAccessReviewSpec = parse(kind, spec)?;
    let caller = subject_of(kind, &spec)?;
    answer(authorizer, &caller, &attributes(kind, spec.resource_attributes, spec.non_resource_attributes)?)
}

/// The status of a LocalSubjectAccessReview: as [`subject_access`], within one namespace.
///
/// # Errors
/// As [`subject_access`], and [`Error::BadRequest`] for a spec that asks of another namespace.
pub fn local_subject_access(authorizer: &dyn Authorizer, namespace: &str, spec: Value) -> Result<Value> {
    let kind = "LocalSubjectAccessReview";
    let spec: SubjectAccessReviewSpec = parse(kind, spec)?;
    let caller = subject_of(kind, &spec)?;
    if spec.non_resource_attributes.is_some() {
        let cause = FieldError::forbidden("spec.nonResourceAttributes", "disallowed on this kind of request");
        return Err(invalid(kind, cause));
    }
    if spec.resource_attributes.as_ref().is_some_and(|asked| asked.namespace.as_deref() != Some(namespace)) {
        return Err(Error::bad_request("spec.resourceAttributes.namespace must match metadata.namespace"));
    }
    answer(authorizer, &caller, &attributes(kind, spec.resource_attributes, None)?)
}

/// The status of a SelfSubjectRulesReview: every rule that the caller holds in the namespace of `spec`.
///
/// # Errors
/// [`Error::BadRequest`] for a spec of the wrong shape or without a namespace.
pub fn self_subject_rules(policy: &Policy, caller: &Caller, spec: Value) -> Result<Value> {
    let spec: SelfSubjectRulesReviewSpec = parse("SelfSubjectRulesReview", spec)?;
    let namespace = spec.namespace.filter(|namespace| !namespace.is_empty());
    let namespace = namespace.ok_or_else(|| Error::bad_request("no namespace on request"))?;
    let mut rules = if caller.in_group(MASTERS) { everything().to_vec() } else { Vec::new() };
    rules.extend(policy.rules_for(caller, &namespace));
    let mut status = SubjectRulesReviewStatus::default();
    for rule in rules {
        if rule.resources.as_ref().is_some_and(|resources| !resources.is_empty()) {
            status.resource_rules.push(ResourceRule {
                api_groups: rule.api_groups,
                resource_names: rule.resource_names,
                resources: rule.resources,
                verbs: rule.verbs.clone(),
            });
        }
        if rule.non_resource_urls.as_ref().is_some_and(|urls| !urls.is_empty()) {
            let rule = NonResourceRule { non_resource_urls: rule.non_resource_urls, verbs: rule.verbs };
            status.non_resource_rules.push(rule);
        }
    }
    serde_json::to_value(status).map_err(Error::internal)
}

fn parse<T: DeserializeOwned>(kind: &str, spec: Value) -> Result<T> {
    serde_json::from_value(spec).map_err(|error| Error::bad_request(format!("{kind} has a bad spec: {error}")))
}

fn invalid(kind: &str, cause: FieldError) -> Error {
    Error::invalid(Subject::new(GROUP, kind, ""), cause)
}

fn subject_of(kind: &str, spec: &SubjectAccessReviewSpec) -> Result<Caller> {
    let caller = Caller {
        name: spec.user.clone().unwrap_or_default(),
        uid: spec.uid.clone().unwrap_or_default(),
        groups: spec.groups.clone().unwrap_or_default(),
        extra: spec.extra.clone().unwrap_or_default(),
    };
    if caller.name.is_empty() && caller.groups.is_empty() {
        return Err(invalid(
            kind,
            FieldError::invalid("spec.user", "", "at least one of user or group must be specified"),
        ));
    }
    Ok(caller)
}

fn attributes(
    kind: &str,
    resource: Option<ResourceAttributes>,
    path: Option<NonResourceAttributes>,
) -> Result<Attributes> {
    match (resource, path) {
        (Some(asked), None) => Ok(Attributes::resource(
            asked.verb.unwrap_or_default(),
            asked.group.unwrap_or_default(),
            asked.resource.unwrap_or_default(),
            asked.namespace.unwrap_or_default(),
            asked.name.unwrap_or_default(),
        )
        .with_subresource(asked.subresource.unwrap_or_default())),
        (None, Some(asked)) => Ok(Attributes::path(asked.verb.unwrap_or_default(), asked.path.unwrap_or_default())),
        (Some(_), Some(_)) => Err(invalid(
            kind,
            FieldError::invalid(
                "spec.nonResourceAttributes",
                "nonResourceAttributes",
                "cannot be specified in combination with resourceAttributes",
            ),
        )),
        (None, None) => Err(invalid(
            kind,
            FieldError::required(
                "spec.resourceAttributes",
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            ),
        )),
    }
}

fn answer(authorizer: &dyn Authorizer, caller: &Caller, attributes: &Attributes) -> Result<Value> {
    let (allowed, reason) = match authorizer.decide(caller, attributes) {
        Decision::Allow(reason) => (true, reason),
        Decision::Deny(reason) => (false, reason),
    };
    let reason = Some(reason).filter(|reason| !reason.is_empty());
    let status = SubjectAccessReviewStatus { allowed, reason, ..SubjectAccessReviewStatus::default() };
    serde_json::to_value(status).map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{caller, policy};
    use super::*;

    fn cluster() -> Policy {
        policy(json!([
            {"kind": "ClusterRole", "metadata": {"name": "reader"},
             "rules": [{"apiGroups": [""], "resources": ["pods"], "resourceNames": ["p"], "verbs": ["get"]},
                       {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]},
            {"kind": "ClusterRoleBinding", "metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "reader"},
             "subjects": [{"kind": "User", "name": "ann"}, {"kind": "Group", "name": "devs"}]},
        ]))
    }

    #[test]
    fn own_access() {
        let (policy, ann) = (cluster(), caller("ann", &[]));
        let ask = |spec| self_subject_access(&policy, &ann, spec);
        let yes =
            ask(json!({"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "x", "name": "p"}}));
        let reason = r#"RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "reader" to User "ann""#;
        assert_eq!(yes.unwrap(), json!({"allowed": true, "reason": reason}));
        let no = ask(json!({"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "x"}}));
        assert_eq!(no.unwrap(), json!({"allowed": false}));
        let path = ask(json!({"nonResourceAttributes": {"verb": "get", "path": "/metrics"}}));
        assert_eq!(path.unwrap()["allowed"], true);
        assert_eq!(ask(json!({})).unwrap_err().http_status(), 422);
        assert_eq!(ask(json!({"resourceAttributes": {}, "nonResourceAttributes": {}})).unwrap_err().http_status(), 422);
        assert_eq!(ask(json!({"resourceAttributes": 7})).unwrap_err().http_status(), 400);
        assert_eq!(ask(json!(null)).unwrap_err().http_status(), 400);
    }

    #[test]
    fn access_of_others() {
        let policy = cluster();
        let asked = json!({"verb": "get", "resource": "pods", "namespace": "x", "name": "p"});
        let ask = |spec| subject_access(&policy, spec);
        assert_eq!(ask(json!({"user": "ann", "resourceAttributes": asked})).unwrap()["allowed"], true);
        assert_eq!(ask(json!({"user": "tom", "resourceAttributes": asked})).unwrap()["allowed"], false);
        assert_eq!(ask(json!({"groups": ["devs"], "resourceAttributes": asked})).unwrap()["allowed"], true);
        assert_eq!(ask(json!({"resourceAttributes": asked})).unwrap_err().http_status(), 422);
        let local =
            |namespace| local_subject_access(&policy, namespace, json!({"user": "ann", "resourceAttributes": asked}));
        assert_eq!(local("x").unwrap()["allowed"], true);
        assert_eq!(local("y").unwrap_err().http_status(), 400);
        let path = json!({"user": "ann", "nonResourceAttributes": {"verb": "get", "path": "/metrics"}});
        assert_eq!(local_subject_access(&policy, "x", path).unwrap_err().http_status(), 422);
    }

    #[test]
    fn own_rules() {
        let policy = cluster();
        let status = self_subject_rules(&policy, &caller("ann", &[]), json!({"namespace": "x"})).unwrap();
        assert_eq!(
            status,
            json!({
                "incomplete": false,
                "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["p"]}],
                "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/metrics"]}],
            })
        );
        let all = self_subject_rules(&policy, &caller("root", &[MASTERS]), json!({"namespace": "x"})).unwrap();
        assert_eq!(all["resourceRules"][0]["resources"], json!(["*"]));
        let error = self_subject_rules(&policy, &caller("ann", &[]), json!({})).unwrap_err();
        assert_eq!(error.to_string(), "no namespace on request");
    }
}
