//! What callers may do: nothing by default, nothing elsewhere, and nothing more than was given to them.

use serde_json::{Value, json};

use crate::world::{PASSWORD, RBAC, USERS, World, on_both_databases, user};

on_both_databases!(
    nothing_is_allowed_by_default,
    a_namespace_is_no_way_into_another,
    nobody_grants_what_they_lack,
    viewers_never_read_secrets,
    bindings_obey_kubernetes_rules,
    users_are_no_way_up,
    the_audit_log_is_for_those_who_may,
);

const AUDIT: &str = "/audit";

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}

fn object(kind: &str, name: &str, more: Value) -> Value {
    let mut object = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}});
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object
}

fn binding(name: &str, role_kind: &str, role: &str, user: &str) -> Value {
    object(
        "RoleBinding",
        name,
        json!({"roleRef": {"kind": role_kind, "name": role}, "subjects": [{"kind": "User", "name": user}]}),
    )
}

async fn nothing_is_allowed_by_default(world: World) {
    let stranger = world.token_of("eve", "stranger").await;
    for path in
        ["/api/v1/configmaps", "/api/v1/namespaces", "/api/v1/namespaces/default/secrets/x", RBAC_ROLES, USERS, AUDIT]
    {
        let refused = world.call(Some(&stranger), "GET", path, Value::Null).await;
        assert_eq!((refused.code, &refused.json["reason"]), (403, &json!("Forbidden")), "{path}");
        let nobody = world.call(None, "GET", path, Value::Null).await;
        assert_eq!((nobody.code, &nobody.json["reason"]), (401, &json!("Unauthorized")), "{path}");
    }
    let create = world.call(Some(&stranger), "POST", "/api/v1/namespaces/default/configmaps", config_map("a")).await;
    assert_eq!(create.code, 403);
    let denied = world.audit("actor=eve&verb=create&resource=configmaps").await;
    assert_eq!((denied.len(), &denied[0]["outcome"]), (1, &json!("denied")));
}

const RBAC_ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";

async fn a_namespace_is_no_way_into_another(world: World) {
    world.namespace("mine").await;
    world.namespace("theirs").await;
    let ann = world.token_of("ann", "stranger").await;
    let to_edit = binding("ann", "ClusterRole", "edit", "ann");
    world.create(&format!("{RBAC}/namespaces/mine/rolebindings"), to_edit).await;
    world.call(Some(&ann), "POST", "/api/v1/namespaces/mine/configmaps", config_map("a")).await.expect(201);
    world.create("/api/v1/namespaces/theirs/configmaps", config_map("b")).await;
    for (method, path) in [
        ("GET", "/api/v1/namespaces/theirs/configmaps/b"),
        ("GET", "/api/v1/namespaces/theirs/configmaps"),
        ("GET", "/api/v1/configmaps"),
        ("GET", "/api/v1/configmaps?watch=true&fieldSelector=metadata.namespace=mine"),
        ("DELETE", "/api/v1/namespaces/theirs/configmaps/b"),
    ] {
        let refused = world.call(Some(&ann), method, path, Value::Null).await;
        assert_eq!(refused.code, 403, "{method} {path}: {}", refused.text);
    }
    let denied = world.audit("actor=ann&namespace=theirs&name=b").await;
    let verbs: Vec<&str> = denied.iter().map(|entry| entry["verb"].as_str().unwrap()).collect();
    assert_eq!(verbs, ["delete", "get"]);
    assert!(denied.iter().all(|entry| entry["outcome"] == "denied" && entry["code"] == 403));
    // A body can't lead elsewhere than its path.
    let mut sly = config_map("c");
    sly["metadata"]["namespace"] = "theirs".into();
    world.call(Some(&ann), "POST", "/api/v1/namespaces/mine/configmaps", sly).await.expect(400);
    // What is taken back counts with the next request.
    let path = format!("{RBAC}/namespaces/mine/rolebindings/ann");
    world.admin("DELETE", &path, Value::Null).await.expect(200);
    world.call(Some(&ann), "GET", "/api/v1/namespaces/mine/configmaps/a", Value::Null).await.expect(403);
}

async fn nobody_grants_what_they_lack(world: World) {
    world.namespace("mine").await;
    let ann = world.token_of("ann", "stranger").await;
    let to_admin = binding("ann", "ClusterRole", "admin", "ann");
    world.create(&format!("{RBAC}/namespaces/mine/rolebindings"), to_admin).await;
    let roles = format!("{RBAC}/namespaces/mine/roles");
    let rule = |resource: &str| json!({"rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get"]}]});
    world.call(Some(&ann), "POST", &roles, object("Role", "held", rule("configmaps"))).await.expect(201);
    let refused = world.call(Some(&ann), "POST", &roles, object("Role", "more", rule("nodes"))).await;
    assert_eq!(refused.code, 403);
    let lacked = r#"is attempting to grant RBAC permissions not currently held:
{APIGroups:[""], Resources:["nodes"], Verbs:["get"]}"#;
    assert!(refused.message().ends_with(lacked), "{}", refused.message());
    let grow = world.call(Some(&ann), "PATCH", &format!("{roles}/held"), rule("*")).await;
    assert_eq!(grow.code, 403);
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    world.call(Some(&ann), "PATCH", &format!("{roles}/held"), label).await.expect(200);
    let bindings = format!("{RBAC}/namespaces/mine/rolebindings");
    let up = world.call(Some(&ann), "POST", &bindings, binding("up", "ClusterRole", "cluster-admin", "ann")).await;
    assert_eq!(up.code, 403);
    world.call(Some(&ann), "POST", &bindings, binding("on", "ClusterRole", "view", "tom")).await.expect(201);
    // The administrator holds it, and may.
    world.create(&roles, object("Role", "more", rule("nodes"))).await;
    let entries = world.audit("actor=ann&verb=create&resource=roles.rbac.authorization.k8s.io").await;
    let outcomes: Vec<&str> = entries.iter().map(|entry| entry["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["denied", "allowed"]);
}

async fn viewers_never_read_secrets(world: World) {
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "hunter2"}});
    world.create("/api/v1/namespaces/default/secrets", secret).await;
    let (viewer, editor) = (world.token_of("vic", "viewer").await, world.token_of("ed", "editor").await);
    for path in ["secrets/s", "secrets", "secrets?watch=true&timeoutSeconds=1", "secrets?fieldSelector=metadata.name=s"]
    {
        let refused =
            world.call(Some(&viewer), "GET", &format!("/api/v1/namespaces/default/{path}"), Value::Null).await;
        assert_eq!(refused.code, 403, "{path}");
        assert!(!refused.text.contains("aHVudGVyMg"));
    }
    let read = world.call(Some(&editor), "GET", "/api/v1/namespaces/default/secrets/s", Value::Null).await.expect(200);
    assert_eq!(read["data"]["k"], "aHVudGVyMg==");
    let wide = world.call(Some(&viewer), "GET", "/api/v1/configmaps", Value::Null).await;
    assert_eq!(wide.code, 200);
    let token = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"});
    let path = "/api/v1/namespaces/default/serviceaccounts/x/token";
    world.call(Some(&viewer), "POST", path, token).await.expect(403);
}

async fn bindings_obey_kubernetes_rules(world: World) {
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    let made = world.create(&bindings, binding("b", "ClusterRole", "view", "ann")).await;
    assert_eq!(made["roleRef"]["apiGroup"], "rbac.authorization.k8s.io");
    assert_eq!(made["subjects"][0]["apiGroup"], "rbac.authorization.k8s.io");
    let moved = json!({"roleRef": {"name": "edit"}});
    let refused = world.admin("PATCH", &format!("{bindings}/b"), moved).await;
    assert_eq!(refused.code, 422);
    assert!(refused.message().ends_with("cannot change roleRef"), "{}", refused.message());
    let empty = world
        .admin("POST", &format!("{RBAC}/clusterroles"), object("ClusterRole", "x", json!({"rules": [{"verbs": []}]})))
        .await;
    assert_eq!(empty.json["details"]["causes"].as_array().map(Vec::len), Some(3), "{}", empty.text);
    world.create(&format!("{RBAC}/clusterroles"), object("ClusterRole", "sys:any Name", json!({}))).await;
    world.admin("GET", &format!("{RBAC}/clusterroles/sys:any%20Name"), Value::Null).await.expect(200);
}

async fn users_are_no_way_up(world: World) {
    let rules = json!({"rules": [{"apiGroups": ["mcplane.io"], "resources": ["users"], "verbs": ["*"]}]});
    world.create(&format!("{RBAC}/clusterroles"), object("ClusterRole", "registrar", rules)).await;
    let subject = json!({"kind": "Group", "name": "mcplane:role:registrar"});
    let to = json!({"roleRef": {"kind": "ClusterRole", "name": "registrar"}, "subjects": [subject]});
    world.create(&format!("{RBAC}/clusterrolebindings"), object("ClusterRoleBinding", "registrar", to)).await;
    world.user("root", "admin").await;
    let reg = world.token_of("reg", "registrar").await;
    world
        .create(&format!("{RBAC}/namespaces/default/rolebindings"), binding("ann", "ClusterRole", "edit", "ann"))
        .await;
    // `escalate` comes with the star, so take the star away first.
    let verbs = json!({"rules": [{"apiGroups": ["mcplane.io"], "resources": ["users"],
        "verbs": ["create", "get", "update", "patch", "delete"]}]});
    world.admin("PATCH", &format!("{RBAC}/clusterroles/registrar"), verbs).await.expect(200);

    world.call(Some(&reg), "POST", USERS, user("low", "stranger", PASSWORD)).await.expect(201);
    world.call(Some(&reg), "POST", USERS, user("high", "admin", PASSWORD)).await.expect(403);
    world.call(Some(&reg), "POST", USERS, user("ann", "stranger", PASSWORD)).await.expect(403);
    let patch = |name: &str, spec: Value| {
        let (reg, path) = (reg.clone(), format!("{USERS}/{name}"));
        let world = &world;
        async move { world.call(Some(&reg), "PATCH", &path, json!({"spec": spec})).await.code }
    };
    assert_eq!(patch("low", json!({"role": "editor"})).await, 403);
    assert_eq!(patch("root", json!({"password": "mine from now on"})).await, 403);
    assert_eq!(patch("root", json!({"role": "stranger"})).await, 403);
    assert_eq!(patch("low", json!({"disabled": true})).await, 200);
    world.login("root", PASSWORD).await.expect(200);
}

async fn the_audit_log_is_for_those_who_may(world: World) {
    world.namespace("mine").await;
    let ann = world.token_of("ann", "stranger").await;
    world.call(Some(&ann), "GET", AUDIT, Value::Null).await.expect(403);
    let rules = json!({"rules": [{"apiGroups": ["mcplane.io"], "resources": ["audit"], "verbs": ["list"]}]});
    world.create(&format!("{RBAC}/namespaces/mine/roles"), object("Role", "auditor", rules)).await;
    world.create(&format!("{RBAC}/namespaces/mine/rolebindings"), binding("ann", "Role", "auditor", "ann")).await;
    let own = world.call(Some(&ann), "GET", "/audit?namespace=mine", Value::Null).await.expect(200);
    let verbs: Vec<&str> = own["items"].as_array().unwrap().iter().map(|e| e["resource"].as_str().unwrap()).collect();
    assert_eq!(verbs, ["rolebindings.rbac.authorization.k8s.io", "roles.rbac.authorization.k8s.io"]);
    world.call(Some(&ann), "GET", "/audit?namespace=mine&verify", Value::Null).await.expect(403);
    world.call(Some(&ann), "GET", "/audit?namespace=default", Value::Null).await.expect(403);

    let first = world.admin("GET", "/audit?limit=3", Value::Null).await.expect(200);
    let next = first["continue"].as_str().unwrap();
    let second = world.admin("GET", &format!("/audit?limit=3&continue={next}"), Value::Null).await.expect(200);
    let places = |page: &Value| -> Vec<i64> {
        page["items"].as_array().unwrap().iter().map(|entry| entry["sequence"].as_i64().unwrap()).collect()
    };
    let all: Vec<i64> = places(&first).into_iter().chain(places(&second)).collect();
    assert!(all.windows(2).all(|pair| pair[0] == pair[1] + 1), "{all:?}");
    let newest = &first["items"][0];
    assert_eq!(newest["outcome"], "denied");
    assert!(newest["time"].as_str().unwrap().ends_with('Z'));
    let trace = newest["trace"].as_str().unwrap();
    assert_eq!(&world.audit(&format!("trace={trace}")).await, std::slice::from_ref(newest));
    assert_eq!(world.audit("since=1h&limit=1").await.len(), 1);
    assert_eq!(world.audit("since=2999-01-01T00:00:00Z").await.len(), 0);
    let whole = world.admin("GET", "/audit?verify=true", Value::Null).await.expect(200);
    assert_eq!((&whole["verified"], whole["entries"].as_i64() >= Some(all[0])), (&json!(true), true));
    world.admin("GET", "/audit?who=me", Value::Null).await.expect(400);
}
