use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn spec(value: Value) -> VirtualServiceSpec {
    serde_json::from_value(value).unwrap()
}

fn compiled(value: Value) -> Compiled {
    compile(&spec(value), &Options::default()).unwrap()
}

fn faults(value: Value) -> Vec<String> {
    compile(&spec(value), &Options::default()).unwrap_err().iter().map(ToString::to_string).collect()
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(pair).collect()
}

fn request<'a>(path: &'a str, headers: &'a HeaderMap) -> Request<'a> {
    Request {
        method: "POST",
        scheme: "http",
        authority: "user-service",
        path,
        query: None,
        headers,
        port: 5081,
        peer: IpAddr::from([192, 0, 2, 7]),
        counter: 0,
    }
}

/// The subset that a request is sent to, and why.
fn subset(table: &Compiled, request: &Request<'_>) -> (String, String) {
    let decision = table.route(request).unwrap();
    let Action::Forward(destination) = &decision.action else { panic!("{:?}", decision.action) };
    (destination.subset.clone(), decision.explain())
}

fn split(stable: u32, canary: u32) -> Value {
    json!({"hosts": ["user-service"], "http": [{"route": [
        {"destination": {"host": "user-service", "subset": "v1"}, "weight": stable},
        {"destination": {"host": "user-service", "subset": "v2"}, "weight": canary},
    ]}]})
}

/// The mission's own files.
#[test]
fn golden_virtual_services_split() {
    let read = |text: &str| {
        let object: Value = serde_norway::from_str(text).unwrap();
        compiled(object["spec"].clone())
    };
    let canary = read(include_str!("../../tests/golden/virtual_service_canary.yaml"));
    let none = HeaderMap::new();
    let count = (0..1000).filter(|n| {
        let request = Request { counter: *n, ..request("/", &none) };
        subset(&canary, &request).0 == "v2"
    });
    assert_eq!(count.count(), 100);
    assert_eq!(subset(&canary, &request("/", &none)).1, "rule=0 by=turn share=90");
    let user = headers(&[("x-user-id", "user-7")]);
    let first = subset(&canary, &request("/", &user));
    for counter in 0..50 {
        assert_eq!(subset(&canary, &Request { counter, ..request("/", &user) }), first, "a user stays");
    }
    let full = read(include_str!("../../tests/golden/virtual_service_full.yaml"));
    assert_eq!(subset(&full, &request("/", &none)), ("v2".to_owned(), "rule=0 by=only".to_owned()));
}

#[test]
fn conditions_are_istios() {
    let table = |condition: Value| {
        let to = |subset: &str| json!([{"destination": {"host": "h", "subset": subset}}]);
        compiled(json!({"hosts": ["h"], "http": [
            {"name": "special", "match": [condition], "route": to("yes")},
            {"route": to("no")},
        ]}))
    };
    let all = headers(&[("x-group", "beta-2"), ("empty", "")]);
    let request = Request { query: Some("debug=1&x"), ..request("/V1/models", &all) };
    for (condition, expected) in [
        (json!({}), "yes"),
        (json!({"uri": {"exact": "/V1/models"}}), "yes"),
        (json!({"uri": {"exact": "/V1"}}), "no"),
        (json!({"uri": {"prefix": "/V1"}}), "yes"),
        (json!({"uri": {"prefix": "/v1"}}), "no"),
        (json!({"uri": {"prefix": "/v1"}, "ignoreUriCase": true}), "yes"),
        (json!({"uri": {"regex": "/V[0-9]"}}), "no"),
        (json!({"uri": {"regex": "/V[0-9]/.*|/other"}}), "yes"),
        (json!({"method": {"exact": "POST"}, "scheme": {"exact": "http"}}), "yes"),
        (json!({"method": {"exact": "GET"}}), "no"),
        (json!({"authority": {"prefix": "user"}}), "yes"),
        (json!({"port": 5081}), "yes"),
        (json!({"port": 80}), "no"),
        (json!({"headers": {"X-Group": {"regex": "beta-.*"}}}), "yes"),
        (json!({"headers": {"x-group": {"exact": "beta"}}}), "no"),
        (json!({"headers": {"empty": {}}}), "yes"),
        (json!({"headers": {"absent": {}}}), "no"),
        (json!({"withoutHeaders": {"absent": {}}}), "yes"),
        (json!({"withoutHeaders": {"x-group": {"prefix": "beta"}}}), "no"),
        (json!({"queryParams": {"debug": {"exact": "1"}}}), "yes"),
        (json!({"queryParams": {"x": {}}}), "yes"),
        (json!({"queryParams": {"debug": {"exact": "2"}}}), "no"),
        (json!({"uri": {"prefix": "/V1"}, "method": {"exact": "GET"}}), "no"),
    ] {
        assert_eq!(subset(&table(condition.clone()), &request).0, expected, "{condition}");
    }
    let noted = table(json!({"sourceLabels": {"app": "x"}}));
    assert_eq!(noted.notes, ["spec.http[0].match[0].sourceLabels is ignored: the gateway does not know workloads"]);
}

#[test]
fn what_is_sent_on_can_be_changed() {
    let table = compiled(json!({"hosts": ["h"], "http": [
        {
            "match": [{"uri": {"prefix": "/old"}}, {"uri": {"exact": "/one"}}],
            "rewrite": {"uri": "/new", "authority": "models.internal"},
            "route": [{"destination": {"host": "h", "port": {"number": 80}}, "headers": {"response": {"add": {"a": "1"}}}}],
            "headers": {"request": {"set": {"x-a": "1"}, "remove": ["x-b"]}, "response": {"set": {"a": "2"}}},
            "timeout": "1.5s",
            "retries": {"attempts": 3, "perTryTimeout": "200ms", "retryOn": "connect-failure"},
        },
        {
            "match": [{"uri": {"prefix": "/re"}}],
            "rewrite": {"uriRegexRewrite": {"match": "^/re/([^/]+)/(.*)$", "rewrite": "/\\2/$/\\1"}},
            "route": [{"destination": {"host": "h"}}],
        },
        {"match": [{"uri": {"prefix": "/gone"}}], "redirect": {"uri": "/here", "redirectCode": 308}},
        {"match": [{"uri": {"prefix": "/ping"}}], "directResponse": {"status": 200, "body": {"string": "pong"}}},
    ]}));
    let none = HeaderMap::new();
    let decide = |path| table.route(&request(path, &none));
    let first = decide("/old/models/a").unwrap();
    assert_eq!((first.path.as_deref(), first.authority), (Some("/new/models/a"), Some("models.internal")));
    assert_eq!(first.timeout, Some(std::time::Duration::from_millis(1500)));
    let retries = first.retries.unwrap();
    assert_eq!((retries.attempts, retries.on.as_str()), (3, "connect-failure"));
    assert_eq!(decide("/one").unwrap().path.as_deref(), Some("/new"));
    let mut sent = headers(&[("x-b", "2"), ("x-c", "3")]);
    first.change_request(&mut sent);
    assert_eq!(sent, headers(&[("x-c", "3"), ("x-a", "1")]));
    let mut answered = HeaderMap::new();
    first.change_response(&mut answered);
    assert_eq!(answered, headers(&[("a", "2")]), "the rule comes after the destination");
    assert_eq!(decide("/re/a/b").unwrap().path.as_deref(), Some("/b/$/a"));
    let Action::Redirect { status, location } = decide("/gone").unwrap().action else { panic!("no redirect") };
    assert_eq!((status, location.as_str()), (308, "http://user-service/here"));
    let Action::Respond { status, body } = decide("/ping").unwrap().action else { panic!("no answer") };
    assert_eq!((status, body.as_str()), (200, "pong"));
    assert!(decide("/nothing").is_none());
}

#[test]
fn faults_name_their_fields() {
    assert_eq!(faults(split(0, 0)), ["spec.http[0].route: Required value: needs a destination with a weight above 0"]);
    let found = faults(json!({"hosts": ["h"], "http": [{
        "match": [{"uri": {"regex": "("}}, {"uri": {"exact": "a", "prefix": "b"}}],
        "route": [{"destination": {"host": ""}}],
        "timeout": "soon",
        "rewrite": {"uri": "no-path"},
        "headers": {"request": {"set": {"content-length": "0", "a b": "c"}, "remove": [":authority"]}},
    }]}));
    let fields: Vec<&str> = found.iter().map(|fault| fault.split(": ").next().unwrap()).collect();
    assert_eq!(
        fields,
        [
            "spec.http[0].match[0].uri",
            "spec.http[0].match[1].uri",
            "spec.http[0].timeout",
            "spec.http[0].rewrite.uri",
            "spec.http[0].headers.request.set[a b]",
            "spec.http[0].headers.request.set[content-length]",
            "spec.http[0].headers.request.remove[0]",
            "spec.http[0].route[0].destination.host",
        ]
    );
    assert_eq!(faults(json!({"http": vec![json!({}); 10_001]})).len(), 1);
    let escaping =
        json!({"http": [{"match": [{"uri": {"regex": "a)|(b"}}], "route": [{"destination": {"host": "h"}}]}]});
    assert_eq!(faults(escaping).len(), 1);
}

#[test]
fn stages_have_audiences_and_a_weight() {
    let mut errors = Vec::new();
    let audience = |value: Value, errors: &mut Vec<mcplane_core::FieldError>| {
        Audience::new(&serde_json::from_value(value).unwrap(), "spec.audience", errors)
    };
    let stage = Override {
        version: "v2".into(),
        stable: "v1".into(),
        audiences: vec![
            audience(json!({"addresses": ["10.1.0.0/16", "2001:db8::1"]}), &mut errors),
            audience(json!({"regions": ["eu"], "headers": {"x-tier": "gold"}}), &mut errors),
            audience(json!({"users": ["ada"]}), &mut errors),
        ],
        weight: 20,
    };
    assert_eq!(errors, []);
    let mut table = compiled(split(100, 0));
    assert_eq!(table.overlay(&stage), 1);
    let none = HeaderMap::new();
    let from = |peer: &str| Request { peer: peer.parse().unwrap(), counter: 1, ..request("/", &none) };
    for operator in ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"] {
        assert_eq!(subset(&table, &from(operator)), ("v2".into(), "rule=0 by=address".into()), "{operator}");
    }
    assert_eq!(subset(&table, &from("10.2.0.1")).1, "rule=0 by=turn share=80");
    let gold = headers(&[("x-region", "eu"), ("x-tier", "gold"), ("x-user-id", "bob")]);
    assert_eq!(subset(&table, &request("/", &gold)), ("v2".into(), "rule=0 by=region".into()));
    let ada = headers(&[("x-user-id", "ada")]);
    assert_eq!(subset(&table, &request("/", &ada)), ("v2".into(), "rule=0 by=user".into()));
    // Everybody else by the hash of the name, a fifth of them.
    let chosen = (0..2_000).filter(|user| {
        let user = headers(&[("x-user-id", &format!("u{user}")), ("x-region", "eu")]);
        subset(&table, &request("/", &user)).0 == "v2"
    });
    let chosen = chosen.count();
    assert!((300..500).contains(&chosen), "{chosen} of 2000");
    assert_eq!(table.overlay(&Override { version: "v9".into(), ..stage }), 0);
    audience(json!({"addresses": ["10.0.0.0/33"]}), &mut errors);
    audience(json!({}), &mut errors);
    let found: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(found, ["spec.audience.addresses[0]", "spec.audience"]);
}

#[test]
fn hosts_are_found_as_kubernetes_calls_them() {
    let service = |hosts: &[&str], subset: &str| {
        compiled(json!({"hosts": hosts, "http": [{"route": [{"destination": {"host": "h", "subset": subset}}]}]}))
    };
    let routes = Routes::new([
        ("prod".to_owned(), service(&["models"], "short")),
        ("prod".to_owned(), service(&["*.example.com", "*.eu.example.com"], "wild")),
        ("prod".to_owned(), service(&["a.example.com"], "exact")),
        ("test".to_owned(), service(&["models", "*.example.com"], "late")),
    ]);
    assert_eq!(routes.conflicts, ["models", "*.example.com"]);
    for (authority, expected) in [
        ("models", Some("short")),
        ("MODELS:5081", Some("short")),
        ("models.prod", Some("short")),
        ("models.prod.svc.cluster.local.", Some("short")),
        ("models.test", None),
        ("a.example.com:80", Some("exact")),
        ("b.example.com", Some("wild")),
        (".example.com", None),
        ("example.com", None),
        ("[::1]:80", None),
        ("", None),
    ] {
        let none = HeaderMap::new();
        let decision = routes.route(&Request { authority, ..request("/", &none) });
        let found = decision.map(|decision| match decision.action {
            Action::Forward(destination) => destination.subset.clone(),
            other => panic!("{other:?}"),
        });
        assert_eq!(found.as_deref(), expected, "{authority}");
    }
}

proptest! {
    /// Whatever an object and a request say, there is an answer and no panic, and what is sent on stays a path.
    #[test]
    fn nothing_panics(
        regex in ".{0,12}",
        prefix in "(/[a-zéA-Z]{0,3}){0,2}",
        rewrite in "[/a-zé\\\\0-9$]{0,8}",
        path in "(/[a-zéA-Z]{0,3}){0,3}",
        authority in ".{0,12}",
        query in ".{0,8}",
        weights in prop::collection::vec(0u32..5, 0..3),
    ) {
        let route: Vec<Value> =
            weights.iter().map(|weight| json!({"destination": {"host": "h"}, "weight": weight})).collect();
        let spec = spec(json!({"hosts": [authority], "http": [
            {"match": [{"uri": {"regex": regex}}], "rewrite": {"uri": rewrite}, "route": route},
            {"match": [{"uri": {"prefix": prefix}, "ignoreUriCase": true}],
             "rewrite": {"uriRegexRewrite": {"match": "(.*)", "rewrite": rewrite}}, "route": route},
        ]}));
        if let Ok(compiled) = compile(&spec, &Options::default()) {
            let routes = Routes::new([("n".to_owned(), compiled)]);
            let none = HeaderMap::new();
            let request = Request { authority: &authority, query: Some(&query), ..request(&path, &none) };
            if let Some(decision) = routes.route(&request) {
                prop_assert!(decision.path.is_none_or(|path| path.starts_with('/')));
            }
        }
    }
}
