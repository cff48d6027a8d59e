//! kill -9 under concurrent writes, again and again on the same data: what was acknowledged is there, no revision is
//! given twice, and watches go on without gap or duplicate.

mod ledger;
mod tasks;
mod tracking;
mod watcher;
mod work;
mod writer;

use crate::kube_rs::connect;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use ledger::Ledger;
use mcplane_testkit::process::random_hex;
use mcplane_testkit::{Backend, Server, on_each_backend};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use watcher::Watcher;

on_each_backend!(acknowledged_writes_survive_kill_9);

const NAMESPACE: &str = "crash";
const WRITERS: usize = 16;
const WATCHERS: usize = 3;

/// Where the server is now; none while it is down. The port changes with every start.
type Connection = watch::Receiver<Option<Client>>;

fn acknowledged_writes_survive_kill_9(backend: Backend) {
    let rounds = std::env::var("MCPLANE_CRASH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(play(backend, rounds));
}

async fn play(backend: Backend, rounds: usize) {
    let mut server = Server::start(env!("CARGO_BIN_EXE_mcplane"), backend);
    let mut client = connect(&server.url(), NAMESPACE);
    let (connected, connection) = watch::channel(Some(client.clone()));
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}})).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();

    let ledger = Arc::new(Ledger::default());
    let start = maps(&client).list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut watchers: Vec<Watcher> =
        (0..WATCHERS).map(|_| Watcher::start(connection.clone(), &start, ledger.clone())).collect();
    for round in 1..=rounds {
        let before = ledger.counts();
        let began = Instant::now();
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| tokio::spawn(writer::write(writer, maps(&client), ledger.clone()))).collect();
        tokio::time::sleep(Duration::from_millis(100 + random_below(900))).await;
        server.kill_9();
        let lived = began.elapsed();
        connected.send_replace(None);
        for writer in writers {
            writer.await.expect("a writer saw what must not be");
        }

        server.restart();
        client = connect(&server.url(), NAMESPACE);
        connected.send_replace(Some(client.clone()));
        let found = maps(&client).list(&ListParams::default()).await.unwrap().items;
        ledger.settle(&found);
        let name = format!("marker-{round}");
        let marker: ConfigMap = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        let marker = maps(&client).create(&PostParams::default(), &marker).await.unwrap();
        ledger.acknowledge_marker(&marker);
        let truth: Vec<ConfigMap> = maps(&client).list(&ListParams::default()).await.unwrap().items;
        for watcher in &mut watchers {
            watcher.catch_up(revision(&marker)).await;
            watcher.agrees_with(&truth);
        }
        ledger.every_watcher_saw_all(WATCHERS);
        let (acknowledged, doubtful) = ledger.counts();
        println!(
            "{backend:?} round {round}: killed after {lived:?}, {} acknowledged, {} in doubt, ready again in {:?}",
            acknowledged - before.0,
            doubtful - before.1,
            server.ready_after(),
        );
    }
    let (acknowledged, _) = ledger.counts();
    assert!(acknowledged > rounds * WRITERS, "{acknowledged} writes in {rounds} rounds are too few to show anything");
}

fn maps(client: &Client) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), NAMESPACE)
}

fn revision(map: &ConfigMap) -> u64 {
    map.resource_version().and_then(|text| text.parse().ok()).expect("a revision is a number")
}

fn random_below(limit: u64) -> u64 {
    u64::from_str_radix(&random_hex(4), 16).unwrap_or(0) % limit
}
