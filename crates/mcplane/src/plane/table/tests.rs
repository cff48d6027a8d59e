//! What follows from objects.

use std::net::{IpAddr, Ipv4Addr};

use http::HeaderMap;
use mcplane_delivery::rollouts::Next;
use mcplane_delivery::routes::{Action, Request};

use super::*;

fn object(namespace: &str, name: &str, labels: &[(&str, &str)], spec: Value) -> Object {
    Object {
        namespace: namespace.into(),
        name: name.into(),
        uid: format!("uid-{name}"),
        created: String::new(),
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        spec,
    }
}

#[derive(Default)]
struct World {
    services: Vec<Object>,
    virtual_services: Vec<Object>,
    rules: Vec<Object>,
    holds: Holdings,
}

impl World {
    fn build(&self) -> Built {
        let allowed = Allowed::parse(&["10.0.0.0/8".to_owned(), "models.example.com".to_owned()]).unwrap();
        build(&Facts {
            services: &Services::new(&self.services, &self.holds),
            virtual_services: &self.virtual_services,
            rules: &self.rules,
            holds: &self.holds,
            newest: &|_, _| Some(3),
            allowed: &allowed,
            options: &Options::default(),
        })
    }
}

/// Where a request goes: host and subset.
fn goes(built: &Built, host: &str, counter: u64) -> Option<(String, String)> {
    let headers = HeaderMap::new();
    let decision = built.routes.route(&Request {
        method: "POST",
        scheme: "http",
        authority: host,
        path: "/v2/models/m/infer",
        query: None,
        headers: &headers,
        port: 5081,
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        counter,
    })?;
    match decision.action {
        Action::Forward(to) => Some((to.host.clone(), to.subset.clone())),
        _ => None,
    }
}

fn to(host: &str, subset: &str) -> Option<(String, String)> {
    Some((host.to_owned(), subset.to_owned()))
}

fn share(built: &Built, host: &str, subset: &str) -> usize {
    (0..1000).filter(|counter| goes(built, host, *counter).is_some_and(|(_, found)| found == subset)).count()
}

#[test]
fn rules_that_send_nowhere_are_not_left_out() {
    let of = |spec| World { virtual_services: vec![object("default", "v", &[], spec)], ..World::default() }.build();
    let notes = |spec| of(spec).notes.into_iter().map(|note| note.message).collect::<Vec<_>>();
    assert_eq!(notes(json!({"hosts": ["v.example"]})), Vec::<String>::new());
    assert_eq!(
        notes(json!({"hosts": ["v.example"], "http": [{"redirect": {"uri": "/elsewhere"}}]})),
        Vec::<String>::new()
    );
}

#[test]
fn a_service_is_found_by_its_names() {
    let services = vec![object("default", "iris", &[], json!({})), object("prod", "iris", &[], json!({}))];
    let built = World { services, ..World::default() }.build();
    for host in ["iris", "iris.default", "iris.default.svc", "IRIS.default.svc.cluster.local:80"] {
        assert_eq!(goes(&built, host, 0), to("iris.default", "iris-predictor-00003"), "{host}");
    }
    assert_eq!(goes(&built, "iris.prod", 0), to("iris.prod", "iris-predictor-00003"));
    assert_eq!(built.owner("iris.prod.svc"), Some(&("prod".to_owned(), "iris".to_owned())));
    assert_eq!(goes(&built, "iris.other", 0), None);
    let place = &built.places[&("iris.prod".to_owned(), "iris-predictor-00003".to_owned())];
    assert_eq!(*place, Place::Revision("prod".into(), "iris".into(), 3));
    assert_eq!(built.pin("prod", "iris").keep, BTreeSet::from([3]));
    assert_eq!(built.notes, Vec::<Note>::new());
}

#[test]
fn the_missions_canary_splits_between_services() {
    let canary = include_str!("../../../../delivery/tests/golden/virtual_service_canary.yaml");
    let canary: Value = serde_norway::from_str(canary).unwrap();
    let subset = |name: &str| json!({"name": name, "labels": {"version": name}});
    let rule = json!({"host": "user-service", "subsets": [subset("v1"), subset("v2")]});
    let service = |name: &str, version: &str| {
        object("default", name, &[("app", "user-service"), ("version", version)], json!({}))
    };
    let mut world = World {
        services: vec![
            service("one", "v1"),
            service("two", "v2"),
            object("default", "other", &[("version", "v1")], json!({})),
        ],
        virtual_services: vec![object("default", "user-service", &[], canary["spec"].clone())],
        rules: vec![object("default", "user-service", &[], rule)],
        holds: Holdings::default(),
    };
    let built = world.build();
    assert_eq!(built.notes, Vec::<Note>::new());
    assert_eq!(share(&built, "user-service", "v2"), 100);
    assert_eq!(share(&built, "user-service", "v1"), 900);
    let place = |subset: &str| built.places[&("user-service.default".to_owned(), subset.to_owned())].clone();
    assert_eq!(place("v1"), Place::Newest("default".into(), "one".into()));
    assert_eq!(place("v2"), Place::Newest("default".into(), "two".into()));
    world.services.push(service("three", "v2"));
    assert!(world.build().notes[0].message.contains("fits several services"), "{:?}", world.build().notes);
}

#[test]
fn a_rollout_is_laid_over_both_kinds_of_routes() {
    let held = |weight| Held {
        namespace: "default".into(),
        service: "iris".into(),
        stable: 1,
        next: Some(Next { number: 2, audiences: vec![], weight }),
    };
    let written = json!({"hosts": ["flowers"], "http": [{"route": [{"destination": {"host": "iris"}}]}]});
    let mut world = World {
        services: vec![object("default", "iris", &[], json!({}))],
        virtual_services: vec![object("default", "flowers", &[], written)],
        holds: Holdings { services: vec![held(20)], ..Holdings::default() },
        ..World::default()
    };
    for host in ["iris.default", "flowers"] {
        let built = world.build();
        assert_eq!(share(&built, host, "iris-predictor-00002"), 200, "{host}");
        assert_eq!(share(&built, host, "iris-predictor-00001"), 800, "{host}");
        let pin = built.pin("default", "iris");
        assert_eq!((pin.keep, pin.traffic), (BTreeSet::from([1, 2]), vec![(2, 20), (1, 80)]));
    }
    // A rollout at rest holds the stable revision, though a newer one is ready.
    world.holds.services = vec![Held { next: None, ..held(0) }];
    assert_eq!(share(&world.build(), "iris", "iris-predictor-00001"), 1000);
}

#[test]
fn nobody_routes_for_another_namespace_or_into_one() {
    let steal = json!({"hosts": ["iris.prod"], "http": [{"route": [{"destination": {"host": "own"}}]}]});
    let enter = json!({"hosts": ["own"], "http": [{"route": [{"destination": {"host": "iris.prod"}}]}]});
    let world = World {
        services: vec![object("prod", "iris", &[], json!({})), object("evil", "own", &[], json!({}))],
        virtual_services: vec![object("evil", "steal", &[], steal), object("evil", "enter", &[], enter)],
        ..World::default()
    };
    let built = world.build();
    assert_eq!(goes(&built, "iris.prod", 0), to("iris.prod", "iris-predictor-00003"));
    assert!(!built.places.contains_key(&("iris.prod".to_owned(), String::new())), "{:?}", built.places);
    assert!(
        built.notes.iter().any(|note| note.message.contains("host \"iris.prod\" is of namespace \"prod\"")),
        "{:?}",
        built.notes
    );
    assert!(built.notes.iter().any(|note| note.message.contains("serving.upstreams")), "{:?}", built.notes);
}

#[test]
fn addresses_must_be_allowed() {
    let to = |host: &str| json!({"route": [{"destination": {"host": host, "port": {"number": 8080}}}]});
    let spec =
        json!({"hosts": ["models.test"], "http": [to("10.1.2.3"), to("models.example.com"), to("169.254.169.254")]});
    let world = World { virtual_services: vec![object("default", "x", &[], spec)], ..World::default() };
    let built = world.build();
    let mut places: Vec<_> = built.places.values().cloned().collect();
    places.sort_by_key(|place| format!("{place:?}"));
    assert_eq!(places, [Place::Address("10.1.2.3:8080".into()), Place::Address("models.example.com:8080".into())]);
    assert_eq!(built.notes.len(), 1, "{:?}", built.notes);
}
