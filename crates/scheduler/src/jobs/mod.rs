//! Jobs of Kubernetes: so many pods that succeed.
//!
//! A job is an object; each pod of it is a task with one attempt, whose owner is `jobs.batch/UID`. The tasks are the ledger:
//! what a job's status says is counted from them, so they stay until the job goes, also when their pods were deleted. The
//! controller looks at both ([`decide`] is pure) and makes, ends and counts. It may crash anywhere: a pod is made by a key
//! that holds the job's uid, the index and how many pods the index had, so that it is made once.

mod conditions;
mod controller;
pub mod decide;
mod indexes;
pub(crate) mod kind;
mod make;
mod tasks;
pub(crate) mod template;

use std::sync::Arc;

use futures::future::BoxFuture;
use mcplane_core::Result;
use mcplane_objects::admission::{Admission, Request};
use mcplane_objects::object::ObjectExt as _;
use mcplane_objects::storage::Storage;
use mcplane_objects::{RegisteredKind, Registry};
use serde_json::{Value, json};

pub(crate) use conditions::{millis, time};
pub use controller::run;
pub use kind::Job;
pub use make::demand;

use crate::tasks::{NewTask, Task};

/// Tasks, as controllers use them.
pub trait Tasks: Send + Sync {
    /// All tasks of an owner, oldest first.
    fn of_owner<'a>(&'a self, owner: &'a str) -> BoxFuture<'a, Result<Vec<Task>>>;

    /// A task of a namespace, by its id.
    fn find<'a>(&'a self, namespace: &'a str, id: &'a str) -> BoxFuture<'a, Result<Option<Task>>>;

    /// All owners whose names begin so.
    fn owners<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Arc<str>>>>;

    /// Makes tasks, or finds those that have their keys.
    fn submit<'a>(&'a self, namespace: &'a str, new: Vec<NewTask>, trace: &'a str) -> BoxFuture<'a, Result<Vec<Task>>>;

    /// Ends tasks.
    fn cancel<'a>(&'a self, nos: Vec<i64>, by: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Forgets finished tasks and their pods.
    fn delete(&self, nos: Vec<i64>) -> BoxFuture<'_, Result<()>>;
}

/// The annotation of an object with the trace that it was made in.
pub(crate) const TRACE: &str = "mcplane.io/trace-id";

/// Adds the kind, which is kept in `storage`.
pub fn register(registry: &mut Registry, storage: Arc<dyn Storage>) {
    registry.add(RegisteredKind::new::<Job>(storage).admit(Arc::new(Traced)));
}

/// Notes the trace in which a job is made: its tasks belong to it.
#[derive(Debug)]
struct Traced;

impl Admission for Traced {
    fn admit<'a>(&'a self, request: Request<'a>, new: &'a mut Value) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if request.old.is_none() {
                let annotations = new.metadata_mut().entry("annotations").or_insert_with(|| json!({}));
                if let Some(annotations) = annotations.as_object_mut() {
                    annotations.entry(TRACE).or_insert_with(|| request.context.trace.to_string().into());
                }
            }
            Ok(())
        })
    }
}
