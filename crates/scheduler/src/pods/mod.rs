//! Pods: each attempt of a task whose work is a pod, as an object of Kubernetes.
//!
//! The task is the truth, the pod is a view: [`show`] writes what changed to the row of the attempt and to the feed, in
//! the unit that changed the task. Clients may look at pods and delete them. Who deletes a pod wants its task
//! to end: the pod goes once the attempt is over, as after a graceful deletion of Kubernetes. `OnFailure` and `Never` mean
//! the same here, because a container is never started twice in one pod: each new attempt is a new pod.

mod kind;
mod log;
mod object;
mod projection;
mod storage;
mod types;

use std::sync::Arc;

use mcplane_db::Db;
use mcplane_objects::{Reading, RegisteredKind, Registry};

pub use kind::Pod;
pub use object::object;
pub use projection::{forget, identity, show, show_attempt};
pub use storage::PodStorage;
pub use types::{Attempt, Identity, Phase};

/// Adds the kind; gives its storage.
pub fn register(registry: &mut Registry, db: &Db) -> PodStorage {
    let storage = PodStorage::new(db);
    let log = Reading { name: "log", content_type: "text/plain", read: Arc::new(storage.clone()) };
    registry.add(RegisteredKind::new::<Pod>(Arc::new(storage.clone())).reading(log));
    storage
}

/// The collection of pods in the feed.
pub const PODS: &str = "pods";
