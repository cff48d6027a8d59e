//! Users are a projection of their table: they behave as any other kind does.

use serde_json::{Value, json};

use crate::world::{Answer, PASSWORD, USERS, World, on_both_databases, user};

on_both_databases!(
    a_watch_sees_every_change,
    pages_of_a_list_agree_on_one_revision,
    writes_compare_and_swap,
    ids_are_never_given_twice,
    finalizers_and_selectors_work,
    passwords_leave_no_trace,
    applying_again_changes_nothing,
);

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

fn revision(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

async fn a_watch_sees_every_change(world: World) {
    let start = world.admin("GET", USERS, Value::Null).await.expect(200);
    let path = format!("{USERS}?watch=true&timeoutSeconds=2&resourceVersion={}", revision(&start));
    let changes = async {
        let ann = world.user("ann", "viewer").await;
        assert_eq!((&ann["status"]["id"], &ann["spec"]), (&json!(1001), &json!({"role": "viewer", "disabled": false})));
        assert_eq!(ann["metadata"]["generation"], 1);
        let path = format!("{USERS}/ann");
        let ann = world.admin("PATCH", &path, json!({"spec": {"role": "editor"}})).await.expect(200);
        assert_eq!(ann["metadata"]["generation"], 2);
        assert_eq!(world.admin("GET", &path, Value::Null).await.expect(200), ann);
        world.admin("DELETE", &path, Value::Null).await.expect(200);
        world.admin("GET", &path, Value::Null).await.expect(404);
    };
    let (watched, ()) = tokio::join!(world.admin("GET", &path, Value::Null), changes);
    let events: Vec<Value> = watched.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<(&str, &str)> = events
        .iter()
        .map(|event| (event["type"].as_str().unwrap(), event["object"]["spec"]["role"].as_str().unwrap()))
        .collect();
    assert_eq!(seen, [("ADDED", "viewer"), ("MODIFIED", "editor"), ("DELETED", "editor")]);
    // The past is told the same way as the present was.
    let again = world.admin("GET", &path.replace("Seconds=2", "Seconds=1"), Value::Null).await;
    assert_eq!(again.text, watched.text);
}

async fn pages_of_a_list_agree_on_one_revision(world: World) {
    for name in ["a", "b", "c", "d"] {
        world.user(name, "viewer").await;
    }
    let first = world.admin("GET", &format!("{USERS}?limit=2"), Value::Null).await.expect(200);
    assert_eq!((names(&first), &first["metadata"]["remainingItemCount"]), (vec!["a", "b"], &json!(2)));
    world.admin("DELETE", &format!("{USERS}/c"), Value::Null).await.expect(200);
    world.user("cc", "viewer").await;
    world.admin("PATCH", &format!("{USERS}/d"), json!({"spec": {"role": "admin"}})).await.expect(200);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let rest = world.admin("GET", &format!("{USERS}?limit=2&continue={token}"), Value::Null).await.expect(200);
    assert_eq!(names(&rest), ["c", "d"]);
    assert_eq!(rest["items"][1]["spec"]["role"], "viewer");
    assert_eq!(revision(&first), revision(&rest));
    let now = world.admin("GET", USERS, Value::Null).await.expect(200);
    assert_eq!(names(&now), ["a", "b", "cc", "d"]);
    let past = format!("{USERS}?resourceVersion={}&resourceVersionMatch=Exact", revision(&first));
    assert_eq!(names(&world.admin("GET", &past, Value::Null).await.expect(200)), ["a", "b", "c", "d"]);
}

async fn writes_compare_and_swap(world: World) {
    let mut ann = world.user("ann", "viewer").await;
    world.admin("POST", USERS, user("ann", "viewer", PASSWORD)).await.expect(409);
    let path = format!("{USERS}/ann");
    ann["spec"]["role"] = "editor".into();
    let newer = world.admin("PUT", &path, ann.clone()).await.expect(200);
    ann["spec"]["role"] = "admin".into();
    let stale = world.admin("PUT", &path, ann).await;
    assert_eq!((stale.code, &stale.json["reason"]), (409, &json!("Conflict")));
    assert_eq!(world.admin("GET", &path, Value::Null).await.expect(200), newer);
    let unsure = json!({"preconditions": {"uid": "another"}});
    world.admin("DELETE", &path, unsure).await.expect(409);
    // Many at once: each change is seen by the next, none is lost.
    let patches = (0..8).map(|n| {
        let patch = json!({"metadata": {"labels": {format!("l{n}"): "x"}}});
        world.admin("PATCH", &path, patch)
    });
    let answers: Vec<Answer> = futures::future::join_all(patches).await;
    assert!(answers.iter().all(|answer| answer.code == 200));
    let labels = world.admin("GET", &path, Value::Null).await.expect(200)["metadata"]["labels"].clone();
    assert_eq!(labels.as_object().unwrap().len(), 8);
    let dry = world.admin("PATCH", &format!("{path}?dryRun=All"), json!({"spec": {"password": "another one"}})).await;
    assert!(!dry.expect(200).to_string().contains("argon2"));
    world.login("ann", PASSWORD).await.expect(200);
}

async fn ids_are_never_given_twice(world: World) {
    assert_eq!(world.user("ann", "viewer").await["status"]["id"], 1001);
    assert_eq!(world.user("tom", "viewer").await["status"]["id"], 1002);
    world.admin("DELETE", &format!("{USERS}/tom"), Value::Null).await.expect(200);
    let world = world.restart().await;
    assert_eq!(world.user("tom", "viewer").await["status"]["id"], 1003);
    let mut sly = user("sly", "viewer", PASSWORD);
    sly["status"] = json!({"id": 1});
    let mut sly = world.create(USERS, sly).await;
    assert_eq!(sly["status"]["id"], 1004);
    sly["status"] = json!({"id": 1});
    let sly = world.admin("PUT", &format!("{USERS}/sly"), sly).await.expect(200);
    assert_eq!((&sly["status"]["id"], &sly["metadata"]["generation"]), (&json!(1004), &json!(1)));
    assert!(world.access.users_exist());
}

async fn finalizers_and_selectors_work(world: World) {
    let mut ann = user("ann", "editor", PASSWORD);
    ann["metadata"]["finalizers"] = json!(["example.org/wait"]);
    ann["metadata"]["labels"] = json!({"team": "a"});
    world.create(USERS, ann).await;
    world.user("tom", "viewer").await;
    let token = world.login("ann", PASSWORD).await.expect(200)["token"].as_str().unwrap().to_owned();
    for (query, expected) in [("labelSelector=team=a", vec!["ann"]), ("fieldSelector=spec.role=viewer", vec!["tom"])] {
        let list = world.admin("GET", &format!("{USERS}?{query}"), Value::Null).await.expect(200);
        assert_eq!(names(&list), expected);
    }
    let path = format!("{USERS}/ann");
    world.call(Some(&token), "GET", "/apis", Value::Null).await.expect(200);
    world.admin("DELETE", &path, Value::Null).await.expect(200);
    let waiting = world.admin("GET", &path, Value::Null).await.expect(200);
    assert!(waiting["metadata"]["deletionTimestamp"].is_string());
    // Who is about to go is as good as gone.
    world.call(Some(&token), "GET", "/apis", Value::Null).await.expect(401);
    world.login("ann", PASSWORD).await.expect(401);
    world.admin("PATCH", &path, json!({"metadata": {"finalizers": null}})).await.expect(200);
    world.admin("GET", &path, Value::Null).await.expect(404);
}

async fn passwords_leave_no_trace(world: World) {
    let secret = "tr0ub4dor&3 x";
    let mut ann = user("ann", "viewer", secret);
    let applied = json!({"kubectl.kubernetes.io/last-applied-configuration": ann.to_string()});
    ann["metadata"]["annotations"] = applied;
    ann["spec"]["passwordHash"] = "$argon2id$of-my-own".into();
    let strict = world.admin("POST", &format!("{USERS}?fieldValidation=Strict"), ann.clone()).await;
    assert_eq!(strict.code, 400);
    let created = world.admin("POST", USERS, ann).await;
    let path = format!("{USERS}/ann");
    let changed = world.admin("PATCH", &path, json!({"spec": {"password": secret, "role": "editor"}})).await;
    let again = world.admin("PATCH", &path, json!({"spec": {"password": format!("{secret}!")}})).await;
    let number = world.admin("PATCH", &path, json!({"spec": {"password": 987_654_321}})).await;
    let short = world.admin("PATCH", &path, json!({"spec": {"password": "s3cr3t"}})).await;
    assert_eq!([created.code, changed.code, again.code, number.code, short.code], [201, 200, 200, 422, 422]);
    let shown = world.admin("GET", &path, Value::Null).await;
    let listed =
        world.admin("GET", &format!("{USERS}?watch=true&resourceVersion=1&timeoutSeconds=1"), Value::Null).await;
    let mut all = world.everything_stored().await;
    for answer in [strict, created, changed, again, number, short, shown, listed] {
        all.push_str(&answer.text);
    }
    for trace in [secret, "argon2", "987654321", "s3cr3t", "passwordHash\":"] {
        assert!(!all.contains(trace), "{trace} in {all}");
    }
    world.login("ann", secret).await.expect(401);
    world.login("ann", &format!("{secret}!")).await.expect(200);
}

async fn applying_again_changes_nothing(world: World) {
    let ann = world.user("ann", "viewer").await;
    let path = format!("{USERS}/ann");
    let same = world.admin("PATCH", &path, json!({"spec": {"role": "viewer", "password": PASSWORD}})).await.expect(200);
    assert_eq!(same, ann);
    let other = world.admin("PATCH", &path, json!({"spec": {"password": "something else"}})).await.expect(200);
    assert_eq!(other["metadata"]["generation"], 2);
    assert_ne!(revision(&other), revision(&ann));
}
