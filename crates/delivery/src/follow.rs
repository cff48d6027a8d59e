//! Objects of a kind, held in memory as they change.

use std::sync::Arc;

use futures::StreamExt as _;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::reflector::store::{Store, Writer};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use tokio::sync::Notify;

/// A kind for a client.
pub(crate) fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// Follows all objects of a kind for as long as the second value is polled; `moved` is told of each change.
pub(crate) fn follow(
    client: &kube::Client,
    kind: ApiResource,
    moved: Arc<Notify>,
) -> (Store<DynamicObject>, impl Future<Output = ()> + use<>) {
    let writer = Writer::new(kind.clone());
    let store = writer.as_reader();
    let objects = Api::<DynamicObject>::all_with(client.clone(), &kind);
    let changes = reflector(writer, watcher(objects, watcher::Config::default())).default_backoff().boxed();
    let following = changes.for_each(move |event| {
        match event {
            Ok(_) => moved.notify_one(),
            Err(error) => tracing::debug!(%error, "objects could not be followed; it will be tried again"),
        }
        futures::future::ready(())
    });
    (store, following)
}
