//! Passwords, tokens and secret data are where they belong and nowhere else: not in the log at its most talkative, not in
//! an error, not in the audit log, not in the database's bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcplane_testkit::Backend;
use mcplane_testkit::process::run;
use serde_json::{Value, json};

use crate::guarded::{Guarded, PASSWORD, USERS};

const WRONG: &str = "wrong-guess-4711-zebra";
const MISTYPED: &str = "typed-into-the-name-field-0815";
const WEAK: &str = "weak-77";
const EVES: &str = "the-password-of-eve-xylophone";
const CHANGED: &str = "another-password-of-eve-kazoo";
const BROKEN: &str = "inside-broken-json-ocarina";
const UNKNOWN: &str = "in-an-unknown-field-theremin";
const DATA: &str = "secret-data-of-a-pod-sousaphone";
const PATCHED: &str = "secret-data-by-patch-bandoneon";
const BAD_DATA: &str = "secret-data-that-is-refused-dulcimer";

#[test]
fn secrets_stay_secret() {
    let mut guarded = Guarded::start(Backend::Sqlite, &["--set", "log.level=trace", "--set", "log.format=json"]);
    let (root, nobody) = (guarded.root.clone(), guarded.nobody());
    let mut answers = Vec::new();
    let mut secrets: Vec<String> =
        [PASSWORD, WRONG, MISTYPED, WEAK, EVES, CHANGED, BROKEN, UNKNOWN].map(str::to_owned).to_vec();
    secrets.push(root.token.clone().unwrap());

    // Logins, good and bad, and users, made and refused.
    let login = |name: &str, password: &str| {
        nobody.send("POST", "/auth/login", &json!({"username": name, "password": password}))
    };
    answers.push(login("root", WRONG));
    answers.push(login(MISTYPED, "x"));
    answers.push(nobody.send_as(
        "POST",
        "/auth/login",
        "application/json",
        format!("{{\"password\": \"{BROKEN}").as_bytes(),
    ));
    answers.push(nobody.send("POST", "/auth/login", &json!({"username": "root", "password": [WRONG]})));
    let user = |password: Value| json!({"metadata": {"name": "eve"}, "spec": {"role": "viewer", "password": password}});
    for (body, query) in [
        (user(WEAK.into()), ""),
        (user(json!([UNKNOWN])), ""),
        (
            json!({"metadata": {"name": "eve"}, "spec": {"role": "viewer", "password": EVES, "pasword": UNKNOWN}}),
            "?fieldValidation=Strict",
        ),
        (json!({"metadata": {"name": "eve"}, "spec": {"role": {"a": UNKNOWN}, "password": EVES}}), ""),
        (user(EVES.into()), "?dryRun=All"),
        (user(EVES.into()), ""),
        (user(EVES.into()), ""),
    ] {
        answers.push(root.send("POST", &format!("{USERS}{query}"), &body));
    }
    let path = format!("{USERS}/eve");
    answers.push(root.send("PATCH", &path, &json!({"spec": {"password": CHANGED}})));
    answers.push(root.send("PATCH", &path, &json!({"spec": {"password": {"x": UNKNOWN}}})));
    let wrong_test = json!([{"op": "test", "path": "/spec/role", "value": UNKNOWN}]).to_string();
    answers.push(root.send_as("PATCH", &path, "application/json-patch+json", wrong_test.as_bytes()));
    answers.push(root.get(&path));
    answers.push(root.get(USERS));
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [401, 401, 400, 400, 422, 422, 400, 422, 201, 201, 409, 200, 422, 422, 200, 200]);

    // Tokens: of a login, of a service account, sent by strangers, reviewed.
    let eve = nobody.login("eve", CHANGED);
    secrets.push(eve.token.clone().unwrap());
    let robot = guarded.account("default", "robot");
    secrets.push(robot.token.clone().unwrap());
    for caller in [&eve, &robot, &nobody.with_token("sent-by-a-stranger-spinet")] {
        answers.push(caller.get("/api/v1/namespaces/kube-system/secrets"));
    }
    secrets.push("sent-by-a-stranger-spinet".to_owned());
    let review = json!({"spec": {"token": robot.token}});
    assert_eq!(root.create("/apis/authentication.k8s.io/v1/tokenreviews", &review)["status"]["authenticated"], true);
    // Where tokens do not belong: in the query, in a path.
    let token = eve.token.clone().unwrap();
    answers.push(nobody.get(&format!("/api/v1/namespaces?access_token={token}")));

    // The data of Secrets, readable by those who may, and otherwise only as the ciphertext that it is.
    let all = "/api/v1/namespaces/default/secrets";
    let one = format!("{all}/s");
    root.create(all, &json!({"metadata": {"name": "s"}, "stringData": {"k": DATA}}));
    root.send("PATCH", &one, &json!({"stringData": {"k": PATCHED}})).expect(200);
    answers.push(root.send("POST", all, &json!({"metadata": {"name": "t"}, "data": {"k": BAD_DATA}})));
    answers.push(root.send("POST", all, &json!({"metadata": {"name": "t"}, "stringData": {"k": [BAD_DATA]}})));
    assert_eq!(root.get(&one).expect(200)["data"]["k"], STANDARD.encode(PATCHED));

    // What people type at the command line.
    let url = guarded.server.url();
    let login = ["login", "--server", &url, "--username", "eve", "--password-stdin"];
    let good = run(guarded.server.cli().args(login), Some(CHANGED.as_bytes()));
    let bad = run(guarded.server.cli().args(login), Some(WRONG.as_bytes()));
    assert_eq!((good.code, bad.code == 0), (0, false), "{good} {bad}");
    let printed = [good.to_string(), bad.to_string()].concat();
    let kept = run(guarded.server.cli().args(["kubeconfig"]), None).ok();
    let written: Value = serde_norway::from_str(&kept).unwrap();
    secrets.push(written["users"][0]["user"]["token"].as_str().unwrap().to_owned());

    let audit = root.get("/audit?limit=999").text;
    assert!(audit.contains("\"verb\":\"login\"") && audit.contains("denied"), "{audit}");
    guarded.server.terminate();
    let log = guarded.server.log();
    assert!(log.contains("request answered") && log.contains("/auth/login"), "the log is talkative:\n{log}");
    let bytes = stored(&guarded.server.data_dir());
    assert!(!bytes.is_empty());

    for secret in [DATA, PATCHED, BAD_DATA] {
        secrets.push(secret.to_owned());
        secrets.push(STANDARD.encode(secret));
    }
    let mut found = Vec::new();
    for secret in &secrets {
        // A token's last part is what makes it one.
        let secret = secret.rsplit('.').next().unwrap();
        let answered = answers.iter().any(|answer| answer.text.contains(secret));
        for (place, there) in [
            ("an answer", answered),
            ("the log", log.contains(secret)),
            ("the audit log", audit.contains(secret)),
            ("the command line's output", printed.contains(secret)),
            ("the database", bytes.windows(secret.len()).any(|window| window == secret.as_bytes())),
        ] {
            if there {
                found.push(format!("{secret} in {place}"));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Every byte that the server keeps but its keys.
fn stored(directory: &std::path::Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_file() {
            bytes.extend(std::fs::read(entry).unwrap());
        } else if !entry.ends_with("keys") {
            bytes.extend(stored(&entry));
        }
    }
    bytes
}
