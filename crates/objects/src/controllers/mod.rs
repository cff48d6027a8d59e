//! Controllers: what keeps the objects true to each other. They are clients like any other, by kube-rs, only that their
//! requests take no socket; so the same code can run beside a real cluster.

mod client;
mod events;
mod garbage_collector;
mod namespaces;
mod quotas;

use std::sync::Arc;

use futures::future::BoxFuture;
use kube::Client;
use mcplane_apimachinery::resources::ResourceList;
use mcplane_apimachinery::resources::quota::Quota;
use mcplane_core::Result;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use client::in_process;

use crate::service::Objects;

/// What namespaces hold besides objects. A namespace goes when all of it is gone, and its quotas show what it uses.
pub trait Content: Send + Sync {
    /// Deletes what a dying namespace holds, or a part of it; tells what is left, `None` if nothing is.
    fn empty<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, Result<Option<String>>>;

    /// What it uses of that to which a quota of the namespace applies, besides numbers of objects.
    fn used<'a>(&'a self, _namespace: &'a str, _quota: &'a Quota) -> BoxFuture<'a, Result<ResourceList>> {
        Box::pin(std::future::ready(Ok(ResourceList::new())))
    }
}

/// Starts all controllers of this crate; they end when `stopping` is cancelled.
pub fn start(
    objects: &Arc<Objects>,
    contents: Vec<Arc<dyn Content>>,
    client: &Client,
    stopping: &CancellationToken,
    tasks: &TaskTracker,
) {
    let resources = client::resources(objects.registry());
    tasks.spawn(garbage_collector::run(client.clone(), resources.clone(), stopping.clone()));
    tasks.spawn(namespaces::run(client.clone(), resources, contents.clone(), stopping.clone()));
    tasks.spawn(quotas::run(client.clone(), Arc::clone(objects), contents, stopping.clone()));
    tasks.spawn(stopping.clone().run_until_cancelled_owned(events::run(client.clone())));
}
