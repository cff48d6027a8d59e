use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

use mcplane_testkit::{Backend, eventually, http};
use serde_json::{Value, json};

use super::{JSON, LIMIT, Lab, MAP, MAPS, PATIENCE, PROTOBUF, YAML, assert_precise, cut, revision};
use crate::guarded::{Caller, RBAC, Reply};

const MERGE: &str = "application/merge-patch+json";

/// Requests that take a body, with its type.
const TAKERS: [(&str, &str, &str); 6] = [
    ("POST", MAPS, JSON),
    ("PUT", MAP, JSON),
    ("PUT", MAP, YAML),
    ("PATCH", MAP, MERGE),
    ("DELETE", MAP, JSON),
    ("DELETE", MAPS, JSON),
];

/// Sends chunks until the server closes; gives its answer and the bytes that it took.
fn endless(caller: &Caller, method: &str, path: &str, content_type: &str, most: usize) -> (Option<Reply>, usize) {
    let headers = format!("Content-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n");
    let mut stream = TcpStream::connect(caller.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(caller.head(method, path, &headers).as_bytes()).unwrap();
    let chunk = [b"10000\r\n", vec![b' '; 1 << 16].as_slice(), b"\r\n"].concat();
    let mut sent = 0;
    while sent < most && stream.write_all(&chunk).is_ok() {
        sent += 1 << 16;
    }
    (http::receive(stream).map(Reply::from), sent)
}

#[test]
fn bodies_over_the_limit_are_refused() {
    let lab = Lab::start(Backend::Sqlite);
    let mut large = br#"{"metadata":{"name":"a"},"data":{"k":""#.to_vec();
    large.resize(LIMIT - 3, b'x');
    large.extend(b"\"}} ");
    assert_eq!(large.len(), LIMIT + 1);
    for (method, path, content_type) in TAKERS {
        let what = format!("{method} {path}");
        lab.refused(&what, method, path, content_type, &large, 413);
        let (reply, sent) = endless(lab.root(), method, path, content_type, 1 << 30);
        assert!(sent < 64 << 20, "{what}: {sent} bytes were taken");
        let reply = reply.unwrap_or_else(|| panic!("{what}: an endless body gets no answer"));
        assert_eq!(reply.status, 413, "{what}: {}", reply.text);
        assert_precise(&what, &reply);
    }
    let login = format!(r#"{{"username":"root","password":"{}"}}"#, "x".repeat(20_000));
    lab.refused("a long login", "POST", "/auth/login", JSON, login.as_bytes(), 413);
    let (reply, sent) = endless(&lab.guarded.nobody(), "POST", "/auth/login", JSON, 1 << 30);
    assert!(sent < 64 << 20 && reply.is_some_and(|reply| reply.status == 413), "{sent}");

    // A length is believed before anything is read, and a body that never comes holds nobody up.
    let head = lab.root().head("POST", MAPS, "Content-Type: application/json\r\nContent-Length: 99999999999\r\n");
    assert_eq!(http::send(lab.root().address, &head, b"").unwrap().status, 413);
    for headers in ["Content-Length: 1000\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut stream = TcpStream::connect(lab.root().address).unwrap();
        let head = lab.root().head("POST", MAPS, &format!("Content-Type: application/json\r\n{headers}"));
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(b"5\r\n{\"met").unwrap();
    }
}

/// `&a [*b, *b, …]` upon itself.
fn laughs() -> String {
    let mut text = "metadata: {name: x}\na0: &a0 [lol, lol]\n".to_owned();
    for level in 1..30 {
        let below = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{below}, {below}, {below}, {below}]\n"));
    }
    text
}

#[test]
fn bombs_are_refused() {
    let lab = Lab::start(Backend::Sqlite);
    let merges = (1..2000).fold("a0: &a0 {k: v}\n".to_owned(), |text, n| {
        text + &format!("a{n}: &a{n} {{<<: [*a{0}, *a{0}], k{n}: v}}\n", n - 1)
    });
    let envelope = |rest: &[u8]| [b"k8s\0".as_slice(), rest].concat();
    let bodies: Vec<(&str, &str, Vec<u8>)> = vec![
        ("depth of lists", JSON, "[".repeat(100_000).into_bytes()),
        ("depth of maps", JSON, "{\"a\":".repeat(100_000).into_bytes()),
        ("depth, all of it", JSON, [vec![b'['; LIMIT / 2], vec![b']'; LIMIT / 2]].concat()),
        (
            "depth in data",
            JSON,
            format!("{{\"metadata\":{{\"name\":\"x\"}},\"data\":{}", "[".repeat(1 << 20)).into_bytes(),
        ),
        ("depth in YAML", YAML, vec![b'['; LIMIT]),
        ("depth in YAML maps", YAML, "{a: ".repeat(LIMIT / 4).into_bytes()),
        ("depth in YAML blocks", YAML, "- ".repeat(LIMIT / 2).into_bytes()),
        ("depth in YAML keys", YAML, "? ".repeat(LIMIT / 2).into_bytes()),
        ("aliases", YAML, laughs().into_bytes()),
        ("aliases of itself", YAML, b"a: &a [*a]\n".to_vec()),
        ("merge keys", YAML, merges.into_bytes()),
        ("anchors", YAML, (0..150_000).map(|n| format!("- &a{n} x\n")).collect::<String>().into_bytes()),
        ("tags", YAML, "!a ".repeat(LIMIT / 3).into_bytes()),
        ("documents", YAML, "---\n".repeat(LIMIT / 4).into_bytes()),
        ("directives", YAML, "%TAG ! tag:x,2000:\n".repeat(100_000).into_bytes()),
        ("bad UTF-8", JSON, b"{\"metadata\":{\"name\":\"\xff\xfe\"}}".to_vec()),
        ("bad UTF-8 in YAML", YAML, b"metadata: {name: \xc3\x28}".to_vec()),
        ("an overlong NUL", JSON, b"{\"metadata\":{\"name\":\"\xc0\x80\"}}".to_vec()),
        ("half a surrogate", JSON, br#"{"metadata":{"name":"\udc00"}}"#.to_vec()),
        ("UTF-16", JSON, "\u{feff}{\"a\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("NULs", JSON, vec![0; 1 << 20]),
        ("a long number", JSON, format!("{{\"metadata\":{{\"generation\":{}}}}}", "9".repeat(1 << 20)).into_bytes()),
        ("nothing", JSON, vec![]),
        ("blanks", JSON, vec![b' '; 1 << 20]),
        ("two values", JSON, b"{}{}".to_vec()),
        ("a list", JSON, b"[]".to_vec()),
        ("an envelope of noise", PROTOBUF, envelope(&(0..=255).cycle().take(1 << 16).collect::<Vec<u8>>())),
        ("a length that lies", PROTOBUF, envelope(b"\x0a\xff\xff\xff\xff\x0f\x00")),
        ("a number without end", PROTOBUF, envelope(&[0xff; 1 << 16])),
        ("messages in messages", PROTOBUF, envelope(&[&[0x12, 0x40], [0x0a, 0x7f].repeat(32).as_slice()].concat())),
        ("groups in groups", PROTOBUF, envelope(&[0x0b; 1 << 20])),
        ("no envelope", PROTOBUF, b"{}".to_vec()),
        ("JSON in an envelope", PROTOBUF, envelope(b"{\"metadata\":{}}")),
    ];
    for (what, content_type, body) in &bodies {
        for (method, path) in [("POST", MAPS), ("PUT", MAP), ("DELETE", MAP), ("DELETE", MAPS)] {
            if body.is_empty() && method == "DELETE" {
                continue;
            }
            let what = format!("{method} of {what}");
            let reply = lab.timed(&what, method, path, content_type, body);
            // The envelope may say that its content is of yet another type.
            let foreign = reply.status == 415 && *content_type == PROTOBUF;
            assert!(reply.status == 400 || foreign, "{what}: {} {}", reply.status, cut(&reply.text));
            assert_precise(&what, &reply);
        }
        // An empty list is a good JSON patch.
        if *content_type == JSON && *what != "a list" {
            for kind in ["json-patch", "merge-patch", "strategic-merge-patch"] {
                let content_type = format!("application/{kind}+json");
                let reply = lab.timed(what, "PATCH", MAP, &content_type, body);
                assert!(matches!(reply.status, 400 | 422), "{kind} of {what}: {} {}", reply.status, reply.text);
                assert_precise(what, &reply);
            }
            lab.refused(what, "POST", "/auth/login", JSON, &body[..body.len().min(16 << 10)], 400);
        }
    }
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/cbor",
        "multipart/form-data; boundary=x",
        "application/json-patch+json",
        "nonsense",
        "application/",
        "/",
        "application/json/x",
    ] {
        lab.refused(content_type, "POST", MAPS, content_type, b"{}", 415);
    }
    for content_type in [JSON, YAML, PROTOBUF, "text/plain", "application/apply-patch", "application/xml-patch+json"] {
        lab.refused(content_type, "PATCH", MAP, content_type, b"{}", 415);
    }
}

#[test]
fn objects_that_take_long_to_check_are_not() {
    let lab = Lab::start(Backend::Sqlite);
    let many = |count: usize, item: &dyn Fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join(",");
    let owner = |n| format!(r#"{{"apiVersion":"v1","kind":"ConfigMap","name":"n{n}","uid":"u{n}"}}"#);
    let rule = |n| format!(r#"{{"apiGroups":[""],"resources":["r{n}"],"verbs":["get"]}}"#);
    let word = |n| format!("\"w{n}\"");
    let pair = |n| format!("\"example.com/k{n}\":\"v\"");
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let core = "/api/v1/namespaces/lab";
    let roles = format!("{rbac}/namespaces/lab/roles");
    let bodies = [
        ("labels", MAPS, format!(r#"{{"metadata":{{"name":"x","labels":{{{}}}}}}}"#, many(100_000, &pair))),
        ("annotations", MAPS, format!(r#"{{"metadata":{{"name":"x","annotations":{{{}}}}}}}"#, many(100_000, &pair))),
        ("finalizers", MAPS, format!(r#"{{"metadata":{{"name":"x","finalizers":[{}]}}}}"#, many(200_000, &word))),
        ("owners", MAPS, format!(r#"{{"metadata":{{"name":"x","ownerReferences":[{}]}}}}"#, many(40_000, &owner))),
        (
            "data",
            MAPS,
            format!(r#"{{"metadata":{{"name":"x/"}},"data":{{{}}}}}"#, many(100_000, &|n| format!("\"k{n}\":\"v\""))),
        ),
        (
            "unknown fields",
            MAPS,
            format!(r#"{{"metadata":{{"name":"x/"}},{}}}"#, many(100_000, &|n| format!("\"k{n}\":\"v\""))),
        ),
        (
            "repeated keys",
            MAPS,
            format!(r#"{{"metadata":{{"name":"x/"}},{}}}"#, many(200_000, &|_| "\"k\":\"v\"".into())),
        ),
        ("a long label", MAPS, format!(r#"{{"metadata":{{"name":"x","labels":{{"{}":"v"}}}}}}"#, "k".repeat(1 << 20))),
        ("a long field", MAPS, format!(r#"{{"metadata":{{"name":"x/"}},"{}":1}}"#, "k".repeat(1 << 20))),
        ("a long kind", MAPS, format!(r#"{{"kind":"{}","metadata":{{"name":"x"}}}}"#, "k".repeat(1 << 20))),
        ("a name", MAPS, format!(r#"{{"metadata":{{"name":"{}"}}}}"#, "x".repeat(1 << 20))),
        ("a name to make", MAPS, format!(r#"{{"metadata":{{"generateName":"{}"}}}}"#, "X".repeat(1 << 20))),
        ("rules", &roles, format!(r#"{{"metadata":{{"name":"x/"}},"rules":[{}]}}"#, many(50_000, &rule))),
        (
            "a quantity",
            &format!("{core}/resourcequotas"),
            format!(r#"{{"metadata":{{"name":"x"}},"spec":{{"hard":{{"pods":"{}"}}}}}}"#, "9".repeat(1 << 20)),
        ),
        (
            "an exponent",
            &format!("{core}/resourcequotas"),
            r#"{"metadata":{"name":"x"},"spec":{"hard":{"pods":"1e999999999999"}}}"#.into(),
        ),
        (
            "base64",
            &format!("{core}/secrets"),
            format!(r#"{{"metadata":{{"name":"x"}},"data":{{"k":"{}"}}}}"#, "=".repeat(1 << 20)),
        ),
    ];
    for (what, path, body) in &bodies {
        for validation in ["Warn", "Strict", "Ignore"] {
            let path = format!("{path}?dryRun=All&fieldValidation={validation}");
            let reply = lab.timed(what, "POST", &path, JSON, body.as_bytes());
            assert!(reply.status < 500, "{what}: {}", cut(&reply.text));
            if reply.status >= 400 {
                assert_precise(what, &reply);
            }
        }
    }
}

/// Who holds many rights and asks for many others has the server compare them all.
#[test]
fn rights_that_take_long_to_compare_are_not() {
    let mut lab = Lab::start(Backend::Sqlite);
    let roles = format!("{RBAC}/namespaces/lab/roles");
    let rules = |count: usize, resource: &str| -> Value {
        let rule = |n| json!({"apiGroups": ["x"], "resources": [format!("{resource}{n}")], "verbs": ["get"]});
        (0..count).map(rule).collect()
    };
    let eve = lab.guarded.user("eve", "stranger");
    lab.root().create(&roles, &json!({"metadata": {"name": "many"}, "rules": rules(30_000, "held")}));
    for (kind, name) in [("Role", "many"), ("ClusterRole", "admin")] {
        let binding = json!({"metadata": {"name": name}, "subjects": [{"kind": "User", "name": "eve"}],
                             "roleRef": {"kind": kind, "name": name, "apiGroup": "rbac.authorization.k8s.io"}});
        lab.root().create(&format!("{RBAC}/namespaces/lab/rolebindings"), &binding);
    }
    eventually("the binding is in force", 20, || (eve.get(&roles).status == 200).then_some(()));
    lab.revision = revision(lab.root());
    let words = |count: usize| (0..count).map(|n| format!("w{n}")).collect::<Vec<_>>();
    let wide = json!([{"apiGroups": words(3_000), "resources": words(3_000), "verbs": words(3_000)}]);
    for (what, rules, status) in [
        ("rules that are not held", rules(30_000, "wanted"), 403),
        ("one rule of many", wide, 403),
        ("rules that are held", rules(1_000, "held"), 201),
    ] {
        let body = json!({"metadata": {"name": "more"}, "rules": rules}).to_string();
        let began = Instant::now();
        let reply = eve.send_as("POST", &format!("{roles}?dryRun=All"), JSON, body.as_bytes());
        assert!(began.elapsed() < PATIENCE, "{what}: {} after {:?}", reply.status, began.elapsed());
        assert_eq!(reply.status, status, "{what}: {}", cut(&reply.text));
    }
}
