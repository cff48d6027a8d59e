//! What the server is asked to do.

use crate::PAYLOAD;
use crate::client::{Protocol, Target};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Names are unique over the whole run.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Latencies of one load, in milliseconds, and how long it took.
pub(crate) struct Run {
    sorted_ms: Vec<f64>,
    time: Duration,
}

impl Run {
    pub(crate) fn count(&self) -> usize {
        self.sorted_ms.len()
    }

    pub(crate) fn rate(&self) -> f64 {
        self.count() as f64 / self.time.as_secs_f64()
    }

    pub(crate) fn percentile_ms(&self, percent: f64) -> f64 {
        let at = (self.count() as f64 * percent / 100.0) as usize;
        self.sorted_ms[at.min(self.count() - 1)]
    }
}

pub(crate) async fn namespace(target: &Target, name: &str) {
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    target.connect(Protocol::Http1).await.post("/api/v1/namespaces", &body).await;
}

fn config_map() -> Bytes {
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let filler = "x".repeat(PAYLOAD);
    Bytes::from(format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"c-{n:08}"}},"data":{{"v":"{filler}"}}}}"#
    ))
}

/// Closed loop: each client has one connection and one request at a time.
pub(crate) async fn creates(target: &Target, protocol: Protocol, clients: usize, time: Duration) -> Run {
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(target.connect(protocol).await);
    }
    let began = Instant::now();
    let tasks: Vec<_> = connections
        .into_iter()
        .map(|mut connection| {
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while began.elapsed() < time {
                    let (sent, path) = (Instant::now(), "/api/v1/namespaces/load/configmaps");
                    connection.call(Method::POST, path, "application/json", config_map()).await;
                    latencies.push(sent.elapsed().as_secs_f64() * 1e3);
                }
                latencies
            })
        })
        .collect();
    let mut sorted_ms = Vec::new();
    for task in tasks {
        sorted_ms.extend(task.await.expect("client"));
    }
    sorted_ms.sort_by(f64::total_cmp);
    Run { sorted_ms, time: began.elapsed() }
}

/// Makes `count` objects as fast as it goes.
pub(crate) async fn fill(target: &Target, namespace: &str, count: usize) {
    let left = Arc::new(AtomicUsize::new(count));
    let mut tasks = Vec::new();
    for _ in 0..64 {
        let (mut connection, left) = (target.connect(Protocol::Http1).await, left.clone());
        let path = format!("/api/v1/namespaces/{namespace}/configmaps");
        tasks.push(tokio::spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                connection.call(Method::POST, &path, "application/json", config_map()).await;
            }
        }));
    }
    for task in tasks {
        task.await.expect("client");
    }
}

/// Bytes and median seconds of a list, of which the first is checked to be whole.
pub(crate) async fn list(target: &Target, path: &str, at_least: usize) -> (usize, f64) {
    let mut connection = target.connect(Protocol::Http1).await;
    let mut times = Vec::new();
    let mut bytes = Bytes::new();
    for _ in 0..7 {
        let began = Instant::now();
        bytes = connection.call(Method::GET, path, "application/json", Bytes::new()).await;
        times.push(began.elapsed().as_secs_f64());
    }
    let list: Value = serde_json::from_slice(&bytes).expect("JSON");
    let items = list["items"].as_array().map_or(0, Vec::len);
    assert!(items >= at_least, "the list has only {items} items");
    times.sort_by(f64::total_cmp);
    (bytes.len(), times[times.len() / 2])
}

/// Sorted milliseconds from sending a change to its arrival at the last of `watchers`.
pub(crate) async fn fan_out(target: &Target, namespace: &str, watchers: usize, changes: usize) -> Vec<f64> {
    const PER_CONNECTION: usize = 50;
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    let mut writer = target.connect(Protocol::Http1).await;
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}});
    let made = writer.post(&path, &object).await;
    let revision = made["metadata"]["resourceVersion"].as_str().expect("a revision");
    let watch = format!("{path}?watch=1&resourceVersion={revision}");
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    for _ in 0..watchers / PER_CONNECTION {
        let mut connection = target.connect(Protocol::Http2).await;
        for _ in 0..PER_CONNECTION {
            let answer = connection.send(Method::GET, &watch, "application/json", Bytes::new()).await;
            assert!(answer.status().is_success(), "{}", answer.status());
            let (mut body, arrived) = (answer.into_body(), arrived.clone());
            tokio::spawn(async move {
                while let Some(Ok(frame)) = body.frame().await {
                    let events = frame.data_ref().map_or(0, |data| data.iter().filter(|byte| **byte == b'\n').count());
                    for _ in 0..events {
                        arrived.send(Instant::now()).ok();
                    }
                }
            });
        }
    }
    let mut delays = Vec::new();
    for change in 0..changes {
        let patch = Bytes::from(json!({"data": {"n": change.to_string()}}).to_string());
        let sent = Instant::now();
        writer.call(Method::PATCH, &format!("{path}/one"), "application/merge-patch+json", patch).await;
        let mut last = sent;
        for _ in 0..watchers {
            let arrival = tokio::time::timeout(Duration::from_secs(30), arrivals.recv()).await;
            last = last.max(arrival.expect("every watcher sees every change").expect("watchers"));
        }
        delays.push((last - sent).as_secs_f64() * 1e3);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    delays.sort_by(f64::total_cmp);
    delays
}
