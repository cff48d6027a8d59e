use super::{rows, start};
use mcplane_testkit::process::Background;
use mcplane_testkit::{Backend, Kubectl, on_each_backend};

on_each_backend!(discovery, output_forms, columns, selectors, pages, watching, describing, events);

fn discovery(backend: Backend) {
    let (_server, k) = start(backend);
    let table = k.ok("api-resources --no-headers");
    let find =
        |name: &str| rows(&table).into_iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("{name} in {table}"));
    for (name, short, version, namespaced, kind) in [
        ("namespaces", "ns", "v1", "false", "Namespace"),
        ("configmaps", "cm", "v1", "true", "ConfigMap"),
        ("serviceaccounts", "sa", "v1", "true", "ServiceAccount"),
        ("resourcequotas", "quota", "v1", "true", "ResourceQuota"),
        ("limitranges", "limits", "v1", "true", "LimitRange"),
        ("virtualservices", "vs", "networking.istio.io/v1", "true", "VirtualService"),
        ("destinationrules", "dr", "networking.istio.io/v1", "true", "DestinationRule"),
    ] {
        assert_eq!(find(name), [name, short, version, namespaced, kind]);
    }
    for (name, version, namespaced, kind) in [
        ("secrets", "v1", "true", "Secret"),
        ("leases", "coordination.k8s.io/v1", "true", "Lease"),
        ("roles", "rbac.authorization.k8s.io/v1", "true", "Role"),
        ("rolebindings", "rbac.authorization.k8s.io/v1", "true", "RoleBinding"),
        ("clusterroles", "rbac.authorization.k8s.io/v1", "false", "ClusterRole"),
        ("clusterrolebindings", "rbac.authorization.k8s.io/v1", "false", "ClusterRoleBinding"),
    ] {
        assert_eq!(find(name), [name, version, namespaced, kind]);
    }
    assert!(find("events").ends_with(&["true", "Event"]));
    let mut verbs = k.ok("api-resources --api-group=networking.istio.io -o wide --no-headers");
    verbs.truncate(verbs.find('\n').unwrap());
    for verb in ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"] {
        assert!(verbs.contains(verb), "{verbs}");
    }
    let versions = k.ok("api-versions");
    for version in ["v1", "networking.istio.io/v1", "networking.istio.io/v1beta1", "rbac.authorization.k8s.io/v1"] {
        assert!(versions.lines().any(|line| line == version), "{version} in {versions}");
    }
    let version: serde_json::Value = serde_json::from_str(&k.ok("version -o json")).unwrap();
    assert!(version["serverVersion"]["gitVersion"].as_str().unwrap().starts_with('v'));
}

fn output_forms(backend: Backend) {
    let (_server, k) = start(backend);
    k.ok("create configmap a --from-literal=x=1");
    k.ok("create configmap b --from-literal=x=2 --from-literal=y=3");
    k.ok("label configmap b tier=web");

    let table = k.ok("get configmaps");
    assert_eq!(rows(&table)[0], ["NAME", "DATA", "AGE"]);
    assert_eq!(rows(&table)[1][..2], ["a", "1"]);
    assert_eq!(rows(&table)[2][..2], ["b", "2"]);
    assert_eq!(rows(&k.ok("get cm --no-headers b"))[0][..2], ["b", "2"]);
    assert_eq!(rows(&k.ok("get cm -o wide"))[0], ["NAME", "DATA", "AGE"]);
    let labels = k.ok("get cm --show-labels -L tier");
    assert_eq!(rows(&labels)[0], ["NAME", "DATA", "AGE", "TIER", "LABELS"]);
    assert_eq!(rows(&labels)[2][3..], ["web", "tier=web"]);
    let everywhere = k.ok("get cm -A");
    assert_eq!(rows(&everywhere)[0], ["NAMESPACE", "NAME", "DATA", "AGE"]);

    assert_eq!(k.ok("get cm -o name"), "configmap/a\nconfigmap/b\n");
    assert_eq!(k.ok("get cm -o jsonpath={.items[*].data.x}"), "1 2");
    assert_eq!(k.ok("get cm b -o jsonpath={.data.y}"), "3");
    assert_eq!(k.ok("get cm -o go-template={{range.items}}{{.metadata.name}};{{end}}"), "a;b;");
    assert_eq!(
        rows(&k.ok("get cm -o custom-columns=N:.metadata.name,X:.data.x")),
        [["N", "X"], ["a", "1"], ["b", "2"]]
    );
    assert_eq!(k.ok("get cm --sort-by=.data.x -o name"), "configmap/a\nconfigmap/b\n");
    let list = k.json("get cm");
    assert_eq!((list["kind"].as_str(), list["items"].as_array().map(Vec::len)), (Some("List"), Some(2)));
    assert_eq!(list["items"][0]["kind"], "ConfigMap");
    let yaml: serde_json::Value = serde_norway::from_str(&k.ok("get cm b -o yaml")).unwrap();
    assert_eq!(yaml, k.json("get cm b"));
    k.ok("create secret generic s");
    assert_eq!(k.ok("get cm,secret -o name"), "configmap/a\nconfigmap/b\nsecret/s\n");
    assert_eq!(k.ok("get cm/a secret/s -o name"), "configmap/a\nsecret/s\n");
    assert_eq!(k.run("get quota").stderr, "No resources found in default namespace.\n");
    // The list itself, as the server sends it.
    let raw: serde_json::Value =
        serde_json::from_str(&k.ok("get --raw /api/v1/namespaces/default/configmaps")).unwrap();
    assert_eq!((raw["kind"].as_str(), raw["apiVersion"].as_str()), (Some("ConfigMapList"), Some("v1")));
}

/// The table of each kind has the columns that people know.
fn columns(backend: Backend) {
    let (_server, k) = start(backend);
    k.ok("create secret generic s --from-literal=a=b");
    k.ok("create serviceaccount robot");
    k.ok("create quota q --hard=configmaps=5,limits.cpu=4");
    k.ok("create role r --verb=get --resource=configmaps");
    k.ok("create rolebinding rb --role=r --user=ann --group=staff --serviceaccount=default:robot");
    k.ok("create clusterrole cr --verb=get --resource=configmaps");
    k.ok("create clusterrolebinding crb --clusterrole=cr --user=bob");
    k.feed(
        "create -f -",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: vs}\n\
         spec:\n  hosts: [reviews]\n  gateways: [mesh]\n  http: [{route: [{destination: {host: reviews}}]}]\n---\n\
         apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: dr}\nspec: {host: reviews}\n---\n\
         apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: l}\nspec: {holderIdentity: me}\n",
    )
    .ok();
    let check = |args: &str, header: &[&str], values: &[&str]| {
        let table = k.ok(args);
        let mut columns = rows(&table)[0].clone();
        columns.sort_unstable();
        let mut expected = header.to_vec();
        expected.sort_unstable();
        assert_eq!(columns, expected, "{args}");
        for value in values {
            assert!(table.contains(value), "{args}: {value} in {table}");
        }
    };
    check("get namespace default", &["NAME", "STATUS", "AGE"], &["Active"]);
    check("get secret s", &["NAME", "TYPE", "DATA", "AGE"], &["Opaque", " 1 "]);
    check("get serviceaccount robot", &["NAME", "SECRETS", "AGE"], &["robot"]);
    check("get quota q", &["NAME", "AGE", "REQUEST", "LIMIT"], &["configmaps: ", "/5", "limits.cpu: 0/4"]);
    check("get rolebinding rb", &["NAME", "ROLE", "AGE"], &["Role/r"]);
    check(
        "get rolebinding rb -o wide",
        &["NAME", "ROLE", "AGE", "USERS", "GROUPS", "SERVICEACCOUNTS"],
        &["ann", "staff", "default/robot"],
    );
    check("get clusterrolebinding crb", &["NAME", "ROLE", "AGE"], &["ClusterRole/cr"]);
    check("get vs vs", &["NAME", "GATEWAYS", "HOSTS", "AGE"], &["[\"mesh\"]", "[\"reviews\"]"]);
    check("get dr dr", &["NAME", "HOST", "AGE"], &["reviews"]);
    check("get lease l", &["NAME", "HOLDER", "AGE"], &["me"]);
    for kind in ["role r", "clusterrole cr"] {
        check(&format!("get {kind}"), &["NAME", "CREATED", "AT"], &["T", "Z"]);
    }
}

fn selectors(backend: Backend) {
    let (_server, k) = start(backend);
    for (name, labels) in [("a", "tier=web,env=prod"), ("b", "tier=web,env=dev"), ("c", "tier=db")] {
        k.ok(format!("create configmap {name}").as_str());
        k.ok(format!("label configmap {name} {}", labels.replace(',', " ")).as_str());
    }
    let select = |args: &[&str]| {
        let mut words = vec!["get", "cm", "-o", "jsonpath={.items[*].metadata.name}"];
        words.extend(args);
        mcplane_testkit::process::run(k.command("").args(words), None).ok()
    };
    assert_eq!(select(&["-l", "tier=web"]), "a b");
    assert_eq!(select(&["-l", "tier=web,env!=dev"]), "a");
    assert_eq!(select(&["-l", "tier in (db, cache)"]), "c");
    assert_eq!(select(&["-l", "tier notin (db)"]), "a b");
    assert_eq!(select(&["-l", "env"]), "a b");
    assert_eq!(select(&["-l", "!env"]), "c");
    assert_eq!(select(&["--field-selector", "metadata.name=b"]), "b");
    assert_eq!(select(&["--field-selector", "metadata.name!=b,metadata.namespace=default"]), "a c");
    let message = k.err("get cm -l a=(");
    assert!(message.contains("unable to parse requirement") || message.contains("BadRequest"), "{message}");
    let message = k.err("get cm --field-selector data.x=1");
    assert!(message.contains("field label not supported: data.x"), "{message}");
}

/// kubectl lists in chunks and shows one list.
fn pages(backend: Backend) {
    let (_server, k) = start(backend);
    let items: Vec<String> =
        (0..23).map(|n| format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c-{n:02}}}}}")).collect();
    k.feed("create -f -", &format!("apiVersion: v1\nkind: List\nitems: [{}]\n", items.join(", "))).ok();
    let names: Vec<String> = (0..23).map(|n| format!("configmap/c-{n:02}")).collect();
    assert_eq!(k.ok("get cm -o name --chunk-size=5").lines().collect::<Vec<_>>(), names);
    let page = k.ok(["get", "--raw", "/api/v1/namespaces/default/configmaps?limit=5"]);
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), 5);
    assert_eq!(page["metadata"]["remainingItemCount"], 18);
    assert!(!page["metadata"]["continue"].as_str().unwrap().is_empty());
}

fn watching(backend: Backend) {
    let (_server, k) = start(backend);
    k.ok("create configmap before");
    let table = k.spawn("get cm -w");
    let events = k.spawn("get cm --watch-only --output-watch-events");
    table.until("before");
    eventually_watched(&k, &events);
    k.ok("create configmap late --from-literal=a=1");
    table.until("late");
    events.until("ADDED      late");
    k.ok("label cm late x=y");
    events.until("MODIFIED   late");
    k.ok("delete cm late");
    events.until("DELETED    late");
    let shown = table.output();
    assert_eq!(rows(&shown)[0], ["NAME", "DATA", "AGE"]);
    assert!(rows(&shown).iter().filter(|row| row[0] == "late").count() >= 2, "{shown}");
    assert_eq!(shown.matches("NAME").count(), 1, "one header for the whole watch:\n{shown}");

    let one = k.spawn("get cm before -w -o jsonpath={.data.a};");
    // kubectl drops the first event of one object, which is its state when the watch begins.
    let mut n = 0;
    mcplane_testkit::eventually("the change is shown", 20, || {
        n += 1;
        k.ok(["patch", "cm", "before", "-p", &format!(r#"{{"data":{{"a":"changed{n}"}}}}"#)]);
        one.output().contains("changed").then_some(())
    });
}

/// A watch that has shown one event sees all that follow: until then it may not have begun.
fn eventually_watched(k: &Kubectl, events: &Background) {
    let mut n = 0;
    mcplane_testkit::eventually("the watch has begun", 20, || {
        n += 1;
        k.ok(format!("annotate cm before --overwrite n={n}").as_str());
        (!events.output().is_empty()).then_some(())
    });
}

fn describing(backend: Backend) {
    let (_server, k) = start(backend);
    k.ok("create namespace dev");
    k.ok("create quota q --hard=configmaps=3,requests.cpu=2 -n dev");
    k.ok("create configmap c --from-literal=colour=green -n dev");
    k.ok("create secret generic s --from-literal=password=hunter2 -n dev");
    k.ok("create serviceaccount robot -n dev");
    k.ok("create role r --verb=get,list --resource=configmaps -n dev");
    k.ok("create rolebinding rb --role=r --serviceaccount=dev:robot -n dev");
    k.feed(
        "create -n dev -f -",
        "apiVersion: v1\nkind: LimitRange\nmetadata: {name: lr}\nspec:\n  limits: [{type: Container, max: {cpu: 2}}]\n---\n\
         apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: vs}\n\
         spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews}}]}]}\n",
    )
    .ok();
    let describe = |what: &str, texts: &[&str]| {
        let text = k.ok(format!("describe {what} -n dev").as_str());
        for expected in texts {
            assert!(text.contains(expected), "describe {what}: no {expected:?} in:\n{text}");
        }
        text
    };
    describe(
        "namespace dev",
        &["Name:         dev", "Status:       Active", "Resource Quotas", "configmaps", "Resource Limits", "Container"],
    );
    describe("configmap c", &["Name:         c", "colour:\n----\ngreen"]);
    let secret = describe("secret s", &["Type:  Opaque", "password:  7 bytes"]);
    assert!(!secret.contains("hunter2") && !secret.contains("aHVudGVyMg"), "{secret}");
    let quota = describe("quota q", &["Name:         q", "Resource"]);
    let row =
        |name: &str| rows(&quota).into_iter().find(|row| row.first() == Some(&name)).map(|row| row[1..].join(" "));
    // A new namespace has the bundle of certificates only where a cluster publishes one: ours has no such map.
    assert_eq!(row("configmaps").as_deref(), Some("1 3"), "{quota}");
    assert_eq!(row("requests.cpu").as_deref(), Some("0 2"), "{quota}");
    describe("serviceaccount robot", &["Name:                robot"]);
    describe("role r", &["PolicyRule:", "configmaps", "[get list]"]);
    describe("rolebinding rb", &["Kind:  Role", "Name:  r", "ServiceAccount  robot  dev"]);
    describe("limitrange lr", &["Container", "cpu"]);
    describe("vs vs", &["API Version:  networking.istio.io/v1", "Kind:         VirtualService", "reviews"]);
}

fn events(backend: Backend) {
    let (_server, k) = start(backend);
    k.ok("create configmap c");
    let uid = k.json("get cm c")["metadata"]["uid"].as_str().unwrap().to_owned();
    let event = serde_json::json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "c.1", "namespace": "default"},
        "involvedObject": {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "namespace": "default", "uid": uid},
        "reason": "Loaded", "message": "read by the trainer", "type": "Normal", "count": 2,
        "source": {"component": "test"},
        "firstTimestamp": "2026-01-02T03:04:05Z", "lastTimestamp": "2026-01-02T03:04:06Z",
    });
    k.feed("create -f -", &event.to_string()).ok();
    let table = k.ok("get events");
    assert_eq!(rows(&table)[0].join(" "), "LAST SEEN TYPE REASON OBJECT MESSAGE");
    assert_eq!(rows(&table)[1][1..].join(" "), "Normal Loaded configmap/c read by the trainer");
    assert!(k.ok("events --for configmap/c").contains("read by the trainer"));
    assert!(k.ok("events --types=Warning").is_empty());
    assert_eq!(k.ok("get events --field-selector involvedObject.name=other,reason=Loaded -o name"), "");
    assert_eq!(k.ok("get events --field-selector involvedObject.uid!=x,type=Normal -o name"), "event/c.1\n");
    let described = k.ok("describe configmap c");
    assert!(described.contains("Loaded") && described.contains("read by the trainer"), "{described}");
}
