use super::{start, start_with_logins};
use mcplane_testkit::{Backend, Kubectl, eventually, on_each_backend};

on_each_backend!(an_administrator_may_do_all, accounts_may_do_what_roles_say, strangers_are_turned_away);

fn an_administrator_may_do_all(backend: Backend) {
    let (_server, k) = start(backend);
    assert_eq!(k.ok("auth can-i delete secrets -A"), "yes\n");
    assert_eq!(k.ok("auth can-i * *"), "yes\n");
    let rules = k.ok("auth can-i --list");
    assert!(rules.contains("*.*"), "{rules}");
}

/// The administrator's kubeconfig with another token.
fn with_token(k: &Kubectl, token: &str) -> Kubectl {
    let other = Kubectl::with_kubeconfig(&std::fs::read_to_string(k.home().join("config")).unwrap());
    other.ok(["config", "set-credentials", "other", &format!("--token={token}")]);
    other.ok("config set-context --current --user=other");
    other
}

fn accounts_may_do_what_roles_say(backend: Backend) {
    let (_server, k) = start_with_logins(backend);
    k.ok("create namespace team");
    k.ok("create serviceaccount robot -n team");
    k.ok("create configmap c --from-literal=a=1 -n team");
    k.ok("create configmap elsewhere");
    let token = k.ok("create token robot -n team");
    let robot = with_token(&k, token.trim());

    let refused = |args: &str, text: &str| {
        let message = robot.err(args);
        assert!(message.contains("(Forbidden)") && message.contains(text), "{args}: {message}");
    };
    refused(
        "get cm -n team",
        "configmaps is forbidden: User \"system:serviceaccount:team:robot\" cannot list resource \"configmaps\" in API \
         group \"\" in the namespace \"team\"",
    );
    assert_eq!(robot.run("auth can-i list cm -n team").stdout, "no\n");

    k.ok("create role reader --verb=get,list,watch --resource=configmaps -n team");
    k.ok("create rolebinding read --role=reader --serviceaccount=team:robot -n team");
    eventually("the binding is in force", 10, || (robot.run("get cm c -n team").code == 0).then_some(()));
    assert_eq!(robot.ok("get cm -n team -o name"), "configmap/c\n");
    assert_eq!(robot.ok("auth can-i list cm -n team"), "yes\n");
    let rules = robot.ok("auth can-i --list -n team");
    assert!(rules.lines().any(|line| line.starts_with("configmaps ") && line.contains("[get list watch]")), "{rules}");
    let name = "configmaps \"c\" is forbidden: User \"system:serviceaccount:team:robot\" cannot";
    refused("delete cm c -n team", &format!("{name} delete resource \"configmaps\" in API group \"\""));
    refused("label cm c a=b -n team", &format!("{name} patch resource"));
    refused("get secrets -n team", "cannot list resource \"secrets\"");
    refused("get cm elsewhere", "in the namespace \"default\"");
    refused("get cm -A", "at the cluster scope");
    refused("get namespaces", "cannot list resource \"namespaces\" in API group \"\" at the cluster scope");

    // Who may write roles may not give more than he has.
    k.ok("create role maker --verb=create --resource=roles,rolebindings -n team");
    k.ok("create rolebinding make --role=maker --serviceaccount=team:robot -n team");
    let more = "create role more --verb=get --resource=secrets -n team";
    eventually("the binding is in force", 10, || robot.run(more).stderr.contains("attempting to grant").then_some(()));
    let message = robot.err(more);
    assert!(message.contains("is attempting to grant RBAC permissions not currently held"), "{message}");
    robot.ok("create role same --verb=get --resource=configmaps -n team");
    let bind = "create rolebinding b --clusterrole=cluster-admin --serviceaccount=team:robot -n team";
    assert!(robot.err(bind).contains("forbidden"));

    // The token is for this account: one of the same name is another.
    k.ok("delete serviceaccount robot -n team");
    k.ok("create serviceaccount robot -n team");
    eventually("the token is dead", 10, || {
        robot.run("get cm -n team").stderr.contains("must be logged in").then_some(())
    });
    let again = with_token(&k, k.ok("create token robot -n team").trim());
    assert_eq!(again.ok("get cm c -n team -o name"), "configmap/c\n");
}

fn strangers_are_turned_away(backend: Backend) {
    let (server, k) = start_with_logins(backend);
    let own = std::fs::read_to_string(k.home().join("config")).unwrap();
    let own: serde_json::Value = serde_norway::from_str(&own).unwrap();
    let token = own["users"][0]["user"]["token"].as_str().unwrap();
    assert_eq!(with_token(&k, token).ok("get namespace default -o name"), "namespace/default\n");

    let mut forged: Vec<String> = token.split('.').map(str::to_owned).collect();
    forged[2] = forged[2].chars().rev().collect();
    for bad in ["nonsense", &forged.join("."), &format!("{}.{}.", forged[0], forged[1])] {
        let message = with_token(&k, bad).err("get namespaces");
        assert!(message.contains("You must be logged in to the server"), "{bad}: {message}");
    }
    // Nothing without a token either, over TLS or not.
    let plain = Kubectl::http(&server.url());
    for path in ["/api/v1/namespaces", "/api/v1/namespaces/default/secrets", "/metrics"] {
        let message = plain.err(["get", "--raw", path]);
        assert!(message.contains("You must be logged in to the server"), "{path}: {message}");
    }
    // A client that does not know the authority does not talk to the server.
    let url = server.url().replace("http:", "https:");
    let message = Kubectl::http(&url).err("get namespaces --token=any");
    assert!(message.contains("certificate signed by unknown authority"), "{message}");
}
