use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcplane_testkit::{Backend, http};
use serde_json::json;

use super::{Lab, MAP, MAPS, PATIENCE, assert_precise, cut};
use crate::guarded::Reply;

/// Sends bytes as they are.
fn raw(lab: &Lab, bytes: &[u8]) -> Option<Reply> {
    let mut stream = TcpStream::connect(lab.root().address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).ok();
    http::receive(stream).map(Reply::from)
}

pub(super) fn queries_are_read_with_care(backend: Backend) {
    let lab = Lab::start(backend);
    let token = |at: serde_json::Value, after: serde_json::Value| {
        format!("limit=1&continue={}", URL_SAFE_NO_PAD.encode(json!({"at": at, "after": after, "left": 1}).to_string()))
    };
    let requirements = |count: usize| (0..count).map(|n| format!("k{n}")).collect::<Vec<_>>().join(",");
    let refused: Vec<(&str, String)> = vec![
        ("a negative limit", "limit=-1".into()),
        ("a huge limit", "limit=99999999999999999999".into()),
        ("a limit of words", "limit=ten".into()),
        ("a limit of half", "limit=1.5".into()),
        ("a limit in a foreign script", "limit=%D9%A1".into()),
        ("a negative revision", "resourceVersion=-1".into()),
        ("a huge revision", "resourceVersion=99999999999999999999".into()),
        ("a match without revision", "resourceVersionMatch=Exact".into()),
        ("an unknown match", "resourceVersion=1&resourceVersionMatch=About".into()),
        ("a token of noise", "continue=%00%ff".into()),
        ("a token of another form", format!("continue={}", URL_SAFE_NO_PAD.encode("[1,2]"))),
        ("a long token", format!("continue={}", "A".repeat(40_000))),
        ("a token of the past", token((-1).into(), json!(["lab", "a"]))),
        ("a token of the least", token(i64::MIN.into(), json!(["lab", "a"]))),
        ("a token of the future", token(i64::MAX.into(), json!(["lab", "a"]))),
        ("bad UTF-8 in a selector", "labelSelector=%ff%fe".into()),
        ("NUL in a selector", "labelSelector=a%00b".into()),
        ("an unknown field", "fieldSelector=spec.secret%3Da".into()),
        ("half a selector", "labelSelector=a+in+(".into()),
        ("a selector of commas", format!("labelSelector={}", ",".repeat(30_000))),
        ("a selector of brackets", format!("labelSelector={}", "(".repeat(30_000))),
        ("10,000 requirements", format!("labelSelector={}", requirements(10_000))),
        ("a long requirement", format!("labelSelector={}", "a".repeat(60_000))),
        ("a watch of maybe", "watch=maybe".into()),
        ("a watch without time", "watch=1&timeoutSeconds=-1".into()),
        ("a watch of the future, negative", "watch=1&resourceVersion=-5".into()),
        ("events before the watch", "watch=1&sendInitialEvents=true".into()),
    ];
    for (what, query) in &refused {
        let reply = lab.timed(what, "GET", &format!("{MAPS}?{query}"), "", b"");
        assert!(matches!(reply.status, 400 | 410), "{what}: {} {}", reply.status, cut(&reply.text));
        assert_precise(what, &reply);
    }
    let answered = [
        ("the largest limit", format!("limit={}", i64::MAX)),
        ("no limit", "limit=0".into()),
        ("NUL in a field", "fieldSelector=metadata.name%3Da%00b,metadata.namespace%3D%00".into()),
        ("an odd key", "=&&&=%ff=&%".into()),
        ("10,000 parameters", (0..10_000).map(|n| format!("p{n}")).collect::<Vec<_>>().join("&")),
        ("250 requirements", format!("labelSelector={}", requirements(250))),
        (
            "a token of nowhere",
            token(json!(lab.revision.as_str().unwrap().parse::<i64>().unwrap()), json!(["\u{10ffff}", "\u{0}"])),
        ),
        ("a watch that ends", "watch=1&timeoutSeconds=1".into()),
    ];
    for (what, query) in &answered {
        let reply = lab.timed(what, "GET", &format!("{MAPS}?{query}"), "", b"");
        assert!(matches!(reply.status, 200 | 400), "{what}: {} {}", reply.status, cut(&reply.text));
    }
    // The one refusal that is Kubernetes' own with a code of the server's.
    lab.refused("a revision to come", "GET", &format!("{MAPS}?resourceVersion={}", i64::MAX), "", b"", 504);

    for (what, method, query) in [
        ("a dry run of some", "DELETE", "dryRun=Some"),
        ("an unknown propagation", "DELETE", "propagationPolicy=Sideways"),
        ("a contradiction", "DELETE", "propagationPolicy=Orphan&orphanDependents=true"),
        ("an unknown validation", "PATCH", "fieldValidation=Maybe"),
    ] {
        let body: &[u8] = if method == "PATCH" { b"{\"data\":{\"k\":\"w\"}}" } else { b"" };
        let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "" };
        lab.refused(what, method, &format!("{MAP}?{query}"), content_type, body, 400);
    }
    for query in ["limit=0", "limit=1000", "limit=-1", "continue=0", "continue=x", "since=never", "who=me", "name=%00"]
    {
        lab.refused(query, "GET", &format!("/audit?{query}"), "", b"", 400);
    }
    for query in ["actor=%ff", "actor=%27%20OR%201%3D1--", "name=%25", "since=99999999999h", "continue=1"] {
        let reply = lab.timed(query, "GET", &format!("/audit?{query}"), "", b"");
        assert!(matches!(reply.status, 200 | 400), "{query}: {}", cut(&reply.text));
    }
    // A watch for ever is one that the server ends when it likes.
    let head = lab.root().head("GET", &format!("{MAPS}?watch=1&timeoutSeconds={}", i64::MAX), "");
    let mut stream = TcpStream::connect(lab.root().address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut first = [0; 12];
    std::io::Read::read_exact(&mut stream, &mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
}

pub(super) fn paths_are_read_with_care(backend: Backend) {
    let lab = Lab::start(backend);
    for (path, status) in [
        ("/api/v1/namespaces/lab/configmaps/%ff", 404),
        ("/api/v1/namespaces/lab/configmaps/a%00", 404),
        ("/api/v1/namespaces/lab/configmaps/..%2fa", 404),
        ("/api/v1/namespaces/lab/configmaps/%2e%2e", 404),
        ("/api/v1/namespaces/lab/configmaps/%252e%252e%252fa", 404),
        ("/api/v1/namespaces/lab/configmaps/%", 404),
        ("/api/v1/namespaces/lab/configmaps/%zz", 404),
        ("/api/v1/namespaces/lab/configmaps/a/b/c/d", 404),
        ("/api/%ff", 400),
        ("/apis/%ff/v1", 400),
        ("/apis/%ff/v1/namespaces/lab/configmaps", 400),
        ("/openapi/v3/%ff", 400),
        ("/openapi/v3/../../audit", 404),
        ("/%2e%2e/%2e%2e/etc/passwd", 404),
        ("/..%c0%af..%c0%afetc/passwd", 404),
        ("/\\..\\..\\windows", 404),
    ] {
        let reply = lab.timed(path, "GET", path, "", b"");
        assert!(
            matches!(reply.status, 400 | 404),
            "{path}: {} instead of {status}: {}",
            reply.status,
            cut(&reply.text)
        );
        assert_precise(path, &reply);
    }
    for (what, path) in [
        ("a long name", format!("{MAPS}/{}", "a".repeat(40_000))),
        ("a long path", format!("{MAPS}{}", "/a".repeat(20_000))),
        ("many dots", format!("/api/v1{}", "/..".repeat(10_000))),
        ("a long group", format!("/apis/{}/v1/x", "g".repeat(40_000))),
    ] {
        lab.refused(what, "GET", &path, "", b"", 404);
    }
}

#[test]
fn heads_are_read_with_care() {
    let lab = Lab::start(Backend::Sqlite);
    let root = lab.root();
    let long = |bytes: usize| format!("X-Long: {}\r\n", "x".repeat(bytes));
    let many = |count: usize| (0..count).map(|n| format!("X-H{n}: v\r\n")).collect::<String>();
    // What the protocol's parser refuses gets no Status: there is no request yet.
    for (what, headers) in
        [("a header of 1 MiB", long(1 << 20)), ("10,000 headers", many(10_000)), ("a header of 65 KiB", long(65 << 10))]
    {
        let reply = raw(&lab, root.head("GET", MAP, &headers).as_bytes());
        assert!(reply.is_none_or(|reply| matches!(reply.status, 400 | 431)), "{what}");
    }
    for (what, path) in [("a path of 70 KB", "a".repeat(70_000)), ("a path of 1 MiB", "a".repeat(1 << 20))] {
        let reply = raw(&lab, root.head("GET", &format!("/{path}"), "").as_bytes());
        assert!(reply.is_none_or(|reply| matches!(reply.status, 400 | 414 | 431)), "{what}");
    }
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n"[..],
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET\0/ HTTP/1.1\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n",
        b"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, identity\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n\r\n",
    ] {
        let reply = raw(&lab, bytes);
        let shown = String::from_utf8_lossy(bytes);
        assert!(reply.is_none_or(|reply| (400..500).contains(&reply.status)), "{shown}");
    }
    // A body with two lengths ends the connection: what follows is nobody's request.
    let smuggled = "POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
                    0\r\n\r\nGET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    if let Some(reply) = raw(&lab, smuggled.as_bytes()) {
        assert!(
            (400..500).contains(&reply.status) && !reply.text.contains("HTTP/1.1 200"),
            "{} {}",
            reply.head,
            reply.text
        );
    }

    let refused: [(&str, &[u8], u16); 9] = [
        ("Authorization", b"Bearer \xff\xfe", 401),
        ("Authorization", b"Bearer ", 401),
        ("Authorization", b"Basic cm9vdDpyb290", 401),
        ("Accept", b"text/html", 406),
        ("Accept", b"application/json;as=Table;v=v9;g=none", 406),
        ("Accept", b"application/cbor", 406),
        ("Origin", b"https://evil.example", 403),
        ("Host", b"evil.example", 403),
        ("Impersonate-User", b"system:admin", 400),
    ];
    for (name, value, status) in refused {
        let head =
            [format!("GET {MAP} HTTP/1.1\r\nConnection: close\r\n").as_bytes(), name.as_bytes(), b": ", value, b"\r\n"]
                .concat();
        let more = match name {
            "Authorization" => "Host: localhost\r\n\r\n".to_owned(),
            "Host" => format!("Authorization: Bearer {}\r\n\r\n", root.token.as_ref().unwrap()),
            _ => format!("Host: localhost\r\nAuthorization: Bearer {}\r\n\r\n", root.token.as_ref().unwrap()),
        };
        let reply = raw(&lab, &[head.as_slice(), more.as_bytes()].concat()).unwrap();
        assert_eq!(reply.status, status, "{name}: {} {}", String::from_utf8_lossy(value), cut(&reply.text));
        assert_precise(name, &reply);
    }
    for (name, value) in [
        ("Accept", "*/*,".repeat(10_000)),
        ("Accept", format!("application/json;{}", "a=b;".repeat(10_000))),
        ("traceparent", "00-".repeat(10_000)),
        ("X-Trace-Id", "\u{ff}".repeat(1000)),
        ("X-Forwarded-For", "1.1.1.1, ".repeat(5_000)),
        ("Cookie", "a=b; ".repeat(10_000)),
        ("User-Agent", "mlflow-python-client/".repeat(2_000)),
        ("Range", "bytes=0-1,".repeat(5_000)),
        ("If-Match", "\"x\"".to_owned()),
        ("Expect", "200-ok".to_owned()),
    ] {
        let began = Instant::now();
        let reply =
            http::send(root.address, &root.head("GET", MAP, &format!("{name}: {value}\r\n")), b"").map(Reply::from);
        let reply = reply.unwrap_or_else(|| panic!("{name}: no answer"));
        assert!(reply.status < 500 && began.elapsed() < PATIENCE, "{name}: {} {}", reply.status, cut(&reply.text));
        assert_eq!(reply.header("x-trace-id").len(), 32, "{name}");
    }
}
