use super::start;
use mcplane_testkit::{Backend, on_each_backend};

on_each_backend!(typed_commands, files_and_names, refusals, dry_run);

/// Everything that `kubectl create KIND` can make of the served kinds; most of these send protobuf.
fn typed_commands(backend: Backend) {
    let (_server, k) = start(backend);
    let made = |args: &str, line: &str| assert_eq!(k.ok(args), format!("{line}\n"), "{args}");
    made("create namespace team", "namespace/team created");
    made("create configmap c --from-literal=a=1 --from-literal=b=x=y", "configmap/c created");
    made("create secret generic s --from-literal=password=hunter2", "secret/s created");
    made("create serviceaccount robot -n team", "serviceaccount/robot created");
    made("create quota q --hard=configmaps=2,requests.cpu=2 -n team", "resourcequota/q created");
    made(
        "create role reader --verb=get,list --resource=configmaps -n team",
        "role.rbac.authorization.k8s.io/reader created",
    );
    made(
        "create rolebinding read --role=reader --serviceaccount=team:robot -n team",
        "rolebinding.rbac.authorization.k8s.io/read created",
    );
    made(
        "create clusterrole all-reader --verb=get --resource=*",
        "clusterrole.rbac.authorization.k8s.io/all-reader created",
    );
    made(
        "create clusterrolebinding all-read --clusterrole=all-reader --user=ann --group=staff",
        "clusterrolebinding.rbac.authorization.k8s.io/all-read created",
    );

    let c = k.json("get configmap c");
    assert_eq!(c["data"], serde_json::json!({"a": "1", "b": "x=y"}));
    assert_eq!(c["metadata"]["namespace"], "default");
    for server_owned in ["uid", "resourceVersion", "creationTimestamp"] {
        assert!(c["metadata"][server_owned].as_str().is_some_and(|text| !text.is_empty()), "{c}");
    }
    assert_eq!(k.json("get secret s")["type"], "Opaque");
    assert_eq!(k.ok("get secret s -o go-template={{.data.password|base64decode}}"), "hunter2");
    let role = k.json("get role reader -n team");
    assert_eq!(
        role["rules"],
        serde_json::json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["configmaps"]}])
    );
    let binding = k.json("get clusterrolebinding all-read");
    assert_eq!(binding["roleRef"]["name"], "all-reader");
    assert_eq!(binding["subjects"][0]["kind"], "User");
    assert_eq!(binding["subjects"][1]["name"], "staff");
    assert_eq!(
        k.json("get quota q -n team")["spec"]["hard"],
        serde_json::json!({"configmaps": "2", "requests.cpu": "2"})
    );
    assert_eq!(k.json("get namespace team")["status"]["phase"], "Active");

    // A token is a signed JWT for that account.
    let token = k.ok("create token robot -n team --duration=1h");
    let claims = token.trim().split('.').nth(1).unwrap();
    use base64::Engine as _;
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["sub"], "system:serviceaccount:team:robot");
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
}

fn files_and_names(backend: Backend) {
    let (_server, k) = start(backend);
    std::fs::write(k.home().join("binary"), [0u8, 159, 146, 150]).unwrap();
    std::fs::write(k.home().join("text"), "grüße\n").unwrap();
    k.ok("create configmap files --from-file=binary --from-file=text");
    let files = k.json("get cm files");
    assert_eq!(files["binaryData"]["binary"], "AJ+Slg==");
    assert_eq!(files["data"]["text"], "grüße\n");

    let several = "apiVersion: v1\nkind: Namespace\nmetadata: {name: one}\n---\n\
                   apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: c-, namespace: one}\ndata: {k: v}\n---\n\
                   apiVersion: v1\nkind: List\nitems:\n\
                   - {apiVersion: v1, kind: ConfigMap, metadata: {name: listed, namespace: one}}\n";
    let created = k.feed("create -f -", several).ok();
    let lines: Vec<&str> = created.lines().collect();
    assert_eq!(lines[0], "namespace/one created");
    let generated = lines[1].strip_prefix("configmap/c-").and_then(|rest| rest.strip_suffix(" created")).unwrap();
    assert_eq!(generated.len(), 5, "{created}");
    assert_eq!(lines[2], "configmap/listed created");
    assert_eq!(k.ok("get cm -n one -o name").lines().count(), 2);
}

/// Errors say what Kubernetes says, for people who know it.
fn refusals(backend: Backend) {
    let (_server, k) = start(backend);
    k.ok("create configmap c");
    let err = |args: &str, text: &str| {
        let message = k.err(args);
        assert!(message.contains(text), "{args}: {message}");
    };
    err("create configmap c", "configmaps \"c\" already exists");
    err("create configmap c -n nowhere", "namespaces \"nowhere\" not found");
    err("create configmap Bad_Name", "metadata.name: Invalid value: \"Bad_Name\"");
    err("create namespace a.b", "metadata.name: Invalid value: \"a.b\"");
    err("get configmap none", "Error from server (NotFound): configmaps \"none\" not found");
    err("get nonsense", "the server doesn't have a resource type \"nonsense\"");
    err("create rolebinding r --role=x --user=u -n nowhere", "namespaces \"nowhere\" not found");

    let typo = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: typo}\ndta: {a: b}\n";
    let message = k.feed("create -f -", typo).err();
    assert!(message.contains("unknown field \"dta\""), "{message}");
    k.err("get cm typo");
    let warned = k.feed("create --validate=warn -f -", typo);
    assert!(warned.code == 0 && warned.stderr.contains("Warning: unknown field \"dta\""), "{warned}");
    assert_eq!(k.json("get cm typo").get("dta"), None);

    let twice = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"twice"},"data":{"a":"x","a":"y"}}"#;
    let path = "/api/v1/namespaces/default/configmaps?fieldValidation=Strict";
    let message = k.feed(["create", "--raw", path, "-f", "-"], twice).err();
    assert!(message.contains("duplicate field \"data.a\""), "{message}");

    // Quota on counts, end to end.
    k.ok("create namespace small");
    k.ok("create quota q --hard=count/configmaps=1 -n small");
    k.ok("create configmap first -n small");
    err(
        "create configmap second -n small",
        "exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=1, limited: count/configmaps=1",
    );
    k.ok("delete configmap first -n small");
    mcplane_testkit::eventually("the quota is free again", 10, || {
        (k.run("create configmap second -n small").code == 0).then_some(())
    });
}

fn dry_run(backend: Backend) {
    let (_server, k) = start(backend);
    assert_eq!(
        k.ok("create configmap c --from-literal=a=1 --dry-run=server"),
        "configmap/c created (server dry run)\n"
    );
    k.err("get configmap c");
    k.ok("create configmap c --from-literal=a=1");
    k.ok(["patch", "cm", "c", "-p", r#"{"data":{"a":"2"}}"#, "--dry-run=server"]);
    let gone = k.ok("delete cm c --dry-run=server");
    assert!(gone.starts_with("configmap \"c\" deleted") && gone.ends_with("(server dry run)\n"), "{gone}");
    assert_eq!(k.json("get cm c")["data"]["a"], "1");
    // What the client makes on its own is what the server takes.
    let yaml = k.ok("create secret generic s --from-literal=a=b --dry-run=client -o yaml");
    assert_eq!(k.feed("create -f -", &yaml).ok(), "secret/s created\n");
}
