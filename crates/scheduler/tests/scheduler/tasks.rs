//! A task's life.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::Method;
use mcplane_core::Error;
use mcplane_scheduler::tasks::{Concurrency, Demand, Filter, NewTask, State};
use serde_json::{Value, json};

use crate::rig::{Store, WORKERS, task};

pub(crate) async fn tasks_are_done(store: Store) {
    let api = store.start().await;
    let tasks = api.submit((0..50).map(|n| task(&format!("t{n}"), json!({"ms": 2}))).collect()).await;
    for task in &tasks {
        let done = api.finished(&task.id).await;
        assert_eq!((done.state, done.attempt, done.exit_code), (State::Succeeded, 1, Some(0)));
        assert!(done.started_at >= Some(done.created_at) && done.finished_at >= done.started_at);
        assert_eq!(api.seen.attempts(&task.name), 1);
    }
    assert!(api.seen.most.load(Ordering::SeqCst) <= WORKERS);
}

pub(crate) async fn tasks_are_checked(store: Store) {
    let api = store.start().await;
    let path = "/tasks/v1/namespaces/default/tasks";
    for (body, part) in [
        (json!({}), "missing field `name`"),
        (json!({"name": "a", "nmae": 1}), "unknown field `nmae`"),
        (json!({"name": "a", "queue": "No Queue"}), "queue"),
        (json!({"name": "a", "priority": 10}), "priority"),
        (json!({"name": "a", "resources": {"cpu": "much"}}), "no quantity"),
        (json!({"name": "a", "resources": {"tpu": 1}}), "there is none of that"),
        (json!({"name": "a", "delayMs": -1}), "delayMs"),
        (json!({"name": "a", "runAt": "soon"}), "RFC 3339"),
        (json!({"name": "a", "code": "sha256:12"}), "SHA-256"),
        (json!({"name": "a", "retries": {"maxAttempts": 0}}), "maxAttempts"),
        (json!({"name": "a", "timeoutMs": 0}), "timeout"),
        (json!({"tasks": [{"name": "good"}, {"name": ""}]}), "name"),
        (json!({"tasks": 3}), "must be a list"),
    ] {
        let (status, answer) = api.call(Method::POST, path, Some(&body)).await;
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains(part), "{body}: {answer}");
    }
    let (status, _) = api.call(Method::POST, "/tasks/v1/namespaces/nowhere/tasks", Some(&json!({"name": "a"}))).await;
    assert_eq!(status, 404);
    let all =
        api.scheduler.tasks(&api.grant("list", "default"), Filter { limit: 10, ..Filter::default() }).await.unwrap();
    assert_eq!(all, [], "nothing of a refused call is there");
}

pub(crate) async fn keys_make_tasks_unique(store: Store) {
    let api = store.start().await;
    let unique = |name: &str, key: &str| NewTask { unique_key: Some(key.into()), ..task(name, json!({"ms": 300})) };
    let idempotent = |name: &str, key: &str| NewTask { idempotency_key: Some(key.into()), ..task(name, json!({})) };
    let first = api.submit(vec![unique("a", "k"), unique("b", "k"), idempotent("c", "i"), idempotent("d", "i")]).await;
    assert_eq!(first[0].id, first[1].id);
    assert_eq!(first[2].id, first[3].id);
    let again = api.submit(vec![unique("e", "k"), idempotent("f", "i"), unique("g", "l")]).await;
    assert_eq!((&again[0].id, &again[1].id), (&first[0].id, &first[2].id));
    assert_ne!(again[2].id, first[0].id);
    api.finished(&first[0].id).await;
    api.finished(&first[2].id).await;
    let anew = api.submit(vec![unique("h", "k"), idempotent("i", "i")]).await;
    assert_ne!(anew[0].id, first[0].id, "only unfinished tasks hold a unique key");
    assert_eq!(anew[1].id, first[2].id, "an idempotency key is held for good");
    let elsewhere = api.scheduler.submit_tasks(&api.grant("create", "other"), vec![unique("j", "l")]).await.unwrap();
    assert_ne!(elsewhere[0].id, again[2].id, "keys are those of a namespace");
    let submits = (0..20).map(|n| api.submit(vec![unique(&format!("storm{n}"), "storm")]));
    let storm = futures::future::join_all(submits).await;
    assert!(storm.iter().all(|made| made[0].id == storm[0][0].id), "one of many at once is made");
}

pub(crate) async fn failures_are_tried_again(store: Store) {
    let api = store.start().await;
    let with = |name: &str, attempts, payload| {
        let mut new = task(name, payload);
        new.spec.retries.most_attempts = attempts;
        new
    };
    let mut slow = with("slow", 1, json!({"ms": 10_000}));
    slow.spec.timeout_ms = Some(50);
    let tasks = api
        .submit(vec![
            with("mends", 5, json!({"fail": 2})),
            with("dies", 3, json!({"fail": 9})),
            with("hopeless", 5, json!({"fail": 9, "permanent": true})),
            slow,
        ])
        .await;
    let mends = api.finished(&tasks[0].id).await;
    assert_eq!((mends.state, mends.attempt, mends.attempts_left), (State::Succeeded, 3, 2));
    let dies = api.finished(&tasks[1].id).await;
    assert_eq!((dies.state, dies.attempt, dies.exit_code), (State::Failed, 3, Some(1)));
    assert_eq!((dies.reason.as_str(), dies.message.as_str()), ("Error", "as told"));
    let hopeless = api.finished(&tasks[2].id).await;
    assert_eq!((hopeless.state, hopeless.attempt), (State::Failed, 1));
    let slow = api.finished(&tasks[3].id).await;
    assert_eq!((slow.state, slow.reason.as_str()), (State::Failed, "DeadlineExceeded"));
}

pub(crate) async fn a_delay_is_kept(store: Store) {
    let api = store.start().await;
    let now = api.db.clock().now();
    let delays = [250, 40, 120, 0];
    let new = delays.iter().map(|delay| NewTask { due_at: Some(now + delay), ..task(&delay.to_string(), json!({})) });
    let tasks = api.submit(new.collect()).await;
    let mut times = vec![];
    for task in &tasks {
        let done = api.finished(&task.id).await;
        assert!(done.started_at.unwrap() >= done.due_at, "never early: {done:?}");
        times.push((done.due_at, done.started_at.unwrap()));
    }
    times.sort_unstable();
    assert!(times.is_sorted_by_key(|(_, started_at)| *started_at), "in the order of their times: {times:?}");
}

pub(crate) async fn tasks_are_cancelled(store: Store) {
    let api = store.start().await;
    let now = api.db.clock().now();
    let later = NewTask { due_at: Some(now + 60_000), ..task("later", json!({})) };
    let tasks = api.submit(vec![task("runs", json!({"ms": 60_000})), later, task("done", json!({}))]).await;
    api.until(&tasks[0].id, |task| task.state == State::Running).await;
    api.finished(&tasks[2].id).await;
    for task in &tasks {
        api.scheduler.cancel_task(&api.grant("update", "default"), &task.id).await.unwrap();
    }
    let runs = api.finished(&tasks[0].id).await;
    assert_eq!((runs.state, runs.reason.as_str()), (State::Cancelled, "Cancelled"));
    assert_eq!(runs.cancelled_by.as_deref(), Some("system:mcplane:test"));
    assert_eq!(api.task(&tasks[1].id).await.state, State::Cancelled);
    assert_eq!(api.task(&tasks[2].id).await.state, State::Succeeded, "what is done stays done");
    let foreign = api.scheduler.cancel_task(&api.grant("update", "other"), &tasks[1].id).await;
    assert!(matches!(foreign, Err(Error::NotFound(_))), "tasks of one namespace are not seen from another");
}

pub(crate) async fn dead_letters_are_replayed(store: Store) {
    let api = store.start().await;
    let tasks = api.submit(vec![task("dead", json!({"fail": 1})), task("good", json!({}))]).await;
    assert_eq!(api.finished(&tasks[0].id).await.state, State::Failed);
    api.finished(&tasks[1].id).await;
    let grant = api.grant("update", "default");
    let again = api.scheduler.retry_task(&grant, &tasks[0].id).await.unwrap();
    assert_eq!((again.state, again.attempts_left), (State::Ready, 1));
    let done = api.finished(&tasks[0].id).await;
    assert_eq!((done.state, done.attempt), (State::Succeeded, 2));
    let refused = api.scheduler.retry_task(&grant, &tasks[1].id).await;
    assert!(matches!(&refused, Err(Error::BadRequest(text)) if text.contains("succeeded")), "{refused:?}");
}

pub(crate) async fn limits_hold(store: Store) {
    let api = store.start().await;
    let keyed = |n: i32| NewTask {
        concurrency: Some(Concurrency { key: "gpu-job".into(), limit: 2 }),
        ..task(&format!("k{n}"), json!({"ms": 40}))
    };
    let tasks = api.submit((0..8).map(keyed).collect()).await;
    for task in &tasks {
        api.finished(&task.id).await;
    }
    assert_eq!(api.seen.most.load(Ordering::SeqCst), 2);
}

pub(crate) async fn quotas_hold(store: Store) {
    let api = store.start().await;
    let quota = json!({"metadata": {"name": "small"}, "spec": {"hard": {"requests.cpu": "3"}}});
    let (status, answer) = api.call(Method::POST, "/api/v1/namespaces/default/resourcequotas", Some(&quota)).await;
    assert_eq!(status, 201, "{answer}");
    let path = "/tasks/v1/namespaces/default/tasks";
    let body = json!({"name": "a", "command": ["true"], "resources": {"cpu": "1"}, "delayMs": 600_000});
    let storm = futures::future::join_all((0..12).map(|_| api.call(Method::POST, path, Some(&body)))).await;
    let (taken, refused): (Vec<_>, Vec<_>) = storm.into_iter().partition(|(status, _)| *status == 200);
    assert_eq!((taken.len(), refused.len()), (3, 9));
    for (status, answer) in refused {
        assert_eq!(status, 403, "{answer}");
        assert!(answer["message"].as_str().unwrap().contains("exceeded quota: small"), "{answer}");
    }
    let cancel = format!("{path}/{}/cancel", taken[0].1["id"].as_str().unwrap());
    api.call(Method::POST, &cancel, None).await;
    let (status, answer) = api.call(Method::POST, path, Some(&body)).await;
    assert_eq!(status, 200, "what is finished uses nothing: {answer}");
}

/// What `kubectl describe quota` shows.
pub(crate) async fn quotas_show_what_tasks_use(store: Store) {
    let api = store.start().await;
    api.run_controllers();
    let path = "/api/v1/namespaces/default/resourcequotas";
    let hard = json!({"pods": "9", "requests.cpu": "3", "memory": "1Gi", "count/configmaps": "1"});
    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": hard}});
    let (status, answer) = api.call(Method::POST, path, Some(&quota)).await;
    assert_eq!(status, 201, "{answer}");
    let shown = async |expected: Value| {
        let path = format!("{path}/q");
        for _ in 0..600 {
            let (_, quota) = api.call(Method::GET, &path, None).await;
            if quota["status"]["used"] == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{expected} is not shown, but {}", api.call(Method::GET, &path, None).await.1);
    };
    shown(json!({"pods": "0", "requests.cpu": "0", "memory": "0", "count/configmaps": "0"})).await;
    let tasks = "/tasks/v1/namespaces/default/tasks";
    let body =
        json!({"name": "a", "command": ["true"], "resources": {"cpu": "500m", "memory": "100Mi"}, "delayMs": 600_000});
    let (_, first) = api.call(Method::POST, tasks, Some(&body)).await;
    api.call(Method::POST, tasks, Some(&body)).await;
    shown(json!({"pods": "2", "requests.cpu": "1", "memory": "200Mi", "count/configmaps": "0"})).await;
    api.call(Method::POST, &format!("{tasks}/{}/cancel", first["id"].as_str().unwrap()), None).await;
    shown(json!({"pods": "1", "requests.cpu": "500m", "memory": "100Mi", "count/configmaps": "0"})).await;
}

pub(crate) async fn what_does_not_fit_says_so(store: Store) {
    let api = store.start().await;
    let big = Demand { cpu_milli: 64_000, ..Demand::default() };
    let whole = Demand { cpu_milli: 4_000, ..Demand::default() };
    let tasks = api
        .submit(vec![
            NewTask { demand: big, ..task("big", json!({})) },
            NewTask { demand: whole, ..task("whole", json!({"ms": 30})) },
            NewTask { demand: whole, ..task("other", json!({"ms": 30})) },
        ])
        .await;
    let big = api.until(&tasks[0].id, |task| !task.reason.is_empty()).await;
    assert_eq!((big.state, big.reason.as_str()), (State::Ready, "InsufficientCpu"));
    api.finished(&tasks[1].id).await;
    api.finished(&tasks[2].id).await;
    assert_eq!(api.seen.most.load(Ordering::SeqCst), 1, "both need the whole machine");
    assert_eq!(api.task(&tasks[0].id).await.state, State::Ready);
    tokio::time::sleep(Duration::from_millis(20)).await;
    api.scheduler.cancel_task(&api.grant("update", "default"), &tasks[0].id).await.unwrap();
    assert_eq!(api.task(&tasks[0].id).await.state, State::Cancelled);
}

pub(crate) async fn lists_have_pages(store: Store) {
    let api = store.start().await;
    let tasks = api.submit((0..7).map(|n| task(&format!("t{n}"), json!({}))).collect()).await;
    for task in &tasks {
        api.finished(&task.id).await;
    }
    let mut names = Vec::new();
    let mut path = "/tasks/v1/namespaces/default/tasks?limit=3".to_owned();
    loop {
        let (status, page) = api.call(Method::GET, &path, None).await;
        assert_eq!(status, 200, "{page}");
        names.extend(page["tasks"].as_array().unwrap().iter().map(|task| task["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["continue"].as_str() else { break };
        path = format!("/tasks/v1/namespaces/default/tasks?limit=3&continue={next}");
    }
    assert_eq!(names, ["t6", "t5", "t4", "t3", "t2", "t1", "t0"]);
    let (_, failed) = api.call(Method::GET, "/tasks/v1/namespaces/default/tasks?state=failed,cancelled", None).await;
    assert_eq!(failed["tasks"], json!([]));
    let (status, _) = api.call(Method::GET, "/tasks/v1/namespaces/default/tasks?state=gone", None).await;
    assert_eq!(status, 400);
    let path = format!("/tasks/v1/namespaces/default/tasks/{}/logs", tasks[0].id);
    let (_, log) = api.call(Method::GET, &path, None).await;
    assert!(log.as_str().unwrap().starts_with("log of "), "{log}");
}
