//! Faults of what surrounds the engine: a transport that delivers twice, a clock that is set.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::Method;
use futures::future::BoxFuture;
use mcplane_core::{Result, Timestamp};
use mcplane_objects::controllers;
use mcplane_scheduler::cronjobs;
use mcplane_scheduler::tasks::{NewTask, State};
use mcplane_scheduler::transport::{Delivery, Leased, SqlTransport, Transport};
use serde_json::{Value, json};

use crate::rig::{Api, Store, task};

const HOUR: i64 = 3_600_000;

/// Delivers everything twice at once, and brings back what was acknowledged long ago with each new delivery.
#[derive(Debug)]
struct Twice {
    carrier: SqlTransport,
    delivered: Mutex<Vec<Leased>>,
}

impl Transport for Twice {
    fn publish(&self, deliveries: Vec<Delivery>) -> BoxFuture<'_, Result<()>> {
        self.carrier.publish(deliveries)
    }

    fn lease<'a>(
        &'a self,
        node: &'a str,
        holder: &'a str,
        most: usize,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Leased>>> {
        Box::pin(async move {
            let new = self.carrier.lease(node, holder, most, until).await?;
            let mut delivered = self.delivered.lock().unwrap();
            let again = [delivered.clone(), new.clone(), new.clone()].concat();
            delivered.extend(new);
            Ok(again)
        })
    }

    fn ack(&self, receipts: Vec<i64>) -> BoxFuture<'_, Result<()>> {
        self.carrier.ack(receipts)
    }

    fn redeliver(&self, now: Timestamp) -> BoxFuture<'_, Result<u64>> {
        self.carrier.redeliver(now)
    }

    fn recover(&self) -> BoxFuture<'_, Result<Vec<Delivery>>> {
        self.carrier.recover()
    }

    fn withdraw(&self, tasks: Vec<i64>) -> BoxFuture<'_, Result<()>> {
        self.carrier.withdraw(tasks)
    }
}

pub(crate) async fn what_is_delivered_twice_runs_once(store: Store) {
    let twice = |db: &_| Arc::new(Twice { carrier: SqlTransport::new(db), delivered: Mutex::default() }) as _;
    let api = store.start_on("node", twice).await;
    let new = (0..60).map(|n| {
        let mut new = task(&format!("t{n}"), json!({"ms": n % 7, "fail": n % 3}));
        new.spec.retries.most_attempts = 3;
        new
    });
    let tasks = api.submit(new.collect()).await;
    for (n, task) in tasks.iter().enumerate() {
        let done = api.finished(&task.id).await;
        let attempts = n % 3 + 1;
        assert_eq!((done.state, done.attempt), (State::Succeeded, attempts as i64), "{done:?}");
        assert_eq!(api.seen.attempts(&task.name), attempts, "{}", task.name);
    }
    let more = api.submit(vec![task("more", json!({}))]).await;
    api.finished(&more[0].id).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let begun: usize = tasks.iter().map(|task| api.seen.attempts(&task.name)).sum();
    assert_eq!(begun, 60 + 20 + 40, "nothing that is over begins again");
    let left = api.db.fetch("SELECT count(*) FROM deliveries", vec![]).await.unwrap()[0].int(0).unwrap();
    assert_eq!(left, 0, "everything is acknowledged");
}

/// What is due in so many milliseconds by the clock as it is now.
fn due(api: &Api, name: &str, ms: i64) -> NewTask {
    NewTask { due_at: Some(api.db.clock().now() + ms), ..task(name, json!({})) }
}

pub(crate) async fn a_set_clock_starts_nothing_early_or_twice(store: Store) {
    let api = store.start().await;
    let waits = [due(&api, "half", HOUR / 2), due(&api, "hour", HOUR + 30_000), due(&api, "two", 2 * HOUR)];
    let tasks = api.submit(waits.to_vec()).await;
    let [half, hour, two] = [0, 1, 2].map(|at| tasks[at].id.clone());

    // An hour forward: what is due by the new time starts, within the engine's longest sleep; the rest does not.
    store.clock.set_by(HOUR);
    let done = api.finished(&half).await;
    assert!(done.started_at.unwrap() >= done.due_at);
    assert_eq!(api.task(&two).await.state, State::Waiting);

    // Back again: what fired stays fired, and what is due by the old time has an hour to go again.
    store.clock.set_by(-HOUR);
    let began = Instant::now();
    let soon = api.submit(vec![due(&api, "soon", 300)]).await;
    let done = api.finished(&soon[0].id).await;
    assert!(began.elapsed() >= Duration::from_millis(295), "by any clock: {:?}", began.elapsed());
    assert!(done.started_at.unwrap() >= done.due_at);
    let now = api.submit(vec![task("now", json!({}))]).await;
    api.finished(&now[0].id).await;
    assert_eq!(api.task(&hour).await.state, State::Waiting);
    for (name, times) in [("half", 1), ("hour", 0), ("two", 0), ("soon", 1), ("now", 1)] {
        assert_eq!(api.seen.attempts(name), times, "{name}");
    }

    // A server that starts now knows no more than the rows and the clock.
    api.stop().await;
    store.clock.set_by(HOUR + 40_000);
    let api = store.start().await;
    api.finished(&hour).await;
    assert_eq!((api.seen.attempts("half"), api.seen.attempts("hour"), api.seen.attempts("two")), (0, 1, 0));
    assert_eq!(api.task(&two).await.state, State::Waiting);
    api.stop().await;
}

const CRONS: &str = "/apis/batch/v1/namespaces/default/cronjobs";

async fn jobs(api: &Api) -> Vec<String> {
    let (_, jobs) = api.call(Method::GET, "/apis/batch/v1/namespaces/default/jobs", None).await;
    let name = |job: &Value| job["metadata"]["name"].as_str().unwrap().to_owned();
    jobs["items"].as_array().unwrap().iter().map(name).collect()
}

/// Jobs that the cron job has made once it has looked at the time: it looks when it is touched.
async fn jobs_after(api: &Api, touch: usize, expected: usize) -> Vec<String> {
    let patch = json!({"metadata": {"annotations": {"touched": touch.to_string()}}});
    let (status, answer) = api.call(Method::PATCH, &format!("{CRONS}/hourly"), Some(&patch)).await;
    assert_eq!(status, 200, "{answer}");
    let began = Instant::now();
    while jobs(api).await.len() < expected {
        assert!(began.elapsed() < Duration::from_secs(20), "no job was made");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    let jobs = jobs(api).await;
    assert_eq!(jobs.len(), expected, "{jobs:?}");
    jobs
}

pub(crate) async fn a_set_clock_fires_a_cron_job_once(store: Store) {
    let api = store.start().await;
    // Half an hour from both ends of the hour, so that the test's own seconds don't matter.
    store.clock.set_by(HOUR + HOUR / 2 - api.db.clock().now() % HOUR);
    let client = controllers::in_process(api.router.clone(), "cron");
    let clock = Arc::clone(api.db.clock());
    api.tasks.spawn(cronjobs::run(client, clock, api.stopping.clone()));
    let container = json!({"name": "main", "image": "shell", "command": ["true"]});
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [container]}});
    let cron = json!({
        "metadata": {"name": "hourly"},
        "spec": {"schedule": "0 * * * *", "jobTemplate": {"spec": {"template": template}}},
    });
    let (status, answer) = api.call(Method::POST, CRONS, Some(&cron)).await;
    assert_eq!(status, 201, "{answer}");
    jobs_after(&api, 0, 0).await;

    store.clock.set_by(HOUR);
    let first = jobs_after(&api, 1, 1).await;
    store.clock.set_by(-HOUR);
    assert_eq!(jobs_after(&api, 2, 1).await, first);
    store.clock.set_by(HOUR);
    assert_eq!(jobs_after(&api, 3, 1).await, first, "an hour that comes again is not another");
    // Several were missed: one is made up for.
    store.clock.set_by(5 * HOUR);
    jobs_after(&api, 4, 2).await;
    jobs_after(&api, 5, 2).await;
    api.stop().await;
}
