//! Several servers on one PostgreSQL: one decides, the others are heard.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::Method;
use mcplane_scheduler::tasks::{Concurrency, NewTask, State};
use mcplane_scheduler::transport::SqlTransport;
use serde_json::json;

use crate::rig::{Api, Store, task};

/// The first decides, for it was there first.
async fn two(store: &Store) -> (Api, Api) {
    let first = store.start_on("a", |db| Arc::new(SqlTransport::new(db))).await;
    let done = first.submit(vec![task("warm", json!({}))]).await;
    first.finished(&done[0].id).await;
    (first, store.start_on("b", |db| Arc::new(SqlTransport::new(db))).await)
}

/// Hands the lead to the server on a machine.
async fn hand_lead(api: &Api, node: &'static str) {
    let sql = "UPDATE scheduler SET epoch = epoch + 1, until = until + 60000, \
               holder = (SELECT incarnation FROM nodes WHERE name = $1)";
    api.db.write(move |tx| Box::pin(async move { tx.execute(sql, vec![node.into()]).await })).await.unwrap();
}

pub(crate) async fn changes_at_one_server_reach_the_other(store: Store) {
    let (a, b) = two(&store).await;
    let began = Instant::now();
    let tasks = b.submit(vec![task("short", json!({})), task("long", json!({"ms": 60_000}))]).await;
    b.finished(&tasks[0].id).await;
    println!("submitted at the other server, done after {:?}", began.elapsed());
    assert_eq!((a.seen.attempts("short"), b.seen.attempts("short")), (1, 0), "only one runs tasks");

    // Cancelled while it runs, while it waits for its time, and while its queue is paused.
    b.until(&tasks[1].id, |task| task.state == State::Running).await;
    let queue = "/tasks/v1/namespaces/default/queues/night";
    b.call(Method::PATCH, queue, Some(&json!({"paused": true}))).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let later = NewTask { due_at: Some(b.db.clock().now() + 600), ..task("later", json!({})) };
    let night = |name: &str| NewTask { queue: "night".into(), ..task(name, json!({})) };
    let held = b.submit(vec![later, night("never"), night("kept")]).await;
    let grant = b.grant("update", "default");
    for cancelled in [&tasks[1], &held[0], &held[1]] {
        b.scheduler.cancel_task(&grant, &cancelled.id).await.unwrap();
        assert_eq!(b.finished(&cancelled.id).await.state, State::Cancelled);
    }
    assert_eq!(b.task(&held[2].id).await.state, State::Ready, "the pause was heard, too");
    b.call(Method::PATCH, queue, Some(&json!({"paused": false}))).await;
    b.finished(&held[2].id).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!((a.seen.attempts("later"), a.seen.attempts("never")), (0, 0));

    let dead = b.submit(vec![task("dead", json!({"fail": 1}))]).await;
    assert_eq!(b.finished(&dead[0].id).await.state, State::Failed);
    b.scheduler.retry_task(&grant, &dead[0].id).await.unwrap();
    assert_eq!(b.finished(&dead[0].id).await.state, State::Succeeded);
    let notes = b.db.fetch("SELECT count(*) FROM engine_notes", vec![]).await.unwrap()[0].int(0).unwrap();
    assert_eq!(notes, 0, "what was heeded is forgotten");
    b.stop().await;
    a.stop().await;
}

pub(crate) async fn who_loses_the_lead_finishes_what_it_began(store: Store) {
    let (a, b) = two(&store).await;
    let keyed = |name: &str, payload| NewTask {
        concurrency: Some(Concurrency { key: "one".into(), limit: 1 }),
        ..task(name, payload)
    };
    let mut again = task("again", json!({"ms": 3_500, "fail": 1}));
    again.spec.retries.most_attempts = 2;
    let tasks =
        a.submit(vec![keyed("first", json!({"ms": 4_000})), again, task("stopped", json!({"ms": 60_000}))]).await;
    for begun in &tasks {
        a.until(&begun.id, |task| task.state == State::Running).await;
    }
    hand_lead(&a, "b").await;
    let here = a.submit(vec![task("here", json!({})), keyed("second", json!({}))]).await;
    assert_eq!(a.finished(&here[0].id).await.node.as_deref(), Some("b"));
    // Told at the one that decides, to the one that runs it.
    b.scheduler.cancel_task(&b.grant("update", "default"), &tasks[2].id).await.unwrap();

    let first = b.finished(&tasks[0].id).await;
    assert_eq!((first.state, first.attempt, first.node.as_deref()), (State::Succeeded, 1, Some("a")));
    let again = b.finished(&tasks[1].id).await;
    assert_eq!((again.state, again.attempt, again.node.as_deref()), (State::Failed, 2, Some("b")));
    assert_eq!((a.seen.attempts("again"), b.seen.attempts("again")), (1, 1));
    let second = b.finished(&here[1].id).await;
    assert!(second.started_at >= first.finished_at, "limits count what runs elsewhere: {second:?}");
    assert_eq!(b.finished(&tasks[2].id).await.state, State::Cancelled);
    a.stop().await;

    // A machine that is heard no more loses what it runs, whoever decides.
    let lost = b.submit(vec![NewTask { priority: 1, ..task("lost", json!({"ms": 60_000})) }]).await;
    b.until(&lost[0].id, |task| task.state == State::Running).await;
    let elsewhere = "UPDATE tasks SET node = 'gone' WHERE state = 2";
    b.db.write(move |tx| Box::pin(async move { tx.execute(elsewhere, vec![]).await })).await.unwrap();
    let lost = b.finished(&lost[0].id).await;
    assert_eq!((lost.state, lost.reason.as_str()), (State::Failed, "Lost"));
    b.stop().await;
}

pub(crate) async fn who_stops_hands_the_lead_over(store: Store) {
    let (a, b) = two(&store).await;
    a.stop().await;
    let lease = b.db.fetch("SELECT until, holder FROM scheduler", vec![]).await.unwrap();
    let (until, holder) = (lease[0].int(0).unwrap(), lease[0].text(1).unwrap());
    assert!(until == 0 || holder.starts_with("b/"), "b must wait for the lease of {holder} to end at {until}");
    let tasks = b.submit(vec![task("after", json!({}))]).await;
    b.finished(&tasks[0].id).await;
    b.stop().await;
}
