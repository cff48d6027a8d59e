//! What must never be more than an error in words.

use mcplane_testkit::Backend;
use mcplane_testkit::http::send;
use serde_json::Value;

use super::rig::{Rig, post};

#[test]
fn hostile_requests_are_the_callers_mistakes() {
    let rig = Rig::start(Backend::Sqlite, &["--set", "serving.max-body=200KiB"]);
    rig.register("forest", "v1.0.0", "forest_regressor");
    rig.apply("forest", "models:/forest/1");
    rig.ready("forest");
    let infer = "/v2/models/forest/infer";
    let input = |kind: &str, shape: &str, data: &str| {
        format!(r#"{{"inputs":[{{"name":"X","datatype":"{kind}","shape":{shape},"data":{data}}}]}}"#)
    };
    let deep = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
    let cases: Vec<(&str, &str, String)> = vec![
        (infer, "", input("FP32", "[1000000,1000000]", "[1]")),
        (infer, "", input("FP32", "[18446744073709551615,6]", "[1]")),
        (infer, "", input("FP32", "[-1,6]", "[1,2,3,4,5,6]")),
        (infer, "", input("FP32", "[1,6]", "[1,2,3,4,5,NaN]")),
        (infer, "", input("FP32", "[1,6]", "[1,2,3,4,5,1e400]")),
        (infer, "", input("UINT8", "[1,6]", "[1,2,3,4,5,300]")),
        (infer, "", input("BYTES", "[1,6]", r#"["a","b","c","d","e","f"]"#)),
        (infer, "", input("FP32", "[1,6]", &deep)),
        (infer, "", "{".to_owned()),
        (infer, "", String::new()),
        (infer, "", "\u{0}\u{1}".repeat(1000)),
        (infer, "", " ".repeat(300_000)),
        (infer, "Inference-Header-Content-Length: 99999999999\r\n", input("FP32", "[1,6]", "[1,2,3,4,5,6]")),
        (infer, "Content-Encoding: gzip\r\n", "no gzip".to_owned()),
        (infer, "Origin: https://evil.example\r\n", input("FP32", "[1,6]", "[1,2,3,4,5,6]")),
        ("/v2/models/nobody/infer", "", "{}".to_owned()),
        ("/v2/models/forest/versions/99999999999999999999/infer", "", "{}".to_owned()),
        ("/v2/models/%ff%00/infer", "", "{}".to_owned()),
        ("/serving/default/nobody/v2", "", "{}".to_owned()),
        ("/serving/../../v2", "", "{}".to_owned()),
        ("/elsewhere", "", "{}".to_owned()),
        ("/v2/repository/index", "", "[".to_owned()),
    ];
    let address = rig.server.data_plane();
    for (path, more, body) in &cases {
        let start: String = body.chars().take(60).collect();
        let answer = post(address, "127.0.0.1", path, more, body.as_bytes());
        let answer = answer.unwrap_or_else(|| panic!("no answer: {path} {more}{start}"));
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        assert!((400..500).contains(&answer.status), "{path} {more}{start}: {} {said}", answer.status);
        assert!(said["error"].as_str().is_some_and(|error| !error.is_empty()), "{path} {more}{start}: {said}");
    }
    // Hosts are whatever somebody sends.
    for host in ["", "a b", "%", "[::", &"x".repeat(5000), "forest.default, evil", "\u{e9}"] {
        let head = format!("GET /v2/models/forest HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        if let Some(answer) = send(address, &head, b"") {
            assert!(answer.status < 500, "{host}: {}", answer.status);
        }
    }
    let metadata = send(address, "GET /v2/models/forest HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"");
    assert_eq!(metadata.expect("an answer").status, 200, "it goes on");
}
