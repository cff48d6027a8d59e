//! Tokens live and die with those whom they speak of.

use serde_json::{Value, json};

use crate::world::{PASSWORD, RBAC, USERS, World, on_both_databases};

on_both_databases!(
    a_users_token_ends_with_the_user,
    an_accounts_token_ends_with_the_account,
    a_bound_token_ends_with_its_object,
    bad_credentials_never_fall_back,
    keys_rotate_and_survive,
    reviews_tell_who_and_what,
);

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const SELF: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

fn token_request(spec: Value) -> Value {
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})
}

fn whoami() -> Value {
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
}

async fn account(world: &World, name: &str) -> Value {
    let body = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
    world.create(ACCOUNTS, body).await
}

async fn token(world: &World, account: &str, spec: Value) -> String {
    let answer = world.create(&format!("{ACCOUNTS}/{account}/token"), token_request(spec)).await;
    answer["status"]["token"].as_str().unwrap().to_owned()
}

async fn works(world: &World, token: &str) -> bool {
    match world.call(Some(token), "POST", SELF, whoami()).await.code {
        201 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

async fn a_users_token_ends_with_the_user(world: World) {
    let path = format!("{USERS}/ann");
    let first = world.token_of("ann", "viewer").await;
    assert!(works(&world, &first).await);
    let spec = |spec: Value| world.admin("PATCH", &path, json!({ "spec": spec }));
    spec(json!({"role": "editor"})).await.expect(200);
    assert!(!works(&world, &first).await, "another role is another token");
    let second = world.login("ann", PASSWORD).await.expect(200)["token"].as_str().unwrap().to_owned();
    spec(json!({"disabled": true})).await.expect(200);
    assert!(!works(&world, &second).await);
    spec(json!({"disabled": false})).await.expect(200);
    assert!(works(&world, &second).await);
    world.admin("DELETE", &path, Value::Null).await.expect(200);
    assert!(!works(&world, &second).await);
    world.user("ann", "editor").await;
    assert!(!works(&world, &second).await, "a new user of the same name is another");
}

async fn an_accounts_token_ends_with_the_account(world: World) {
    let made = account(&world, "bot").await;
    let answer = world.create(&format!("{ACCOUNTS}/bot/token"), token_request(json!({"audiences": null}))).await;
    assert_eq!(answer["spec"], json!({"audiences": ["mcplane"], "expirationSeconds": 3600}));
    let token = answer["status"]["token"].as_str().unwrap();
    let me = world.call(Some(token), "POST", SELF, whoami()).await.expect(201)["status"]["userInfo"].clone();
    assert_eq!(me["username"], "system:serviceaccount:default:bot");
    assert_eq!(me["uid"], made["metadata"]["uid"]);
    let issued = world.audit("resource=serviceaccounts/token").await;
    assert_eq!((issued.len(), &issued[0]["name"], &issued[0]["actor"]), (1, &json!("bot"), &json!("admin")));
    assert!(!issued[0].to_string().contains(token));

    world.admin("DELETE", &format!("{ACCOUNTS}/bot"), Value::Null).await.expect(200);
    assert!(!works(&world, token).await);
    account(&world, "bot").await;
    assert!(!works(&world, token).await, "a new account of the same name has another uid");
    let missing = world.admin("POST", &format!("{ACCOUNTS}/nobody/token"), token_request(json!({}))).await;
    assert_eq!((missing.code, missing.message()), (404, "serviceaccounts \"nobody\" not found"));
    let short =
        world.admin("POST", &format!("{ACCOUNTS}/bot/token"), token_request(json!({"expirationSeconds": 60}))).await;
    assert_eq!(short.code, 422);
}

async fn a_bound_token_ends_with_its_object(world: World) {
    account(&world, "bot").await;
    let secrets = "/api/v1/namespaces/default/secrets";
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    let made = world.create(secrets, secret.clone()).await;
    let to = |kind: &str, name: &str, uid: &Value| json!({"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": name, "uid": uid}});
    let bound = token(&world, "bot", to("Secret", "s", &made["metadata"]["uid"])).await;
    assert!(works(&world, &bound).await);
    for (spec, code) in [
        (to("Secret", "s", &json!("another")), 409),
        (to("Secret", "gone", &json!("")), 404),
        (to("Secret", "a\0b", &json!("")), 404),
        (to("Pod", "p", &json!("")), 404),
        (to("ConfigMap", "c", &json!("")), 400),
    ] {
        let refused = world.admin("POST", &format!("{ACCOUNTS}/bot/token"), token_request(spec.clone())).await;
        assert_eq!(refused.code, code, "{spec}: {}", refused.text);
    }
    world.admin("DELETE", &format!("{secrets}/s"), Value::Null).await.expect(200);
    assert!(!works(&world, &bound).await);
    world.create(secrets, secret).await;
    assert!(!works(&world, &bound).await);
}

async fn bad_credentials_never_fall_back(world: World) {
    let good = world.token_of("ann", "admin").await;
    world.admin("GET", "/api/v1/namespaces", Value::Null).await.expect(200);
    let mut forged = good.clone();
    forged.replace_range(forged.len() - 4.., "AAAA");
    for bad in ["x", "a.b.c", &forged, ""] {
        let refused = world.call_home(bad, "GET", "/api/v1/namespaces").await;
        assert_eq!((refused.code, &refused.json["kind"]), (401, &json!("Status")), "{bad:?}");
    }
    world.call_home(&good, "GET", "/api/v1/namespaces").await.expect(200);
    // A token for somebody else is none for us.
    account(&world, "bot").await;
    let elsewhere = token(&world, "bot", json!({"audiences": ["vault"]})).await;
    assert!(!works(&world, &elsewhere).await);
}

async fn keys_rotate_and_survive(world: World) {
    let old = world.token_of("ann", "viewer").await;
    world.access.rotate_keys().await.unwrap();
    let new = world.login("ann", PASSWORD).await.expect(200)["token"].as_str().unwrap().to_owned();
    let kid = |token: &str| token.split('.').next().unwrap().to_owned();
    assert_ne!(kid(&old), kid(&new));
    let world = world.restart().await;
    assert!(works(&world, &old).await && works(&world, &new).await);
}

async fn reviews_tell_who_and_what(world: World) {
    let ann = world.token_of("ann", "viewer").await;
    let authorization = "/apis/authorization.k8s.io/v1";
    let review = |kind: &str, spec: Value| json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec});
    let may = |verb: &str, resource: &str| json!({"resourceAttributes": {"verb": verb, "resource": resource, "namespace": "default"}});
    for (verb, resource, allowed) in
        [("get", "configmaps", true), ("get", "secrets", false), ("create", "configmaps", false)]
    {
        let body = review("SelfSubjectAccessReview", may(verb, resource));
        let answer = world
            .call(Some(&ann), "POST", &format!("{authorization}/selfsubjectaccessreviews"), body)
            .await
            .expect(201);
        assert_eq!(
            (&answer["status"]["allowed"], &answer["kind"]),
            (&json!(allowed), &json!("SelfSubjectAccessReview"))
        );
    }
    let rules = review("SelfSubjectRulesReview", json!({"namespace": "default"}));
    let rules =
        world.call(Some(&ann), "POST", &format!("{authorization}/selfsubjectrulesreviews"), rules).await.expect(201);
    assert!(
        rules["status"]["resourceRules"].as_array().unwrap().iter().any(|rule| rule["resources"][0] == "configmaps")
    );

    let mut about = may("get", "secrets");
    about["user"] = "tom".into();
    about["groups"] = json!(["mcplane:role:editor"]);
    let path = format!("{authorization}/subjectaccessreviews");
    let whole = review("SubjectAccessReview", about.clone());
    world.call(Some(&ann), "POST", &path, whole.clone()).await.expect(403);
    assert_eq!(world.create(&path, whole).await["status"]["allowed"], true);
    let bind = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "ann"},
        "roleRef": {"kind": "ClusterRole", "name": "admin"}, "subjects": [{"kind": "User", "name": "ann"}]});
    world.create(&format!("{RBAC}/namespaces/default/rolebindings"), bind).await;
    let local = format!("{authorization}/namespaces/default/localsubjectaccessreviews");
    let body = review("LocalSubjectAccessReview", about);
    let answer = world.call(Some(&ann), "POST", &local, body.clone()).await.expect(201);
    assert_eq!(answer["status"]["allowed"], true);
    let other = local.replace("default", "kube-system");
    world.call(Some(&ann), "POST", &other, body).await.expect(403);

    account(&world, "bot").await;
    let vault = token(&world, "bot", json!({"audiences": ["vault", "x"]})).await;
    let tokens = "/apis/authentication.k8s.io/v1/tokenreviews";
    let about = |token: &str, audiences: Value| {
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
               "spec": {"token": token, "audiences": audiences}})
    };
    let known = world.create(tokens, about(&vault, json!(["vault", "y"]))).await;
    assert_eq!(known["status"]["audiences"], json!(["vault"]));
    assert_eq!(known["status"]["user"]["username"], "system:serviceaccount:default:bot");
    assert!(!known.to_string().contains(&vault));
    let here = world.create(tokens, about(&vault, Value::Null)).await;
    assert_eq!((&here["status"]["authenticated"], here["status"]["error"].is_string()), (&json!(false), true));
    let own = world.create(tokens, about(&ann, Value::Null)).await;
    assert_eq!(own["status"]["user"]["username"], "ann");
    world.call(Some(&ann), "POST", tokens, about(&ann, Value::Null)).await.expect(403);
}
