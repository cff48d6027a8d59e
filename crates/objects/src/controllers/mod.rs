//! Controllers: what keeps the objects true to each other. They are clients like any other, by kube-rs, only that their
//! requests take no socket; so the same code can run beside a real cluster.

mod client;
mod events;
mod garbage_collector;
mod namespaces;
mod quotas;

use std::sync::Arc;

use kube::Client;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use client::in_process;

use crate::service::Objects;

/// Starts all controllers of this crate; they end when `stopping` is cancelled.
pub fn start(objects: &Arc<Objects>, client: &Client, stopping: &CancellationToken, tasks: &TaskTracker) {
    let resources = client::resources(objects.registry());
    tasks.spawn(garbage_collector::run(client.clone(), resources.clone(), stopping.clone()));
    tasks.spawn(namespaces::run(client.clone(), resources, stopping.clone()));
    tasks.spawn(quotas::run(client.clone(), Arc::clone(objects), stopping.clone()));
    tasks.spawn(stopping.clone().run_until_cancelled_owned(events::run(client.clone())));
}
