//! The garbage collector: dependents go after, before or without their owner, as its deletion asked.
//!
//! It watches the metadata of every kind, keeps a graph of the objects that matter to it, and works through a queue of
//! uids. What the graph says is a hint, never a reason to delete: owners are looked up before anything goes. But that it
//! knows no dependents is a reason to let an owner go, so work begins when all kinds have been listed.

mod collect;
mod graph;
mod queue;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use kube::Client;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::collect::Collector;
use self::graph::{Graph, Node};
use self::queue::Queue;
use super::client::Resource;

pub(super) async fn run(client: Client, resources: Arc<[Resource]>, stopping: CancellationToken) {
    let graph = Arc::new(Mutex::new(Graph::default()));
    let queue = Arc::new(Queue::default());
    let collector = Collector::new(client.clone(), Arc::clone(&resources), Arc::clone(&graph));
    let watched: Vec<_> = resources.iter().enumerate().filter(|(_, resource)| resource.can("watch")).collect();
    let listed = Arc::new(Semaphore::new(0));
    let all = u32::try_from(watched.len()).unwrap_or(u32::MAX);
    let watches = watched.into_iter().map(|(index, resource)| {
        let events = watcher::watcher(resource.metadata(&client), watcher::Config::default());
        let (graph, queue, listed) = (Arc::clone(&graph), Arc::clone(&queue), Arc::clone(&listed));
        follow(index, resource.clone(), events.default_backoff(), graph, queue, listed)
    });
    let watches = futures::future::join_all(watches);
    let work = async {
        // The semaphore is never closed, and nobody else acquires.
        let _permits = listed.acquire_many(all).await;
        queue.work(|uid| collector.attend(uid)).await;
    };
    tokio::select! {
        () = stopping.cancelled() => {}
        _ = watches => {}
        () = work => {}
    }
}

type Metadata = kube::core::PartialObjectMeta<kube::api::DynamicObject>;

/// Keeps the graph true to one kind; adds a permit to `listed` when it is for the first time.
async fn follow(
    index: usize,
    resource: Resource,
    events: impl futures::Stream<Item = watcher::Result<watcher::Event<Metadata>>>,
    graph: Arc<Mutex<Graph>>,
    queue: Arc<Queue>,
    listed: Arc<Semaphore>,
) {
    let mut unlisted = Some(listed);
    let mut events = std::pin::pin!(events);
    let mut unseen = BTreeSet::new();
    while let Some(event) = events.next().await {
        let mut graph = graph.lock().unwrap_or_else(PoisonError::into_inner);
        let again = match event {
            Ok(watcher::Event::Apply(object)) => graph.put(Node::of(index, &object.metadata)),
            Ok(watcher::Event::Delete(object)) => graph.remove(object.metadata.uid.as_deref().unwrap_or("")),
            Ok(watcher::Event::Init) => {
                unseen = graph.of_resource(index);
                vec![]
            }
            Ok(watcher::Event::InitApply(object)) => {
                let node = Node::of(index, &object.metadata);
                unseen.remove(&node.uid);
                graph.put(node)
            }
            Ok(watcher::Event::InitDone) => {
                // Owners that went while nobody watched are found by looking at everything that names their kind.
                let mut again = graph.owned_by_kind(&resource.api.group, &resource.api.kind);
                for uid in std::mem::take(&mut unseen) {
                    again.extend(graph.remove(&uid));
                }
                if let Some(listed) = unlisted.take() {
                    listed.add_permits(1);
                }
                again
            }
            // Without a list of every kind nothing is collected.
            Err(error @ watcher::Error::InitialListFailed(_)) => {
                tracing::warn!(%error, kind = resource.api.kind, "a kind can't be listed for garbage collection");
                vec![]
            }
            Err(error) => {
                tracing::debug!(%error, kind = resource.api.kind, "a watch of the garbage collector will start anew");
                vec![]
            }
        };
        drop(graph);
        queue.add(again);
    }
}
