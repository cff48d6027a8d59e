//! The routes beside the object API: logging in, and reading the audit log.

mod audit;
mod login;

use std::sync::Arc;

use axum::extract::Extension;
use mcplane_core::{Authorizer, Caller, Context, TraceId};
use mcplane_db::Db;
use mcplane_objects::http::Routes;

use crate::users::Logins;

/// What the routes need.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) db: Db,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) logins: Arc<Logins>,
}

pub(crate) fn routes(door: Door) -> Routes {
    Routes::default().post("/auth/login", login::login).get("/audit", audit::list).with_state(door)
}

/// The context of a request; nobody's where authentication did not run.
fn context(extension: Option<Extension<Arc<Context>>>) -> Arc<Context> {
    let nobody = || Context { caller: Caller::anonymous(), trace: TraceId::random(), source: String::new() };
    extension.map_or_else(|| Arc::new(nobody()), |Extension(context)| context)
}
