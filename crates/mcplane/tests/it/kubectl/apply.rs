use super::start;
use mcplane_testkit::{Backend, on_each_backend};

on_each_backend!(apply_is_idempotent, fields_leave_with_the_manifest, many_documents, diff);

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: app\n  labels: {tier: web}\n\
                      data:\n  a: \"1\"\n  b: \"2\"\n";

fn apply_is_idempotent(backend: Backend) {
    let (_server, k) = start(backend);
    assert_eq!(k.feed("apply -f -", CONFIG).ok(), "configmap/app created\n");
    let first = k.json("get cm app");
    assert_eq!(k.feed("apply -f -", CONFIG).ok(), "configmap/app unchanged\n");
    assert_eq!(k.json("get cm app"), first, "an unchanged object keeps its revision");
    let last = first["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].as_str().unwrap();
    let last: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(last["data"], first["data"]);
}

/// The three-way merge: what the manifest no longer has goes, what others added stays.
fn fields_leave_with_the_manifest(backend: Backend) {
    let (_server, k) = start(backend);
    k.feed("apply -f -", CONFIG).ok();
    k.ok(["patch", "cm", "app", "-p", r#"{"data":{"other":"kept"}}"#]);
    let changed = CONFIG.replace("  b: \"2\"\n", "").replace("a: \"1\"", "a: \"one\"");
    assert_eq!(k.feed("apply -f -", &changed).ok(), "configmap/app configured\n");
    let now = k.json("get cm app");
    assert_eq!(now["data"], serde_json::json!({"a": "one", "other": "kept"}));
    assert_eq!(now["metadata"]["labels"]["tier"], "web");

    // A kind without a Go type in kubectl takes the way of a JSON merge patch.
    let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: reviews}\n\
                spec:\n  host: reviews\n  subsets:\n  - {name: v1, labels: {version: v1}}\n";
    assert_eq!(k.feed("apply -f -", rule).ok(), "destinationrule.networking.istio.io/reviews created\n");
    assert_eq!(k.feed("apply -f -", rule).ok(), "destinationrule.networking.istio.io/reviews unchanged\n");
    let changed = rule.replace("name: v1, labels: {version: v1}", "name: v2, labels: {version: v2}");
    assert_eq!(k.feed("apply -f -", &changed).ok(), "destinationrule.networking.istio.io/reviews configured\n");
    let now = k.json("get destinationrule reviews");
    assert_eq!(now["spec"]["subsets"], serde_json::json!([{"name": "v2", "labels": {"version": "v2"}}]));
    assert_eq!(now["metadata"]["generation"], 2);
}

fn many_documents(backend: Backend) {
    let (_server, k) = start(backend);
    let all = "apiVersion: v1\nkind: Namespace\nmetadata: {name: ml}\n---\n\
               apiVersion: v1\nkind: LimitRange\nmetadata: {name: limits, namespace: ml}\n\
               spec:\n  limits:\n  - type: Container\n    default: {cpu: 500m, memory: 512Mi}\n---\n\
               apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: leader, namespace: ml}\n\
               spec: {holderIdentity: a, leaseDurationSeconds: 15, renewTime: \"2026-01-02T03:04:05.000006Z\"}\n---\n\
               apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r, namespace: ml}\n\
               rules:\n- {apiGroups: [\"\"], resources: [configmaps], verbs: [get]}\n---\n\
               apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: sa, namespace: ml}\n---\n\
               apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: ml}\nstringData: {user: ann}\n";
    let expected = [
        "namespace/ml",
        "limitrange/limits",
        "lease.coordination.k8s.io/leader",
        "role.rbac.authorization.k8s.io/r",
        "serviceaccount/sa",
        "secret/s",
    ];
    let lines = |verb: &str| expected.iter().map(|name| format!("{name} {verb}\n")).collect::<String>();
    assert_eq!(k.feed("apply -f -", all).ok(), lines("created"));
    // kubectl sends again what it can't find in the object: what is only written, and an element of a list without keys
    // that the server completed.
    let again = ["secret/s", "limitrange/limits"].into_iter().fold(lines("unchanged"), |lines, name| {
        lines.replace(&format!("{name} unchanged"), &format!("{name} configured"))
    });
    assert_eq!(k.feed("apply -f -", all).ok(), again);
    let secret = k.json("get secret s -n ml");
    assert_eq!(secret["data"]["user"], "YW5u");
    assert_eq!(secret.get("stringData"), None, "a write-only field");
    let limits = k.json("get limits limits -n ml");
    assert_eq!(limits["spec"]["limits"][0]["defaultRequest"], limits["spec"]["limits"][0]["default"], "a default");
    assert_eq!(k.json("get lease leader -n ml")["spec"]["renewTime"], "2026-01-02T03:04:05.000006Z");
}

/// `diff` tells by its exit code, from a dry run on the server.
fn diff(backend: Backend) {
    let (_server, k) = start(backend);
    let created = k.feed("diff -f -", CONFIG);
    assert_eq!(created.code, 1, "{created}");
    assert!(created.stdout.contains("+  a: \"1\""), "{created}");
    k.err("get cm app");
    k.feed("apply -f -", CONFIG).ok();
    let same = k.feed("diff -f -", CONFIG);
    assert_eq!((same.code, same.stdout.as_str()), (0, ""), "{same}");
    let changed = k.feed("diff -f -", &CONFIG.replace("b: \"2\"", "b: \"3\""));
    assert_eq!(changed.code, 1);
    assert!(changed.stdout.contains("-  b: \"2\"") && changed.stdout.contains("+  b: \"3\""), "{changed}");
    assert_eq!(k.json("get cm app")["data"]["b"], "2");
}
