//! Aggregated ClusterRoles: their rules are those of the ClusterRoles that their selectors match, at any depth.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// The rules of every ClusterRole by name, with aggregation resolved.
///
/// An aggregated role's own rules are ignored, because its rules are by definition the sum of the selected roles.
/// Roles that select each other share the rules that the cycle reaches.
pub fn resolve<R: Borrow<ClusterRole>>(roles: &[R]) -> BTreeMap<&str, Vec<PolicyRule>> {
    let named: BTreeMap<&str, &ClusterRole> =
        roles.iter().map(R::borrow).filter_map(|role| Some((role.metadata.name.as_deref()?, role))).collect();
    named.keys().map(|name| (*name, rules_of(name, &named))).collect()
}

static UNLABELLED: BTreeMap<String, String> = BTreeMap::new();

fn rules_of(name: &str, roles: &BTreeMap<&str, &ClusterRole>) -> Vec<PolicyRule> {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![name];
    let mut rules: Vec<PolicyRule> = Vec::new();
    while let Some(next) = waiting.pop() {
        let Some(role) = roles.get(next).filter(|_| seen.insert(next)) else { continue };
        let Some(aggregation) = &role.aggregation_rule else {
            for rule in role.rules.iter().flatten() {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
            continue;
        };
        let selectors = aggregation.cluster_role_selectors.as_deref().unwrap_or_default();
        // Popped from the back, so pushed in reverse to keep the order of names.
        waiting.extend(roles.iter().rev().filter_map(|(name, role)| {
            let labels = role.metadata.labels.as_ref().unwrap_or(&UNLABELLED);
            selectors.iter().any(|selector| selects(selector, labels)).then_some(*name)
        }));
    }
    rules
}

fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    equal
        && selector.match_expressions.iter().flatten().all(|requirement| {
            let value = labels.get(&requirement.key);
            let listed = value.is_some_and(|value| requirement.values.iter().flatten().any(|v| v == value));
            match requirement.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn role(mut value: serde_json::Value) -> ClusterRole {
        value["apiVersion"] = "rbac.authorization.k8s.io/v1".into();
        value["kind"] = "ClusterRole".into();
        serde_json::from_value(value).unwrap()
    }

    fn leaf(name: &str, label: &str) -> ClusterRole {
        role(json!({
            "metadata": {"name": name, "labels": {label: "true"}},
            "rules": [{"apiGroups": [""], "resources": [name], "verbs": ["get"]}],
        }))
    }

    fn sum(name: &str, own: &str, selected: &str) -> ClusterRole {
        role(json!({
            "metadata": {"name": name, "labels": {own: "true"}},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {selected: "true"}}]},
            "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
        }))
    }

    fn resources(rules: &[PolicyRule]) -> Vec<&str> {
        rules.iter().flat_map(|rule| rule.resources.iter().flatten()).map(String::as_str).collect()
    }

    #[test]
    fn chains_are_followed_and_stored_rules_of_sums_ignored() {
        let roles = [
            leaf("secrets", "to-edit"),
            leaf("pods", "to-view"),
            sum("edit", "x", "to-edit"),
            sum("view", "to-edit", "to-view"),
        ];
        let resolved = resolve(&roles);
        assert_eq!(resources(&resolved["edit"]), ["secrets", "pods"]);
        assert_eq!(resources(&resolved["view"]), ["pods"]);
        assert_eq!(resources(&resolved["pods"]), ["pods"]);
    }

    #[test]
    fn cycles_end() {
        let roles = [sum("a", "to-b", "to-a"), sum("b", "to-a", "to-b"), leaf("pods", "to-a")];
        let resolved = resolve(&roles);
        assert_eq!(resources(&resolved["a"]), ["pods"]);
        assert_eq!(resources(&resolved["b"]), ["pods"]);
    }

    #[test]
    fn selectors_follow_kubernetes() {
        let labels = BTreeMap::from([("tier".to_owned(), "gold".to_owned())]);
        let check = |selector: serde_json::Value| selects(&serde_json::from_value(selector).unwrap(), &labels);
        let expression = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        assert!(check(json!({})));
        assert!(check(json!({"matchLabels": {"tier": "gold"}})));
        assert!(!check(json!({"matchLabels": {"tier": "gold", "zone": "a"}})));
        assert!(check(expression("tier", "In", &["gold"])));
        assert!(!check(expression("zone", "In", &["a"])));
        assert!(check(expression("zone", "NotIn", &["a"])));
        assert!(!check(expression("tier", "NotIn", &["gold"])));
        assert!(check(expression("tier", "Exists", &[])));
        assert!(check(expression("zone", "DoesNotExist", &[])));
        assert!(!check(expression("tier", "Resembles", &["gold"])));
    }
}
