//! The commands that talk to a server, against the real one.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use mcplane_testkit::process::{Output, run};
use mcplane_testkit::{Backend, Kubectl, Server};

/// A server with one namespace, and `mcplane` pointed at it.
struct Bench {
    server: Server,
}

const MAP: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME, labels: {team: vision}}\ndata: {x: \"1\", y: \"2\"}\n";

impl Bench {
    fn start() -> Self {
        let bench = Self { server: Server::start(env!("CARGO_BIN_EXE_mcplane"), Backend::Sqlite) };
        let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: dev}\n";
        assert_eq!(bench.feed(&["apply", "-f", "-"], namespace).ok(), "namespace/dev created\n");
        bench
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.server.cli();
        command.env("MCPLANE_URL", self.server.url()).env("COLUMNS", "100").args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        run(&mut self.command(args), None)
    }

    fn feed(&self, args: &[&str], stdin: &str) -> Output {
        run(&mut self.command(args), Some(stdin.as_bytes()))
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.server.scratch().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

#[test]
fn apply_creates_changes_removes_and_leaves_alone() {
    let bench = Bench::start();
    let file = bench.file("a.yaml", &MAP.replace("NAME", "a"));
    let apply = || bench.run(&["apply", "-n", "dev", "-f", &file]).ok();
    assert_eq!(apply(), "configmap/a created\n");
    assert_eq!(apply(), "configmap/a unchanged\n");

    // Somebody else adds a field, the file loses one and changes one.
    let kubectl = Kubectl::http(&bench.server.url());
    kubectl.ok(["patch", "cm", "a", "-n", "dev", "--type=merge", "-p", r#"{"data":{"z":"3"}}"#]);
    bench.file("a.yaml", &MAP.replace("NAME", "a").replace("\"1\", y: \"2\"", "\"7\""));
    assert_eq!(apply(), "configmap/a configured\n");
    let data = &kubectl.json("get cm a -n dev")["data"];
    assert_eq!(*data, serde_json::json!({"x": "7", "z": "3"}));

    // kubectl reads the same notes.
    assert_eq!(kubectl.ok(["apply", "-n", "dev", "-f", file.as_str()]), "configmap/a unchanged\n");
    bench.file("a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {w: \"<9>\"}\n");
    kubectl.ok(["apply", "-n", "dev", "-f", file.as_str()]);
    assert_eq!(apply(), "configmap/a unchanged\n");
    let map = kubectl.json("get cm a -n dev");
    assert_eq!(
        (&map["data"], &map["metadata"]["labels"]),
        (&serde_json::json!({"w": "<9>", "z": "3"}), &serde_json::Value::Null)
    );
}

#[test]
fn apply_goes_on_after_a_failure_and_names_it() {
    let bench = Bench::start();
    let stream = [
        "apiVersion: v1\nkind: Pear\nmetadata: {name: p}\n".to_owned(),
        MAP.replace("NAME", "Not_A_Name"),
        MAP.replace("NAME", "a").replace("\ndata:", "\ndta:"),
        MAP.replace("NAME", "b"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: other}\n".to_owned(),
    ]
    .join("---\n");
    let output = bench.feed(&["apply", "-n", "dev", "-f", "-"], &stream);
    assert_eq!((output.code, output.stdout.as_str()), (1, "configmap/b created\n"), "{output}");
    for words in [
        "error: standard input: the server has no kind \"Pear\" in version \"v1\"",
        "standard input, line 4: ConfigMap \"Not_A_Name\" is invalid: metadata.name",
        "unknown field \"dta\"",
        "the object belongs to namespace \"other\", not \"dev\"",
    ] {
        assert!(output.stderr.contains(words), "{words}\n{output}");
    }
    let trial = bench.feed(&["apply", "-n", "dev", "--dry-run", "-f", "-"], &MAP.replace("NAME", "d"));
    assert_eq!(trial.ok(), "configmap/d created (dry run)\n");
    assert!(bench.run(&["get", "cm", "d", "-n", "dev"]).err().contains("configmaps \"d\" not found"));
    assert_eq!(bench.feed(&["apply", "-f", "-"], "a: [").code, 2);
    assert_eq!(bench.feed(&["apply", "-f", "-"], "").code, 2);
}

#[test]
fn get_shows_objects_in_every_form() {
    let bench = Bench::start();
    for name in ["a", "b"] {
        bench.feed(&["apply", "-n", "dev", "-f", "-"], &MAP.replace("NAME", name)).ok();
    }
    let get = |words: &str| bench.run(&[&["get"], words.split(' ').collect::<Vec<_>>().as_slice()].concat()).ok();
    let table = get("configmaps -n dev");
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "DATA", "AGE"]);
    assert_eq!((lines[1][..2].to_vec(), lines[2][0]), (vec!["a", "2"], "b"));
    assert_eq!(get("cm -n dev -o name"), "configmap/a\nconfigmap/b\n");
    assert_eq!(get("cm -A -l team=vision -o name"), "configmap/a\nconfigmap/b\n");
    assert_eq!(get("cm/a -n dev -o name"), "configmap/a\n");
    assert!(get("cm -A").starts_with("NAMESPACE   NAME"), "{}", get("cm -A"));
    let one: serde_json::Value = serde_json::from_str(&get("cm a -n dev -o json")).unwrap();
    assert_eq!((&one["kind"], &one["data"]["x"]), (&"ConfigMap".into(), &"1".into()));
    let list: serde_json::Value = serde_json::from_str(&get("cm -n dev -o json")).unwrap();
    assert_eq!((&list["kind"], &list["items"][1]["kind"]), (&"List".into(), &"ConfigMap".into()));
    // What is shown can be applied again.
    let again = bench.feed(&["apply", "-f", "-"], &get("cm -n dev -o yaml")).ok();
    assert_eq!(again.lines().count(), 2, "{again}");

    let none = bench.run(&["get", "leases", "-n", "dev"]);
    assert_eq!((none.code, none.stdout.as_str(), none.stderr.as_str()), (0, "", "no leases found in namespace dev\n"));
    let unknown = bench.run(&["get", "confgmaps"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("did you mean \"configmaps\"?"), "{unknown}");
}

#[test]
fn get_watches() {
    let bench = Bench::start();
    let mut child = bench.command(&["get", "cm", "-n", "dev", "-w"]).stdout(Stdio::piped()).spawn().unwrap();
    let (sender, lines) = mpsc::channel();
    let reader = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || reader.lines().map_while(Result::ok).for_each(|line| sender.send(line).unwrap_or(())));
    let next = || lines.recv_timeout(Duration::from_secs(20)).expect("a line");
    // The watch starts at what the list showed, so nothing is missed however late it starts.
    bench.feed(&["apply", "-n", "dev", "-f", "-"], &MAP.replace("NAME", "seen")).ok();
    let mut first = next();
    if first.starts_with("NAME") {
        first = next();
    }
    assert!(first.starts_with("seen"), "{first}");
    bench.run(&["delete", "cm", "seen", "-n", "dev"]).ok();
    assert!(next().starts_with("seen"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn delete_by_name_file_and_label() {
    let bench = Bench::start();
    let put = |name: &str| bench.feed(&["apply", "-n", "dev", "-f", "-"], &MAP.replace("NAME", name)).ok();
    put("a");
    assert_eq!(bench.run(&["delete", "cm", "a", "-n", "dev"]).ok(), "configmap/a deleted\n");
    let gone = bench.run(&["delete", "cm", "a", "-n", "dev"]);
    assert!(gone.code == 1 && gone.stderr.contains("configmaps \"a\" not found"), "{gone}");
    assert_eq!(bench.run(&["delete", "cm", "a", "-n", "dev", "--ignore-not-found"]).ok(), "");
    put("b");
    put("c");
    assert_eq!(
        bench.run(&["delete", "cm", "-l", "team=vision", "-n", "dev"]).ok(),
        "configmap/b deleted\nconfigmap/c deleted\n"
    );
    put("d");
    let file = bench.file("d.yaml", &MAP.replace("NAME", "d"));
    assert_eq!(bench.run(&["delete", "-n", "dev", "-f", &file]).ok(), "configmap/d deleted\n");
    assert_eq!(bench.run(&["delete", "cm", "-n", "dev"]).code, 2, "of what?");

    // An object that is held is waited for, with a limit.
    let held = MAP.replace("NAME", "held").replace("name: held", "name: held, finalizers: [example.com/hold]");
    bench.feed(&["apply", "-n", "dev", "-f", "-"], &held).ok();
    let waited = bench.run(&["delete", "cm", "held", "-n", "dev", "--timeout=300ms"]);
    assert!(
        waited.stderr.contains("still there after 300ms") && waited.stderr.contains("example.com/hold"),
        "{waited}"
    );
    assert_eq!(bench.run(&["delete", "cm", "held", "-n", "dev", "--wait=false"]).code, 0);
    // A namespace is gone when delete returns, with all that is in it.
    let kubectl = Kubectl::http(&bench.server.url());
    kubectl.ok(["patch", "cm", "held", "-n", "dev", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]);
    assert_eq!(bench.run(&["delete", "namespace", "dev"]).ok(), "namespace/dev deleted\n");
    assert!(bench.run(&["get", "ns", "dev"]).err().contains("not found"));
}

#[test]
fn the_kubeconfig_works_with_kubectl() {
    let bench = Bench::start();
    let data = bench.server.data_dir().display().to_string();
    let by_directory = bench.server.cli().args(["kubeconfig", "--data-dir", &data]).output().unwrap();
    for text in [bench.run(&["kubeconfig"]).ok(), String::from_utf8(by_directory.stdout).unwrap()] {
        assert!(text.contains("current-context: mcplane"), "{text}");
        assert!(Kubectl::with_kubeconfig(&text).ok("get ns dev -o name").contains("namespace/dev"));
    }
    let fingerprint = bench.run(&["kubeconfig", "--fingerprint"]).ok();
    let openssl = run(
        Command::new("openssl")
            .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
            .arg(format!("{data}/pki/ca.crt")),
        None,
    )
    .ok();
    let expected = openssl.trim().rsplit('=').next().unwrap().replace(':', "").to_lowercase();
    assert_eq!(fingerprint.trim(), format!("sha256:{expected}"));
    let missing = bench.run(&["kubeconfig", "--data-dir", "/nowhere"]);
    assert!(missing.code == 3 && missing.stderr.contains("no server runs on /nowhere"), "{missing}");
}

#[test]
fn servers_that_are_away_or_not_trusted_are_explained() {
    let bench = Bench::start();
    let away = run(bench.server.cli().args(["get", "ns", "--server", "http://127.0.0.1:1"]), None);
    assert_eq!(away.code, 3);
    assert_eq!(
        away.stderr,
        "error: can't reach http://127.0.0.1:1: Connection refused (os error 111)\n\
         hint: `mcplane server` starts one on this machine; --server or MCPLANE_URL names another\n"
    );
    let https = bench.server.url().replace("http:", "https:");
    let untrusted = run(bench.server.cli().args(["get", "ns", "--server", &https]), None);
    assert!(untrusted.code == 3 && untrusted.stderr.contains("hint: `mcplane login --server https://"), "{untrusted}");
    let authority = bench.server.data_dir().join("pki/ca.crt");
    let mut trusted = bench.server.cli();
    trusted.args(["get", "ns", "-o", "name", "--server", &https, "--certificate-authority"]).arg(authority);
    assert!(run(&mut trusted, None).ok().contains("namespace/dev\n"));
    let clear = run(bench.server.cli().args(["login", "--server", "http://example.com", "--username", "a"]), None);
    assert!(clear.code == 2 && clear.stderr.contains("in the clear"), "{clear}");
}

#[test]
fn users_log_in_and_are_audited() {
    let mut server = Server::stopped(env!("CARGO_BIN_EXE_mcplane"), Backend::Sqlite, &["--set", "auth.mode=required"]);
    let data = server.data_dir().display().to_string();
    let refused = run(server.cli().args(["server", "--set", "auth.mode=required", "--data-dir", &data]), None);
    assert!(refused.code == 1 && refused.stderr.contains("mcplane user create admin --role admin"), "{refused}");

    let create = ["user", "create", "ann", "--role", "admin", "--password-stdin", "--data-dir", &data];
    assert_eq!(run(server.cli().args(create), Some(b"a long enough password\n")).ok(), "user ann created\n");
    server.restart();
    let url = server.url().replace("http:", "https:");
    let mcplane = |args: &[&str], stdin: Option<&[u8]>| run(server.cli().args(args), stdin);

    let untrusted = mcplane(&["login", "--server", &url, "--username", "ann", "--password-stdin"], Some(b"x"));
    let fingerprint = mcplane(&["kubeconfig", "--data-dir", &data, "--fingerprint"], None).ok().trim().to_owned();
    assert!(
        untrusted.code == 1 && untrusted.stderr.contains(&format!("--ca-fingerprint {fingerprint}")),
        "{untrusted}"
    );
    let wrong_authority = format!("sha256:{}", "0".repeat(64));
    let login = |fingerprint: &str, password: &[u8]| {
        let args =
            ["login", "--server", &url, "--username", "ann", "--password-stdin", "--ca-fingerprint", fingerprint];
        run(server.cli().args(args), Some(password))
    };
    assert!(login(&wrong_authority, b"x").stderr.contains("another fingerprint"));
    let wrong = login(&fingerprint, b"not the password");
    assert!(wrong.code == 4 && wrong.stderr.contains("does not know this user with this password"), "{wrong}");
    assert_eq!(mcplane(&["get", "ns", "--server", &url], None).code, 3, "a failed login is not remembered");

    assert_eq!(login(&fingerprint, b"a long enough password").ok(), format!("logged in to {url} as ann\n"));
    let logins = server.scratch().join(".config/mcplane/config");
    let mode = std::os::unix::fs::PermissionsExt::mode(&logins.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(mcplane(&["get", "ns", "-o", "name"], None).ok().contains("namespace/default"), "the login is the default");
    assert!(Kubectl::with_kubeconfig(&mcplane(&["kubeconfig"], None).ok()).ok("get ns default").contains("Active"));

    let bob = ["user", "create", "bob", "--role", "viewer", "--password-stdin"];
    assert_eq!(mcplane(&bob, Some(b"another long password")).ok(), "user bob created\n");
    assert!(mcplane(&bob, Some(b"another long password")).stderr.contains("already exists"));
    let list = mcplane(&["user", "list"], None).ok();
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
    assert_eq!(rows, [["NAME", "ROLE", "DISABLED"], ["ann", "admin", "false"], ["bob", "viewer", "false"]]);
    assert_eq!(mcplane(&["user", "passwd", "bob", "--password-stdin"], Some(b"a new long password")).code, 0);
    assert_eq!(mcplane(&["user", "delete", "bob"], None).ok(), "user bob deleted\n");

    let audit = mcplane(&["audit", "--actor", "ann", "--resource", "users.mcplane.io", "--since", "1h"], None).ok();
    let verbs: Vec<&str> = audit.lines().skip(1).filter_map(|line| line.split_whitespace().nth(2)).collect();
    for verb in ["create", "patch", "delete"] {
        assert!(verbs.contains(&verb), "{verb}\n{audit}");
    }
    let entries = mcplane(&["audit", "--verb", "delete", "-o", "json"], None).ok();
    let entry: serde_json::Value = serde_json::from_str(entries.lines().next().unwrap()).unwrap();
    assert_eq!((&entry["actor"], &entry["name"]), (&"ann".into(), &"bob".into()), "{entries}");
    let whole = mcplane(&["audit", "--verify"], None).ok();
    assert!(whole.starts_with("the audit log is whole: ") && whole.ends_with(" entries\n"), "{whole}");
    assert!(!audit.contains("password") && !server.log().contains("long enough"), "no secret is written down");

    // Without the login the server asks for one.
    std::fs::remove_file(&logins).unwrap();
    let asked = mcplane(&["get", "ns", "--server", &server.url()], None);
    assert!(asked.code == 4 && asked.stderr.contains("hint: `mcplane login --server"), "{asked}");
}

#[test]
fn gc_purges_what_is_deleted() {
    let bench = Bench::start();
    let url = bench.server.url();
    let caller = crate::guarded::Caller::nobody(&bench.server);
    let post = |path: &str, body: serde_json::Value| {
        caller.send("POST", &format!("/api/2.0/mlflow/{path}"), &body).expect(200)
    };
    let run = || {
        let made = post("runs/create", serde_json::json!({"experiment_id": "0", "start_time": 1}));
        made["run"]["info"]["run_id"].as_str().unwrap().to_owned()
    };
    let (first, second) = (run(), run());
    assert_eq!(bench.run(&["gc"]).ok(), "", "{url} holds nothing that is deleted");
    let living = bench.run(&["gc", "--run-ids", &first]);
    assert!(living.code == 1 && living.stderr.contains("is not deleted"), "{living}");
    for id in [&first, &second] {
        post("runs/delete", serde_json::json!({"run_id": id}));
    }
    assert_eq!(bench.run(&["gc", "--older-than", "1d"]).ok(), "");
    let planned = bench.run(&["gc", "-A", "--dry-run"]).ok();
    assert_eq!(planned, format!("default/run/{first} would be purged\ndefault/run/{second} would be purged\n"));
    assert_eq!(bench.run(&["gc", "--run-ids", &second]).ok(), format!("run/{second} purged\n"));
    assert_eq!(bench.run(&["gc", "-A"]).ok(), format!("default/run/{first} purged\n"));
    let unknown = bench.run(&["gc", "-n", "nowhere"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("namespaces \"nowhere\" not found"), "{unknown}");
}
