use std::time::Instant;

use mcplane_testkit::Backend;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{JSON, Lab, MAP, MAPS, PATIENCE, PROTOBUF, SERVICE, YAML, cut};

const CASES: u32 = 600;

/// A good request; nothing that it does lasts.
type Good = (&'static str, String, &'static str, Vec<u8>);

fn good() -> Vec<Good> {
    let dry = "dryRun=All&fieldValidation=Strict&fieldManager=m";
    let map = br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b","labels":{"l":"1"},"finalizers":["example.com/f"]},"data":{"k":"v"}}"#;
    let yaml = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\n  labels: &l {l: '1'}\n  annotations: *l\ndata:\n  k: |\n    v\n";
    let service = br#"{"metadata":{"name":"w"},"spec":{"hosts":["h"],"http":[{"match":[{"uri":{"prefix":"/"}}],"route":[{"destination":{"host":"h","port":{"number":80}},"weight":100}],"timeout":"5s"}]}}"#;
    let quota = br#"{"metadata":{"name":"q"},"spec":{"hard":{"requests.cpu":"1500m","count/configmaps":"1e3","memory":"1.5Gi"},"scopes":["NotTerminating"]}}"#;
    let role = br#"{"metadata":{"name":"r"},"rules":[{"apiGroups":[""],"resources":["configmaps/status"],"resourceNames":["a"],"verbs":["get"]}]}"#;
    // The ConfigMap `b` as kubectl's typed commands send it.
    let protobuf = b"k8s\0\n\x0f\n\x02v1\x12\tConfigMap\x12\x0d\n\x03\n\x01b\x12\x06\n\x01k\x12\x01v\x1a\0\"\0";
    let json_patch = br#"[{"op":"test","path":"/data/k","value":"v"},{"op":"copy","from":"/data/k","path":"/data/l"},{"op":"remove","path":"/data/k"}]"#;
    let merge = br#"{"metadata":{"labels":{"l":null}},"data":{"k":"w","x":"y"}}"#;
    let strategic = br#"{"metadata":{"finalizers":["example.com/a"],"$setElementOrder/finalizers":["example.com/a"],"labels":{"l":null}},"data":{"$patch":"replace","z":"1"}}"#;
    let options = br#"{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Foreground","preconditions":{"uid":"u","resourceVersion":"1"},"dryRun":["All"]}"#;
    let post = |path: &str, content_type, body: &[u8]| ("POST", format!("{path}?{dry}"), content_type, body.to_vec());
    let patch = |kind, body: &[u8]| ("PATCH", format!("{MAP}?{dry}"), kind, body.to_vec());
    let get = |path: &str| ("GET", path.to_owned(), "", vec![]);
    vec![
        post(MAPS, JSON, map),
        post(MAPS, YAML, yaml),
        post(MAPS, PROTOBUF, protobuf),
        post(SERVICE.trim_end_matches("/v"), JSON, service),
        post("/api/v1/namespaces/lab/resourcequotas", JSON, quota),
        post("/apis/rbac.authorization.k8s.io/v1/namespaces/lab/roles", JSON, role),
        (
            "PUT",
            format!("{MAP}?{dry}"),
            JSON,
            br#"{"metadata":{"name":"a"},"data":{"k":"w"},"immutable":true}"#.to_vec(),
        ),
        patch("application/json-patch+json", json_patch),
        patch("application/merge-patch+json", merge),
        patch("application/strategic-merge-patch+json", strategic),
        ("DELETE", format!("{MAP}?dryRun=All"), JSON, options.to_vec()),
        get(&format!("{MAPS}?limit=1&labelSelector=l+in+(1,2),!x&fieldSelector=metadata.name!%3Db&resourceVersion=1")),
        get(&format!("{MAPS}?limit=1&continue=eyJhdCI6MTAsImFmdGVyIjpbImxhYiIsImEiXSwibGVmdCI6MX0")),
        get("/audit?actor=root&since=1h&limit=5&continue=100"),
        get("/apis/networking.istio.io/v1"),
        get("/openapi/v3/api/v1"),
        (
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".into(),
            JSON,
            br#"{"spec":{"resourceAttributes":{"verb":"get","resource":"secrets","namespace":"lab"}}}"#.to_vec(),
        ),
    ]
}

/// What is put in the place of something good.
const PIECES: [&[u8]; 24] = [
    b"",
    b"\0",
    b"\xff",
    b"null",
    b"{}",
    b"[]",
    b"\"\"",
    b"-1",
    b"9223372036854775808",
    b"1e400",
    b"0.0000001",
    b"\\ud800",
    b"%ff",
    b"%00",
    b"%2f..%2f",
    b"$patch",
    b"*l",
    b"&a [",
    b"---\n",
    b"\xf0\x9f\x92\xa9",
    b"..",
    b"//",
    b"\"a\":{\"a\":{\"a\":",
    b"true",
];

/// One change: at about where (in 65536ths), how many bytes go, and what comes.
type Change = (u16, u8, Vec<u8>);

fn change() -> impl Strategy<Value = Change> {
    let piece = prop_oneof![
        3 => prop::sample::select(PIECES.to_vec()).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 1..6),
        1 => (prop::sample::select(PIECES.to_vec()), 2..2000_usize).prop_map(|(piece, times)| piece.repeat(times)),
    ];
    (any::<u16>(), prop_oneof![Just(0), Just(1), any::<u8>()], piece)
}

fn mutate(bytes: &mut Vec<u8>, (place, removed, piece): &Change) {
    let at = bytes.len() * usize::from(*place) / 65536;
    let end = (at + usize::from(*removed)).min(bytes.len());
    bytes.splice(at..end, piece.iter().copied());
}

/// A target that can be a line of HTTP: what can't is escaped.
fn target(bytes: &[u8]) -> String {
    let line: String = bytes
        .iter()
        .map(|byte| {
            if byte.is_ascii_graphic() && *byte != b'#' {
                char::from(*byte).to_string()
            } else {
                format!("%{byte:02x}")
            }
        })
        .collect();
    format!("/{}", line.trim_start_matches('/'))
}

pub(super) fn no_change_of_a_good_request_is_too_much(backend: Backend) {
    let lab = Lab::start(backend);
    let good = good();
    for (method, path, content_type, body) in &good {
        let reply = lab.timed(path, method, path, content_type, body);
        assert!(matches!(reply.status, 200 | 201 | 409), "{method} {path}: {}", cut(&reply.text));
    }
    let requests = (0..good.len(), prop::collection::vec(change(), 0..4), prop::collection::vec(change(), 0..3));
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    runner
        .run(&requests, |(which, of_body, of_path)| {
            let (method, path, content_type, mut body) = good[which].clone();
            let mut path = path.into_bytes();
            if !body.is_empty() {
                of_body.iter().for_each(|change| mutate(&mut body, change));
            }
            of_path.iter().for_each(|change| mutate(&mut path, change));
            path.truncate(30_000);
            let mut path = target(&path);
            // What is no longer a trial, or has become a watch, is not this test's.
            let query = path.split_once('?').map_or("", |(_, query)| query);
            let trial = method == "GET" || path.contains("review") || query.split('&').next() == Some("dryRun=All");
            if !trial || path.contains("watch") {
                path.clone_from(&good[which].1);
            }
            let began = Instant::now();
            let reply = lab.root().try_send(method, &path, content_type, &body);
            let took = began.elapsed();
            let reply =
                reply.ok_or_else(|| TestCaseError::fail(format!("no answer to {method} {path} after {took:?}")))?;
            let to_come = reply.status == 504 && reply.text.contains("Too large resource version");
            prop_assert!(reply.status < 500 || to_come, "{} {method} {path}: {}", reply.status, cut(&reply.text));
            prop_assert!(took < PATIENCE, "{method} {path} took {took:?}");
            prop_assert!(
                reply.status < 400 || reply.json["kind"] == "Status" || reply.text.is_empty(),
                "{method} {path}: {}",
                cut(&reply.text)
            );
            Ok(())
        })
        .unwrap();
}
