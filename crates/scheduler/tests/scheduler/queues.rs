//! Queues.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::Method;
use mcplane_scheduler::tasks::{NewTask, State};
use serde_json::json;

use crate::rig::{Store, task};

pub(crate) async fn queues_are_paused_and_bounded(store: Store) {
    let api = store.start().await;
    let path = "/tasks/v1/namespaces/default/queues/night";
    let (status, answer) = api.call(Method::PATCH, path, Some(&json!({"paused": true, "limit": 1}))).await;
    assert_eq!(status, 200, "{answer}");
    let night = |n: i32| NewTask { queue: "night".into(), ..task(&format!("n{n}"), json!({"ms": 20})) };
    let tasks = api.submit((0..3).map(night).collect()).await;
    let day = api.submit(vec![task("day", json!({}))]).await;
    api.finished(&day[0].id).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(api.task(&tasks[0].id).await.state, State::Ready, "a paused queue waits");
    let (_, listed) = api.call(Method::GET, "/tasks/v1/namespaces/default/queues", None).await;
    let expected = json!({
        "namespace": "default", "name": "night", "paused": true, "weight": 1, "limit": 1,
        "waiting": 0, "ready": 3, "running": 0,
    });
    assert_eq!(listed["queues"], json!([expected]));
    api.seen.most.store(0, Ordering::SeqCst);
    api.call(Method::PATCH, path, Some(&json!({"paused": false}))).await;
    for task in &tasks {
        api.finished(&task.id).await;
    }
    assert_eq!(api.seen.most.load(Ordering::SeqCst), 1, "the limit of the queue stays");
    for wrong in [json!({"weight": 0}), json!({"limit": -1}), json!({"pause": true})] {
        let (status, _) = api.call(Method::PATCH, path, Some(&wrong)).await;
        assert_eq!(status, 400, "{wrong}");
    }
}
