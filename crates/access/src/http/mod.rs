//! The routes beside the object API: logging in, and reading the audit log.

mod audit;
mod login;

use std::sync::Arc;

use axum::Router;
use axum::extract::Extension;
use axum::routing::{get, post};
use mcplane_core::{Authorizer, Caller, Context, TraceId};
use mcplane_db::Db;

use crate::users::Logins;

/// What the routes need.
#[derive(Clone)]
pub(crate) struct Routes {
    pub(crate) db: Db,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) logins: Arc<Logins>,
}

pub(crate) fn router(routes: Routes) -> Router {
    Router::new().route("/auth/login", post(login::login)).route("/audit", get(audit::list)).with_state(routes)
}

/// The context of a request; nobody's where authentication did not run.
fn context(extension: Option<Extension<Arc<Context>>>) -> Arc<Context> {
    let nobody = || Context { caller: Caller::anonymous(), trace: TraceId::random(), source: String::new() };
    extension.map_or_else(|| Arc::new(nobody()), |Extension(context)| context)
}
