//! Every route of the server, walked by those who must not get in. A route that answers them must be in `allowed.txt`.

mod fixtures;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcplane::compose::Offline;
use mcplane::config::Config;
use mcplane_objects::http::Route;
use mcplane_testkit::{Backend, eventually};
use serde_json::{Value, json};

use crate::guarded::{Caller, Guarded, RBAC, Reply};
use fixtures::{Resource, body, manifest};

/// All routes, from a server of this process.
fn all_routes() -> Vec<Route> {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.server.data_dir = folder.path().to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let offline = Offline::open(&config).await.unwrap();
        let routes = offline.routes().to_vec();
        offline.close().await;
        routes
    })
}

/// A server with a namespace `hers`, where `eve` and the account `robot` may do what administrators of a namespace may,
/// and a namespace `foreign` with an object of every kind.
struct World {
    guarded: Guarded,
    routes: Vec<Route>,
    eve: Caller,
    robot: Caller,
}

impl World {
    fn start(backend: Backend) -> Self {
        let guarded = Guarded::start(backend, &[]);
        let routes = all_routes();
        guarded.namespace("hers");
        let (eve, robot) = (guarded.user("eve", "stranger"), guarded.account("hers", "robot"));
        let subjects = json!([{"kind": "User", "name": "eve"},
                              {"kind": "ServiceAccount", "name": "robot", "namespace": "hers"}]);
        let admin = json!({"kind": "ClusterRole", "name": "admin", "apiGroup": "rbac.authorization.k8s.io"});
        let binding = json!({"metadata": {"name": "hers"}, "roleRef": admin, "subjects": subjects});
        guarded.root.create(&format!("{RBAC}/namespaces/hers/rolebindings"), &binding);
        guarded.namespace("foreign");
        // Of kinds in several versions, one object is in all of them.
        for route in routes.iter().filter(|route| route.method == "POST") {
            // Reviews are answers, which nobody keeps.
            if let Some(Resource { group, plural, name: "", .. }) = Resource::of(&route.path)
                && plural != "namespaces"
                && !["authentication.k8s.io", "authorization.k8s.io"].contains(&group)
            {
                let made = guarded.root.send("POST", &fill(&route.path, "foreign"), &manifest(plural, "thing"));
                assert!([201, 409].contains(&made.status), "{}: {}", route.path, made.text);
            }
        }
        let world = Self { guarded, routes, eve, robot };
        for caller in [&world.eve, &world.robot] {
            let mine = || caller.get("/api/v1/namespaces/hers/secrets").status == 200;
            eventually("the binding is in force", 10, || mine().then_some(()));
        }
        world
    }

    /// What each route answers to a caller who is after `foreign`.
    fn walk(&self, caller: &Caller) -> Vec<(&Route, Reply)> {
        self.routes.iter().map(|route| (route, ask(caller, route, "foreign"))).collect()
    }
}

/// The path with everything filled in.
fn fill(pattern: &str, namespace: &str) -> String {
    let names_it = ["/namespaces/{name}", "/workspaces/{name}"].iter().any(|end| pattern.contains(end));
    let part = |part: &str| match part {
        "{namespace}" => namespace.to_owned(),
        "{name}" if names_it => namespace.to_owned(),
        part if part.starts_with('{') => "thing".to_owned(),
        part => part.to_owned(),
    };
    pattern.split('/').map(part).collect::<Vec<_>>().join("/")
}

fn ask(caller: &Caller, route: &Route, namespace: &str) -> Reply {
    caller.in_workspace(namespace).send(route.method, &fill(&route.path, namespace), &body(route, namespace))
}

fn refused(reply: &Reply) -> bool {
    matches!(reply.status, 401 | 403)
}

/// A line of `allowed.txt`.
struct Allowed {
    /// `METHOD PATH`, in which `{group}` and `{version}` stand for any.
    route: &'static str,
    who: &'static str,
}

impl Allowed {
    fn all() -> Vec<Self> {
        let lines = include_str!("allowed.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines
            .map(|line| match line.splitn(3, ": ").collect::<Vec<_>>()[..] {
                [route, who @ ("anonymous" | "authenticated"), why] if !why.is_empty() => Self { route, who },
                _ => panic!("not `METHOD PATH: anonymous or authenticated: why`: {line}"),
            })
            .collect()
    }

    fn covers(&self, (route, who): &(String, &str)) -> bool {
        let same = |(ours, theirs)| ["{group}", "{version}"].contains(&ours) || ours == theirs;
        self.who == *who
            && self.route.split('/').count() == route.split('/').count()
            && self.route.split('/').zip(route.split('/')).all(same)
    }
}

#[test]
fn routes_answer_those_who_may() {
    let world = World::start(Backend::Sqlite);
    let garbage = world.guarded.nobody().with_token("garbage");
    for (route, reply) in world.walk(&garbage) {
        assert_eq!((reply.status, &reply.json["kind"]), (401, &json!("Status")), "{route:?}: {}", reply.text);
    }

    let mut answered: Vec<(String, &str)> = Vec::new();
    let strangers = [world.walk(&world.eve), world.walk(&world.robot)];
    for ((route, anonymous), (eve, robot)) in
        world.walk(&world.guarded.nobody()).iter().zip(strangers[0].iter().zip(&strangers[1]))
    {
        let name = format!("{} {}", route.method, route.path);
        assert_eq!(refused(&eve.1), refused(&robot.1), "{name}: {} {}", eve.1.text, robot.1.text);
        let who = match (refused(anonymous), refused(&eve.1)) {
            (true, true) => {
                assert_eq!((anonymous.status, eve.1.status, robot.1.status), (401, 403, 403), "{name}");
                assert!(!anonymous.header("www-authenticate").is_empty(), "{name}: {}", anonymous.head);
                continue;
            }
            (true, false) => "authenticated",
            (false, false) => "anonymous",
            (false, true) => panic!("{name} answers nobody but not somebody"),
        };
        answered.push((name, who));
    }
    let allowed = Allowed::all();
    let surprising: Vec<_> = answered.iter().filter(|route| !allowed.iter().any(|line| line.covers(route))).collect();
    assert!(surprising.is_empty(), "these answer whom allowed.txt does not name: {surprising:#?}");
    let idle = allowed.iter().filter(|line| !answered.iter().any(|route| line.covers(route)));
    let idle: Vec<_> = idle.map(|line| line.route).collect();
    assert!(idle.is_empty(), "allowed.txt allows what no route needs: {idle:#?}");

    // They were turned away for where they asked, not for who they are.
    for caller in [&world.eve, &world.robot] {
        let lists = world.routes.iter().filter(|route| {
            route.method == "GET" && Resource::of(&route.path).is_some_and(|r| r.name.is_empty() && r.namespaced)
        });
        let answers: Vec<u16> = lists.map(|route| ask(caller, route, "hers").status).collect();
        assert!(answers.len() > 10 && answers.iter().all(|status| *status == 200), "{answers:?}");
    }
    // And nothing came of it.
    let made = |path: &str| {
        let collection = path.split_once("/{name}").map(|(collection, _)| collection);
        world.routes.iter().any(|route| route.method == "POST" && Some(route.path.as_str()) == collection)
    };
    for route in world.routes.iter().filter(|route| route.method == "GET" && made(&route.path)) {
        if Resource::of(&route.path).is_some_and(|resource| !resource.name.is_empty()) {
            let object = ask(&world.guarded.root, route, "foreign").expect(200);
            assert!(object["metadata"]["labels"]["touched"].is_null(), "{object}");
        }
    }
}

#[test]
fn refusals_are_in_the_audit_log() {
    let world = World::start(Backend::Sqlite);
    let robot = "system:serviceaccount:hers:robot";
    for (caller, actor) in [(&world.eve, "eve"), (&world.robot, robot)] {
        let answers = world.walk(caller);
        let mut entries = BTreeMap::new();
        let mut page = format!("/audit?actor={actor}&limit=999");
        loop {
            let answer = world.guarded.root.get(&page).expect(200);
            for entry in answer["items"].as_array().unwrap() {
                entries.insert(entry["trace"].as_str().unwrap().to_owned(), entry.clone());
            }
            let Some(token) = answer["continue"].as_str() else { break };
            page = format!("/audit?actor={actor}&limit=999&continue={token}");
        }
        for (route, reply) in answers.iter().filter(|(_, reply)| reply.status == 403) {
            let entry = entries.get(reply.header("x-trace-id"));
            let entry = entry.unwrap_or_else(|| panic!("{route:?} left no entry: {}", reply.text));
            let expected = match Resource::of(&route.path) {
                Some(resource) => Some(resource.audited(route, "foreign")),
                None if route.path == "/audit" => Some(json!(["list", "audit.mcplane.io", "", ""])),
                None if ["/metrics", "/debug"].iter().any(|start| route.path.starts_with(start)) => {
                    Some(json!(["get", route.path, "", ""]))
                }
                None => None,
            };
            let (said, outcome) = (
                json!([entry["verb"], entry["resource"], entry["namespace"], entry["name"]]),
                json!([entry["actor"], entry["outcome"], entry["code"], entry["source"]]),
            );
            match expected {
                Some(expected) => assert_eq!(said, expected, "{route:?}"),
                // Paths of other dialects say nothing of what they are about; the log says it in terms of roles.
                None => {
                    let resource = entry["resource"].as_str().unwrap();
                    match resource {
                        "namespaces" => assert_eq!(entry["namespace"], "", "{route:?}: {entry}"),
                        // The list of all namespaces.
                        _ if route.path == "/tasks/v1/tasks" => assert_eq!(entry["namespace"], "", "{entry}"),
                        _ => assert_eq!(entry["namespace"], "foreign", "{route:?}: {entry}"),
                    }
                    assert!(resource.ends_with("mcplane.io") || resource == "namespaces", "{route:?}: {entry}");
                }
            }
            assert_eq!(outcome, json!([actor, "denied", 403, "127.0.0.1"]), "{route:?}");
            assert_eq!(entry["detail"], reply.json["message"], "{route:?}");
        }
    }
    assert_eq!(world.guarded.root.get("/audit?verify").expect(200)["verified"], true);
}

#[test]
fn other_methods_and_spellings_lead_nowhere() {
    let world = World::start(Backend::Sqlite);
    let nobody = world.guarded.nobody();
    let before = settled(&world.guarded.root);
    let mut paths: Vec<&str> = world.routes.iter().map(|route| route.path.as_str()).collect();
    paths.dedup();
    for path in paths {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            if world.routes.iter().any(|route| route.method == method && route.path == path) {
                continue;
            }
            for caller in [&nobody, &world.eve] {
                let reply = caller.send(method, &fill(path, "foreign"), &json!({}));
                assert!(matches!(reply.status, 400 | 401 | 403 | 404 | 405), "{method} {path}: {}", reply.text);
            }
        }
    }
    for path in [
        "/api/v1/namespaces/hers/../foreign/secrets/thing",
        "/api/v1/namespaces/hers/secrets/../../foreign/secrets/thing",
        "/api/v1/namespaces/hers%2f..%2fforeign/secrets/thing",
        "/api/v1/namespaces/hers%2F%2E%2E%2Fforeign/secrets",
        "/api/v1/namespaces/hers/secrets/..%2f..%2fforeign%2fsecrets%2fthing",
        "/api/v1/namespaces/hers/secrets/%2e%2e/%2e%2e/foreign/secrets/thing",
        "/api/v1/namespaces/hers%00foreign/secrets/thing",
        "/api/v1/namespaces/%66oreign/secrets/thing",
        "/api/v1/namespaces/foreign/%73ecrets/thing",
        "/api/v1/namespaces//secrets",
        "//api/v1/namespaces/foreign/secrets/thing",
        "/api/v1//namespaces/foreign/secrets/thing",
        "/api/v1/namespaces/foreign/secrets/thing/",
        "/api/v1/namespaces/foreign/secrets/thing;x=y",
        "/api/v1/./namespaces/foreign/secrets/thing",
        "/API/v1/namespaces/foreign/secrets/thing",
        "/api/v1/namespaces/foreign/Secrets/thing",
        "/api/v1/secrets/thing",
        "/apis//v1/namespaces/foreign/secrets/thing",
        "/apis/v1/namespaces/foreign/secrets/thing",
        "/api/v1/watch/namespaces/foreign/secrets",
        "/api/v1/proxy/namespaces/foreign/secrets/thing",
        "/openapi/v3/../../api/v1/secrets",
        "/metrics/",
        "/audit/",
        "/audit?namespace=foreign",
        "/audit?namespace=",
        "/audit?verify",
        "http://localhost/api/v1/namespaces/foreign/secrets/thing",
        "/livez/../metrics",
    ] {
        for caller in [&nobody, &world.eve, &world.robot] {
            let reply = caller.get(path);
            assert!(matches!(reply.status, 400 | 401 | 403 | 404), "{path}: {} {}", reply.status, reply.text);
        }
    }
    assert_eq!(revision(&world.guarded.root), before);
}

/// The revision once controllers have said all that they have to say of what is there.
fn settled(root: &Caller) -> Value {
    let mut last = revision(root);
    eventually("nothing changes any more", 20, || {
        std::thread::sleep(std::time::Duration::from_secs(1));
        let now = revision(root);
        let same = (now == last).then(|| now.clone());
        last = now;
        same
    })
}

fn revision(root: &Caller) -> Value {
    root.get("/api/v1/namespaces?limit=1").expect(200)["metadata"]["resourceVersion"].clone()
}

#[test]
fn a_right_in_one_namespace_shows_nothing_of_another() {
    let world = World::start(Backend::Sqlite);
    let root = &world.guarded.root;
    for name in ["a", "b"] {
        root.create("/api/v1/namespaces/hers/secrets", &manifest("secrets", name));
    }
    for caller in [&world.eve, &world.robot] {
        let items = |query: &str| {
            let list = caller.get(&format!("/api/v1/namespaces/hers/secrets?{query}")).expect(200);
            let names = list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].to_string());
            (names.collect::<Vec<_>>(), list["metadata"]["continue"].as_str().map(str::to_owned))
        };
        for forbidden in [
            "/api/v1/secrets",
            "/api/v1/secrets?fieldSelector=metadata.namespace%3Dhers",
            "/api/v1/secrets?watch=true&timeoutSeconds=1",
            "/api/v1/secrets?watch=true&timeoutSeconds=1&fieldSelector=metadata.namespace%3Dhers",
            "/api/v1/namespaces/foreign/secrets?watch=1&timeoutSeconds=1",
            "/api/v1/namespaces/foreign/secrets/thing?watch=true&timeoutSeconds=1",
            "/api/v1/namespaces?fieldSelector=metadata.name%3Dhers",
        ] {
            assert_eq!(caller.get(forbidden).status, 403, "{forbidden}");
        }
        assert_eq!(items("fieldSelector=metadata.namespace%3Dforeign").0, [""; 0]);

        // A page's token moves within the namespace that was asked for, wherever it says that it left off.
        let (first, token) = items("limit=1");
        assert_eq!(first, [r#""a""#]);
        let mut token: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.unwrap()).unwrap()).unwrap();
        for after in [["foreign", ""], ["foreign", "a"], ["", ""], ["zzz", "zzz"]] {
            token["after"] = json!(after);
            let tampered = URL_SAFE_NO_PAD.encode(token.to_string());
            assert!(!items(&format!("continue={tampered}")).0.iter().any(|name| name.contains("thing")), "{after:?}");
        }
        // What is written to the one can't land in the other.
        let mut stray = manifest("configmaps", "stray");
        stray["metadata"]["namespace"] = "foreign".into();
        caller.send("POST", "/api/v1/namespaces/hers/configmaps", &stray).expect(400);
        let away = json!({"metadata": {"namespace": "foreign"}});
        assert_eq!(caller.send("PATCH", "/api/v1/namespaces/hers/secrets/a", &away).status / 100, 4);
        let review =
            json!({"spec": {"resourceAttributes": {"namespace": "foreign", "verb": "get", "resource": "secrets"}}});
        let reviewed = caller.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review);
        assert_eq!(reviewed["status"]["allowed"], false);
    }
    assert_eq!(root.get("/api/v1/namespaces/foreign/configmaps/stray").status, 404);
}
