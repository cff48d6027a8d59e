//! Whether the rules that somebody holds cover the rules that they want to hand out.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::PolicyRule;

use super::evaluate::url_matches;

/// A rule that multiplies out to more single permissions than this is covered only as a whole, by one held rule, so
/// that a small role can't make the server compare for minutes.
const MOST_SINGLE_RULES: usize = 16_384;

/// Comparisons of two texts that one question may cost at worst, for the same reason. What is not compared then counts as
/// not covered.
const MOST_COMPARISONS: usize = 40_000_000;

/// Whether `held` covers all of `wanted`.
///
/// # Errors
/// The parts of `wanted` that nothing held covers, merged again where they differ in the verb only.
pub fn covers(held: &[PolicyRule], wanted: &[PolicyRule]) -> Result<(), Vec<PolicyRule>> {
    let mut missing = Vec::new();
    let mut comparison = Comparison { held, left: MOST_COMPARISONS };
    for rule in wanted {
        if comparison.covers(rule) {
            continue;
        }
        match break_down(rule).filter(|_| comparison.left > 0) {
            Some(singles) => missing.extend(singles.into_iter().filter(|single| !comparison.covers(single))),
            None => missing.push(rule.clone()),
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(merge_verbs(missing)) }
}

struct Comparison<'a> {
    held: &'a [PolicyRule],
    left: usize,
}

impl Comparison<'_> {
    /// Whether one of the held rules covers all of `wanted`.
    fn covers(&mut self, wanted: &PolicyRule) -> bool {
        for holder in self.held {
            self.left = self.left.saturating_sub(cost(holder, wanted));
            if self.left == 0 {
                return false;
            }
            if covers_single(holder, wanted) {
                return true;
            }
        }
        false
    }
}

/// How many texts [`covers_single`] compares at worst.
fn cost(held: &PolicyRule, wanted: &PolicyRule) -> usize {
    let product = |held: &[String], wanted: &[String]| held.len().saturating_mul(wanted.len());
    let lists = |rule: fn(&PolicyRule) -> &Option<Vec<String>>| product(list(rule(held)), list(rule(wanted)));
    let rest = [
        lists(|rule| &rule.api_groups),
        lists(|rule| &rule.resources),
        lists(|rule| &rule.resource_names),
        lists(|rule| &rule.non_resource_urls),
    ];
    rest.into_iter().fold(1 + product(&held.verbs, &wanted.verbs), usize::saturating_add)
}

/// Whether one held rule covers each attribute of `wanted`.
fn covers_single(held: &PolicyRule, wanted: &PolicyRule) -> bool {
    let (held_names, wanted_names) = (list(&held.resource_names), list(&wanted.resource_names));
    let names = || {
        held_names.is_empty() || !wanted_names.is_empty() && wanted_names.iter().all(|name| held_names.contains(name))
    };
    let urls = || {
        list(&wanted.non_resource_urls)
            .iter()
            .all(|url| list(&held.non_resource_urls).iter().any(|holder| url_matches(holder, url)))
    };
    covers_all(&held.verbs, &wanted.verbs)
        && covers_all(list(&held.api_groups), list(&wanted.api_groups))
        && list(&wanted.resources).iter().all(|resource| covers_resource(list(&held.resources), resource))
        && urls()
        && names()
}

fn covers_all(held: &[String], wanted: &[String]) -> bool {
    held.iter().any(|item| item == "*") || wanted.iter().all(|item| held.contains(item))
}

fn covers_resource(held: &[String], wanted: &str) -> bool {
    held.iter().any(|holder| {
        let same_subresource = match (holder.split_once('/'), wanted.split_once('/')) {
            (Some(("*", held)), Some((_, wanted))) => held == wanted,
            _ => false,
        };
        holder == "*" || holder == wanted || same_subresource
    })
}

/// The rule as rules of one group, resource, name or URL and verb each; `None` if those are too many.
fn break_down(rule: &PolicyRule) -> Option<Vec<PolicyRule>> {
    let verbs = distinct(&rule.verbs);
    let groups = distinct(list(&rule.api_groups));
    let resources = distinct(list(&rule.resources));
    let names = distinct(list(&rule.resource_names));
    let urls = distinct(list(&rule.non_resource_urls));
    let of_resources = [groups.len(), resources.len(), names.len().max(1), verbs.len()]
        .into_iter()
        .try_fold(1_usize, |product, count| product.checked_mul(count))?;
    let total = urls.len().checked_mul(verbs.len())?.checked_add(of_resources)?;
    if total > MOST_SINGLE_RULES {
        return None;
    }
    let one = |text: &str| Some(vec![text.to_owned()]);
    let named: Vec<Option<Vec<String>>> =
        if names.is_empty() { vec![None] } else { names.iter().map(|name| one(name)).collect() };
    let mut singles = Vec::with_capacity(total);
    for group in &groups {
        for resource in &resources {
            for name in &named {
                singles.extend(verbs.iter().map(|verb| PolicyRule {
                    api_groups: one(group),
                    resources: one(resource),
                    resource_names: name.clone(),
                    verbs: vec![(*verb).to_owned()],
                    ..PolicyRule::default()
                }));
            }
        }
    }
    for url in &urls {
        singles.extend(verbs.iter().map(|verb| PolicyRule {
            non_resource_urls: one(url),
            verbs: vec![(*verb).to_owned()],
            ..PolicyRule::default()
        }));
    }
    Some(singles)
}

/// Joins neighbours that differ in the verb only.
fn merge_verbs(rules: Vec<PolicyRule>) -> Vec<PolicyRule> {
    let mut merged: Vec<PolicyRule> = Vec::new();
    for mut rule in rules {
        let verbs = std::mem::take(&mut rule.verbs);
        match merged.last_mut() {
            Some(last) if same_but_verbs(last, &rule) => last.verbs.extend(verbs),
            _ => merged.push(PolicyRule { verbs, ..rule }),
        }
    }
    merged
}

fn same_but_verbs(a: &PolicyRule, b: &PolicyRule) -> bool {
    a.api_groups == b.api_groups
        && a.resources == b.resources
        && a.resource_names == b.resource_names
        && a.non_resource_urls == b.non_resource_urls
}

fn list(values: &Option<Vec<String>>) -> &[String] {
    values.as_deref().unwrap_or_default()
}

fn distinct(values: &[String]) -> BTreeSet<&str> {
    values.iter().map(String::as_str).collect()
}

/// The rule on one line, as Kubernetes writes it: `{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}`.
pub fn describe(rule: &PolicyRule) -> String {
    let parts = [
        ("APIGroups", list(&rule.api_groups)),
        ("Resources", list(&rule.resources)),
        ("NonResourceURLs", list(&rule.non_resource_urls)),
        ("ResourceNames", list(&rule.resource_names)),
        ("Verbs", &rule.verbs),
    ];
    let shown: Vec<String> = parts
        .iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(name, values)| format!("{name}:{}", quoted(values)))
        .collect();
    format!("{{{}}}", shown.join(", "))
}

/// `["a" "b"]`, a list as Kubernetes writes it in messages.
pub(super) fn quoted(values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

#[cfg(test)]
mod tests {
    use mcplane_core::Attributes;
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::evaluate::rule_allows;
    use super::*;

    fn rules(value: serde_json::Value) -> Vec<PolicyRule> {
        serde_json::from_value(value).unwrap()
    }

    fn core(resources: &[&str], verbs: &[&str]) -> serde_json::Value {
        json!({"apiGroups": [""], "resources": resources, "verbs": verbs})
    }

    #[test]
    fn several_held_rules_cover_together() {
        let held = rules(json!([core(&["pods"], &["get", "list"]), core(&["secrets"], &["*"])]));
        assert_eq!(covers(&held, &rules(json!([core(&["pods", "secrets"], &["get"])]))), Ok(()));
        let missing = covers(&held, &rules(json!([core(&["pods", "secrets"], &["get", "update", "delete"])])));
        assert_eq!(missing, Err(rules(json!([core(&["pods"], &["delete", "update"])]))));
    }

    #[test]
    fn what_would_take_too_long_is_not_covered() {
        let many: Vec<PolicyRule> =
            (0..20_000).flat_map(|n| rules(json!([core(&[&format!("r{n}")], &["get"])]))).collect();
        assert_eq!(covers(&many, &many[..500]), Ok(()));
        let missing = covers(&many, &many).unwrap_err();
        assert!(!missing.is_empty() && missing.len() < many.len(), "{}", missing.len());
    }

    #[test]
    fn stars_need_stars() {
        let many = rules(json!([{"apiGroups": ["", "apps"], "resources": ["pods", "*/status"], "verbs": ["get"]}]));
        assert!(covers(&many, &rules(json!([core(&["*"], &["get"])]))).is_err());
        assert!(covers(&many, &rules(json!([core(&["pods"], &["*"])]))).is_err());
        assert!(covers(&many, &rules(json!([core(&["pods/log"], &["get"])]))).is_err());
        assert!(covers(&many, &rules(json!([core(&["x/status"], &["get"])]))).is_ok());
        let all = rules(json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]));
        assert!(covers(&all, &many).is_ok());
        assert!(covers(&all, &rules(json!([{"nonResourceURLs": ["/x"], "verbs": ["get"]}]))).is_err());
    }

    #[test]
    fn names_and_paths() {
        let named = |names: &[&str]| {
            rules(json!([{"apiGroups": [""], "resources": ["x"], "resourceNames": names, "verbs": ["get"]}]))
        };
        assert!(covers(&named(&["a", "b"]), &named(&["a"])).is_ok());
        assert!(covers(&named(&["a"]), &named(&["a", "b"])).is_err());
        assert!(covers(&named(&["a"]), &named(&[])).is_err());
        assert!(covers(&named(&[]), &named(&["a"])).is_ok());
        let paths = |urls: &[&str]| rules(json!([{"nonResourceURLs": urls, "verbs": ["get"]}]));
        assert!(covers(&paths(&["/apis/*"]), &paths(&["/apis/apps/*", "/apis/x"])).is_ok());
        assert!(covers(&paths(&["/apis/*"]), &paths(&["*"])).is_err());
    }

    #[test]
    fn a_rule_that_explodes_is_refused_quickly() {
        let many: Vec<String> = (0..500).map(|n| format!("r{n}")).collect();
        let bomb = rules(json!([{"apiGroups": many, "resources": many, "resourceNames": many, "verbs": many}]));
        let started = std::time::Instant::now();
        assert_eq!(covers(&rules(json!([core(&["pods"], &["get"])])), &bomb).unwrap_err(), bomb);
        assert!(started.elapsed() < std::time::Duration::from_secs(1));
        assert!(covers(&rules(json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}])), &bomb).is_ok());
    }

    #[test]
    fn descriptions_look_like_kubernetes() {
        let rule = &rules(json!([{"apiGroups": ["", "apps"], "resources": ["secrets"], "resourceNames": ["a"],
            "verbs": ["get"]}]))[0];
        assert_eq!(
            describe(rule),
            r#"{APIGroups:["" "apps"], Resources:["secrets"], ResourceNames:["a"], Verbs:["get"]}"#
        );
    }

    fn some_of(values: &'static [&'static str], count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<String>> {
        let one = proptest::sample::select(values).prop_map(str::to_owned);
        proptest::collection::vec(one, count)
    }

    const GROUPS: &[&str] = &["", "*"];
    const RESOURCES: &[&str] = &["pods", "pods/log", "secrets/log", "*/log", "*/*", "pods/*", "*"];
    const NAMES: &[&str] = &["a", "b", ""];
    const URLS: &[&str] = &["/x", "/x/y", "/x*", "/x/*", "*"];
    const VERBS: &[&str] = &["get", "create", "*"];

    fn resource_rule() -> impl Strategy<Value = PolicyRule> {
        (some_of(GROUPS, 1..3), some_of(RESOURCES, 1..3), some_of(NAMES, 0..3), some_of(VERBS, 1..3)).prop_map(
            |(groups, resources, names, verbs)| PolicyRule {
                api_groups: Some(groups),
                resources: Some(resources),
                resource_names: Some(names),
                verbs,
                ..PolicyRule::default()
            },
        )
    }

    fn any_rule() -> impl Strategy<Value = PolicyRule> {
        let paths = (some_of(URLS, 1..3), some_of(VERBS, 1..3)).prop_map(|(urls, verbs)| PolicyRule {
            non_resource_urls: Some(urls),
            verbs,
            ..PolicyRule::default()
        });
        prop_oneof![3 => resource_rule(), 1 => paths]
    }

    /// Every request of a small world.
    fn requests() -> Vec<Attributes> {
        let mut all = Vec::new();
        for verb in ["get", "create", "list"] {
            for (group, name) in [("", "a"), ("", ""), ("", "b"), ("apps", "a")] {
                for (resource, sub) in
                    [("pods", ""), ("pods", "log"), ("secrets", "log"), ("secrets", ""), ("pods", "*")]
                {
                    all.push(Attributes::resource(verb, group, resource, "ns", name).with_subresource(sub));
                }
            }
            all.extend(["/x", "/x/y", "/xy", "/", "/z"].map(|path| Attributes::path(verb, path)));
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn what_is_covered_adds_nothing(held in proptest::collection::vec(any_rule(), 1..4), wanted in any_rule()) {
            if covers(&held, std::slice::from_ref(&wanted)).is_ok() {
                for request in &requests() {
                    let added = rule_allows(&wanted, request) && !held.iter().any(|rule| rule_allows(rule, request));
                    prop_assert!(!added, "{request:?} is new");
                }
            }
        }

        #[test]
        fn what_is_held_is_covered_and_what_is_missing_repairs(
            held in proptest::collection::vec(any_rule(), 0..4),
            wanted in proptest::collection::vec(any_rule(), 0..4),
        ) {
            prop_assert_eq!(covers(&held, &held), Ok(()));
            if let Err(missing) = covers(&held, &wanted) {
                let repaired: Vec<PolicyRule> = held.into_iter().chain(missing).collect();
                prop_assert_eq!(covers(&repaired, &wanted), Ok(()));
            }
        }
    }
}
