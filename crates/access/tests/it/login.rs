//! Logging in with a password.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::world::{PASSWORD, USERS, World, on_both_databases, user};

on_both_databases!(
    a_password_gives_a_token_for_two_hours,
    failures_look_alike_and_are_recorded,
    repeated_failures_lock_for_a_while,
    odd_requests_are_refused_precisely,
);

async fn a_password_gives_a_token_for_two_hours(world: World) {
    world.user("ann", "viewer").await;
    let answer = world.login("ann", PASSWORD).await.expect(200);
    let token = answer["token"].as_str().unwrap();
    let ends = mcplane_core::clock::parse_rfc3339(answer["expires"].as_str().unwrap()).unwrap();
    let lasts = ends - mcplane_core::Clock::now(&*world.clock);
    assert!((7_199_000..=7_200_000).contains(&lasts), "{lasts}");
    world.call(Some(token), "GET", "/api/v1/configmaps", Value::Null).await.expect(200);
    world.clock.advance(7_200_000);
    let expired = world.call(Some(token), "GET", "/api/v1/configmaps", Value::Null).await;
    assert_eq!((expired.code, expired.message()), (401, "the token has expired"));
    let entries = world.audit("verb=login&actor=ann").await;
    assert_eq!((entries.len(), &entries[0]["outcome"], &entries[0]["code"]), (1, &json!("allowed"), &json!(200)));
    assert!(!entries[0].to_string().contains(token));
}

async fn failures_look_alike_and_are_recorded(world: World) {
    world.user("ann", "viewer").await;
    world.user("idle", "viewer").await;
    world.admin("PATCH", &format!("{USERS}/idle"), json!({"spec": {"disabled": true}})).await.expect(200);
    let mut mute = user("mute", "viewer", "");
    mute["spec"].as_object_mut().unwrap().remove("password");
    world.create(USERS, mute).await;
    let wrong = world.login("ann", "wrong password").await;
    let disabled = world.login("idle", PASSWORD).await;
    let without = world.login("mute", "").await;
    let unknown = world.login("my password by mistake", PASSWORD).await;
    assert_eq!(wrong.code, 401);
    assert_eq!([&disabled, &without, &unknown], [&wrong; 3]);
    let entries = world.audit("verb=login").await;
    let seen: Vec<(&str, &str)> =
        entries.iter().map(|e| (e["actor"].as_str().unwrap(), e["outcome"].as_str().unwrap())).collect();
    assert_eq!(seen, [("", "denied"), ("mute", "denied"), ("idle", "denied"), ("ann", "denied")]);
    let stored = world.everything_stored().await;
    assert!(!stored.contains("by mistake") && !stored.contains("wrong password,\""));
}

async fn repeated_failures_lock_for_a_while(world: World) {
    world.user("ann", "viewer").await;
    for _ in 0..5 {
        world.login("ann", "wrong password").await.expect(401);
    }
    let locked = world.login("ann", PASSWORD).await;
    assert_eq!((locked.code, &locked.json["reason"]), (429, &json!("TooManyRequests")));
    assert!(locked.json["details"]["retryAfterSeconds"].as_u64().unwrap() > 0);
    world.login("ann", PASSWORD).await.expect(429);
    let entries = world.audit("verb=login&limit=2").await;
    assert_eq!([&entries[0]["code"], &entries[1]["code"]], [&json!(429), &json!(401)]);
    world.clock.advance(60_000);
    world.login("ann", PASSWORD).await.expect(200);
}

async fn odd_requests_are_refused_precisely(world: World) {
    world.user("ann", "viewer").await;
    for (body, code) in [
        (r#"{"username": "ann"}"#.to_owned(), 400),
        (r#"{"username": "ann", "password": 12345678}"#.to_owned(), 400),
        ("not json".to_owned(), 400),
        (format!(r#"{{"username": "ann", "password": "{}"}}"#, "x".repeat(20_000)), 413),
        (format!(r#"{{"username": "ann", "password": "{}"}}"#, "x".repeat(2000)), 401),
        (r#"{"username": "a\u0000nn", "password": "x"}"#.to_owned(), 401),
        (r#"{"username": "", "password": ""}"#.to_owned(), 401),
    ] {
        let request = Request::post("/auth/login").body(Body::from(body.clone())).unwrap();
        let answer = world.send(request).await;
        assert_eq!(answer.code, code, "{body}: {}", answer.text);
        assert_eq!(answer.json["kind"], "Status");
        assert!(!answer.text.contains("12345678"));
    }
}
