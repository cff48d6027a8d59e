//! `Role` and `ClusterRole`.

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use mcplane_apimachinery::selector::LabelSelector;
use mcplane_core::FieldError;
use mcplane_objects::kinds::CREATED_AT;
use mcplane_objects::{Kind, NameRule, Resource};
use serde::Deserialize;

use crate::rbac::GROUP;

/// `Role` as a kind.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct RoleKind(pub Role);

/// `ClusterRole` as a kind.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct ClusterRoleKind(pub ClusterRole);

impl Resource for RoleKind {
    const KIND: Kind = Kind {
        name_rule: NameRule::PathSegment,
        columns: &[CREATED_AT],
        ..Kind::namespaced(GROUP, &["v1"], "Role", "roles", "role")
    };

    fn validate(new: &Self, _: Option<&Self>) -> Vec<FieldError> {
        check_rules(new.0.rules.as_deref(), true)
    }
}

impl Resource for ClusterRoleKind {
    const KIND: Kind = Kind {
        name_rule: NameRule::PathSegment,
        columns: &[CREATED_AT],
        ..Kind::cluster(GROUP, &["v1"], "ClusterRole", "clusterroles", "clusterrole")
    };

    fn validate(new: &Self, _: Option<&Self>) -> Vec<FieldError> {
        let mut errors = check_rules(new.0.rules.as_deref(), false);
        errors.extend(check_aggregation(&new.0));
        errors
    }
}

fn check_rules(rules: Option<&[PolicyRule]>, namespaced: bool) -> Vec<FieldError> {
    let rules = rules.unwrap_or_default().iter().enumerate();
    rules.flat_map(|(index, rule)| check_rule(rule, &format!("rules[{index}]"), namespaced)).collect()
}

fn check_rule(rule: &PolicyRule, path: &str, namespaced: bool) -> Vec<FieldError> {
    let is_empty = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
    let required = |field: &str, detail: &str| FieldError::required(format!("{path}.{field}"), detail);
    let mut errors = Vec::new();
    if rule.verbs.is_empty() {
        errors.push(required("verbs", "verbs must contain at least one value"));
    }
    if !is_empty(&rule.non_resource_urls) {
        let urls = rule.non_resource_urls.as_deref().unwrap_or_default();
        let invalid = |detail: &str| FieldError::invalid(format!("{path}.nonResourceURLs"), urls, detail);
        if namespaced {
            errors.push(invalid("namespaced rules cannot apply to non-resource URLs"));
        }
        if ![&rule.api_groups, &rule.resources, &rule.resource_names].into_iter().all(is_empty) {
            errors.push(invalid("rules cannot apply to both regular resources and non-resource URLs"));
        }
        return errors;
    }
    if is_empty(&rule.api_groups) {
        errors.push(required("apiGroups", "resource rules must supply at least one api group"));
    }
    if is_empty(&rule.resources) {
        errors.push(required("resources", "resource rules must supply at least one resource"));
    }
    errors
}

fn check_aggregation(role: &ClusterRole) -> Vec<FieldError> {
    const FIELD: &str = "aggregationRule.clusterRoleSelectors";
    let Some(aggregation) = &role.aggregation_rule else { return vec![] };
    let selectors = aggregation.cluster_role_selectors.as_deref().unwrap_or_default();
    if selectors.is_empty() {
        let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        return vec![FieldError::required(FIELD, detail)];
    }
    let check = |(index, selector)| {
        let value = serde_json::to_value(selector).unwrap_or_default();
        LabelSelector::from_json(&value, &format!("{FIELD}[{index}]")).err().unwrap_or_default()
    };
    selectors.iter().enumerate().flat_map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn errors(rule: Value, namespaced: bool) -> Vec<String> {
        let rule = serde_json::from_value(rule).unwrap();
        check_rule(&rule, "rules[0]", namespaced).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules_are_about_resources_or_about_paths() {
        let whole = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]});
        assert_eq!(errors(whole, true), Vec::<String>::new());
        assert_eq!(
            errors(json!({"verbs": []}), false),
            [
                "rules[0].verbs: Required value: verbs must contain at least one value",
                "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
                "rules[0].resources: Required value: resource rules must supply at least one resource",
            ]
        );
        let path = json!({"nonResourceURLs": ["/x"], "verbs": ["get"]});
        assert_eq!(errors(path.clone(), false), Vec::<String>::new());
        assert_eq!(
            errors(path, true),
            ["rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs"]
        );
        let both = json!({"nonResourceURLs": ["/x"], "resources": ["pods"], "verbs": ["get"]});
        assert_eq!(errors(both, false).len(), 1);
    }

    #[test]
    fn aggregation_needs_selectors_that_make_sense() {
        let role = |rule: Value| {
            let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                "metadata": {"name": "sum"}, "aggregationRule": rule});
            check_aggregation(&serde_json::from_value(role).unwrap()).len()
        };
        assert_eq!(role(json!({"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]})), 0);
        assert_eq!(role(json!({})), 1);
        assert_eq!(role(json!({"clusterRoleSelectors": [{"matchExpressions": [{"key": "a", "operator": "Is"}]}]})), 1);
    }
}
