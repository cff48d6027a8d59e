//! The door of tasks: `/tasks/v1/namespaces/{namespace}/…`, and `/tasks/v1/…` over all namespaces.

use mcplane_core::Result;
use mcplane_db::Db;
use mcplane_objects::http::{Routes, namespaced};

use crate::scheduler::Scheduler;
use crate::{code, queues, scope, tasks};

/// How paths begin whose requests this crate limits itself.
pub const OWN_BODY_LIMITS: &[&str] = &["/tasks/v1/namespaces/"];
/// How paths begin whose bodies are files.
pub const STREAMS: &[&str] = &["/tasks/v1/namespaces/*/code"];
/// Largest JSON body: a batch of tasks.
pub(crate) const MOST_BYTES: usize = 32 << 20;

/// What the door needs.
pub type Door = namespaced::Door<Scheduler>;
pub(crate) type Paths = namespaced::Paths<Scheduler>;
pub(crate) type Admitted = namespaced::Admitted<Scheduler>;

impl namespaced::Service for Scheduler {
    const ROOT: &'static str = "/tasks/v1";
    const GROUP: &'static str = scope::GROUP;

    fn db(&self) -> &Db {
        &self.db
    }

    async fn require_namespace(&self, name: &str) -> Result<()> {
        Self::require_namespace(self, name)
    }
}

/// All routes.
pub fn routes(door: Door) -> Routes {
    code::http::routes(queues::http::routes(tasks::http::routes(Paths::default()))).into_routes(door)
}
