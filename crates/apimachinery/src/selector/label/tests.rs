use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse(text: &str) -> LabelSelector {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn fault(text: &str) -> String {
    text.parse::<LabelSelector>().unwrap_err().to_string()
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn every_operator_matches_as_in_kubernetes() {
    let web = labels(&[("app", "web"), ("tier", ""), ("replicas", "3")]);
    for (text, expected) in [
        ("", true),
        (" ", true),
        ("app=web", true),
        ("app == web", true),
        ("app=db", false),
        ("app!=db", true),
        ("app!=web", false),
        ("zone!=a", true),
        ("app in (web,db)", true),
        ("app in(db)", false),
        ("zone in (a)", false),
        ("app notin (db,cache)", true),
        ("zone notin (a)", true),
        ("app", true),
        ("zone", false),
        ("!zone", true),
        ("! app", false),
        ("tier=", true),
        ("tier==,app", true),
        ("tier in ()", true),
        ("tier in (,x)", true),
        ("app in (x,)", false),
        ("replicas>2", true),
        ("replicas > 3", false),
        ("replicas<4", true),
        ("app<4", false),
        ("zone>0", false),
        ("app=web,zone notin (a),!canary,replicas>1", true),
        ("app=web,app=db", false),
    ] {
        assert_eq!(parse(text).matches_labels(&web), expected, "{text}");
    }
    assert!(parse("app").matches_object(&json!({"metadata": {"labels": {"app": "x"}}})));
    assert!(!parse("app").matches_object(&json!({"metadata": {}})));
}

#[test]
fn operator_words_can_be_keys_and_values() {
    assert_eq!(parse("in in (in,notin),notin=in,!in").to_string(), "in in (in,notin),!in,notin=in");
}

#[test]
fn text_is_canonical() {
    assert_eq!(parse("c ,b  in (y,x,y), a==1 ,d notin (z)").to_string(), "a=1,b in (x,y),c,d!=z");
    assert_eq!(parse("a in (x)"), parse("a==x"));
    assert_eq!(parse("a notin ()").to_string(), "a!=");
}

#[test]
fn faults_are_named() {
    for (text, expected) in [
        ("a,", "found '', expected: identifier after ','"),
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, >, <"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a=(b)", "unable to parse requirement: found '(', expected: identifier"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ("a in b", "unable to parse requirement: found 'b', expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
        ("a in (=)", "unable to parse requirement: found '=', expected: ',' or ')'"),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
    ] {
        assert_eq!(fault(text), expected, "{text}");
    }
    assert!(fault("-a=b").starts_with("unable to parse requirement: Invalid value: \"-a\": name part must consist of"));
    assert!(fault("a=b/c").contains("values[0][a]: Invalid value: \"b/c\": a valid label must be"));
    assert!(fault("ä=b").contains("Invalid value: \"ä\""));
    assert_eq!(fault(&vec!["a"; 257].join(",")), "a selector may not have more than 256 requirements");
    assert!(fault(&"a".repeat(70_000)).contains("longer than 65536 bytes"));
}

#[test]
fn json_form_is_the_same_selector() {
    let selector = LabelSelector::from_json(
        &json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["b", "a"]},
                {"key": "env", "operator": "NotIn", "values": ["prod"]},
                {"key": "x", "operator": "Exists"},
                {"key": "y", "operator": "DoesNotExist", "values": []}
            ]
        }),
        "spec.selector",
    );
    assert_eq!(selector.unwrap(), parse("app=web,tier in (a,b),env!=prod,x,!y"));
    assert!(LabelSelector::from_json(&json!({}), "spec.selector").unwrap().is_empty());
}

#[test]
fn json_faults_name_the_field() {
    let errors = LabelSelector::from_json(
        &json!({
            "matchLabels": {"-": "x", "a": "b c", "n": 1},
            "matchExpressions": [
                {"key": "a", "operator": "In"},
                {"key": "a", "operator": "Exists", "values": ["x"]},
                {"key": "a", "operator": "Near", "values": ["x"]},
                {"operator": "Exists"},
                {"key": "a", "operator": "In", "values": ["ok", "not ok"]},
                "x"
            ]
        }),
        "selector",
    )
    .unwrap_err();
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    for (index, start) in [
        "selector.matchLabels: Invalid value: \"-\": name part",
        "selector.matchLabels[a]: Invalid value: \"b c\": a valid label",
        "selector.matchLabels[n]: Invalid value: must be a string",
        "selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        "selector.matchExpressions[1].values: Forbidden: may not be specified",
        "selector.matchExpressions[2].operator: Invalid value: \"Near\": not a valid selector operator",
        "selector.matchExpressions[3].key: Invalid value: \"\": name part must be non-empty",
        "selector.matchExpressions[4].values[1]: Invalid value: \"not ok\"",
        "selector.matchExpressions[5].key: Invalid value: \"\"",
    ]
    .iter()
    .enumerate()
    {
        assert!(texts[index].starts_with(start), "{}", texts[index]);
    }
    assert_eq!(texts.len(), 9);
    for bad in [json!(null), json!([]), json!({"matchLabels": 1}), json!({"matchExpressions": {}})] {
        assert!(LabelSelector::from_json(&bad, "selector").is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC{0,60}") {
        let _ = text.parse::<LabelSelector>();
    }

    #[test]
    fn what_is_parsed_round_trips(text in "((in|notin|[ab/!]|=|==|!=|<|>|[0-9]|\\(|\\)|,| )){0,20}") {
        if let Ok(selector) = text.parse::<LabelSelector>() {
            prop_assert_eq!(parse(&selector.to_string()), selector);
        }
    }

    #[test]
    fn well_formed_text_round_trips(
        terms in prop::collection::vec("(!?[a-z]{1,3}|[a-z]{1,3} ?(=|==|!=) ?[a-z]{0,3}|[a-z]{1,3} (in|notin) \\([a-z]{0,2}(, ?[a-z]{0,2}){0,3}\\)|[a-z]{1,3}[<>][0-9]{1,4})", 0..6),
    ) {
        let selector = parse(&terms.join(", "));
        prop_assert_eq!(parse(&selector.to_string()), selector.clone());
        prop_assert_eq!(selector.is_empty(), terms.is_empty());
    }
}
