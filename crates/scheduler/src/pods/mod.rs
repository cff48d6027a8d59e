//! Pods: each attempt of a task whose work is a pod, as an object of Kubernetes.
//!
//! The task is the truth, the pod is a view: [`show`] writes what changed to the row of the attempt and to the feed, in
//! the unit that changed the task. Clients may look at pods and delete them. Who deletes a pod wants its task
//! to end: the pod goes once the attempt is over, as after a graceful deletion of Kubernetes. `OnFailure` and `Never` mean
//! the same here, because a container is never started twice in one pod: each new attempt is a new pod.

mod kind;
mod object;
mod projection;
mod storage;
mod types;

pub use kind::Pod;
pub use object::object;
pub use projection::{forget, show, show_attempt};
pub use storage::PodStorage;
pub use types::{Attempt, Identity, Phase};

/// The collection of pods in the feed.
pub const PODS: &str = "pods";
