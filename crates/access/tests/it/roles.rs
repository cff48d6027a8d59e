//! What each default role may do, printed for review. Run with `UPDATE_GOLDEN=1` after a deliberate change.

use std::fmt::Write as _;
use std::path::Path;

use mcplane_access::rbac::{Policy, PolicySource, bootstrap};
use mcplane_core::authz::{Attributes, Authorizer, Decision};
use mcplane_core::{Caller, context};
use serde_json::{Value, json};

const VERBS: [&str; 8] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
const RESOURCES: [(&str, &str); 23] = [
    ("", "configmaps"),
    ("", "events"),
    ("", "limitranges"),
    ("", "namespaces"),
    ("", "namespaces/status"),
    ("", "namespaces/finalize"),
    ("", "resourcequotas"),
    ("", "resourcequotas/status"),
    ("", "secrets"),
    ("", "serviceaccounts"),
    ("", "serviceaccounts/token"),
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
    ("coordination.k8s.io", "leases"),
    ("networking.istio.io", "destinationrules"),
    ("networking.istio.io", "virtualservices"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
];
const PATHS: [&str; 9] =
    ["/api", "/apis/apps/v1", "/openapi/v3", "/livez", "/readyz", "/version", "/metrics", "/debug/pprof", "/"];

fn user(name: &str, groups: &[&str]) -> Caller {
    let groups = groups.iter().chain(&[context::AUTHENTICATED]).map(|&g| g.to_owned()).collect();
    Caller { name: name.to_owned(), groups, ..Caller::default() }
}

fn bind(role: &str) -> Value {
    json!({
        "kind": "RoleBinding", "metadata": {"name": role, "namespace": "team"},
        "roleRef": {"kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "name": format!("team-{role}")}],
    })
}

fn render() -> String {
    let manifests = bootstrap::manifests().into_iter().chain(["admin", "edit", "view"].map(bind));
    let policy = Policy::build(&PolicySource::from_manifests(manifests).unwrap());
    let callers = [
        ("local user with role admin", user("a", &["mcplane:role:admin"])),
        ("local user with role editor", user("e", &["mcplane:role:editor"])),
        ("local user with role viewer", user("v", &["mcplane:role:viewer"])),
        ("user with ClusterRole admin in namespace team", user("team-admin", &[])),
        ("user with ClusterRole edit in namespace team", user("team-edit", &[])),
        ("user with ClusterRole view in namespace team", user("team-view", &[])),
        ("any authenticated user (discovery)", user("d", &[])),
        ("nobody", Caller::anonymous()),
    ];
    let mut text = String::new();
    for (title, caller) in &callers {
        writeln!(text, "== {title}").unwrap();
        for (scope, namespace) in [("cluster", ""), ("namespace team", "team"), ("namespace other", "other")] {
            writeln!(text, "-- {scope}").unwrap();
            for (group, full) in RESOURCES {
                let (resource, subresource) = full.split_once('/').unwrap_or((full, ""));
                let verbs = allowed(&policy, caller, |verb| {
                    Attributes::resource(verb, group, resource, namespace, "").with_subresource(subresource)
                });
                let shown = if group.is_empty() { full.to_owned() } else { format!("{full}.{group}") };
                writeln!(text, "{shown:<56} {verbs}").unwrap();
            }
        }
        writeln!(text, "-- paths").unwrap();
        for path in PATHS {
            writeln!(text, "{path:<56} {}", allowed(&policy, caller, |verb| Attributes::path(verb, path))).unwrap();
        }
        text.push('\n');
    }
    text
}

fn allowed(policy: &Policy, caller: &Caller, attributes: impl Fn(&'static str) -> Attributes) -> String {
    let yes = |verb: &&'static str| matches!(policy.decide(caller, &attributes(verb)), Decision::Allow(_));
    let verbs: Vec<&str> = VERBS.into_iter().filter(yes).collect();
    if verbs.is_empty() { "-".to_owned() } else { verbs.join(" ") }
}

#[test]
fn default_roles_allow_what_the_golden_file_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/roles.txt");
    let actual = render();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = actual.lines().zip(expected.lines()).find(|(a, e)| a != e);
    assert!(actual == expected, "{} is out of date; first difference: {differs:?}", path.display());
}
