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
    bench.file("a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n");
    kubectl.ok(["apply", "-n", "dev", "-f", file.as_str()]);
    assert_eq!(apply(), "configmap/a unchanged\n");
    assert_eq!(kubectl.json("get cm a -n dev")["data"], serde_json::json!({"z": "3"}));
}

#[test]
fn apply_goes_on_after_a_failure_and_names_it() {
    let bench = Bench::start();
    let stream = [
        "apiVersion: v1\nkind: Pear\nmetadata: {name: p}\n".to_owned(),
        MAP.replace("NAME", "Not_A_Name"),
        MAP.replace("NAME", "a").replace("data:", "dta:"),
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
    assert_eq!(missing.code, 2, "a directory and a URL exclude each other: {missing}");
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
