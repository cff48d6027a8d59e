//! The Kubernetes door: paths, parameters and representations on one side, the engine on the other. It holds no rule of
//! its own.

mod body;
mod discovery;
mod openapi;
mod params;
mod path;
mod represent;
mod resource;
pub mod status;
mod stream;
mod table;

use std::sync::Arc;

use axum::Router;
use axum::extract::Extension;
use axum::routing::{any, get};
use mcplane_core::{Authorizer, Caller, Context, TraceId};
use tokio_util::sync::CancellationToken;

pub use status::Failure;
pub use table::AGE;

use crate::service::Objects;

/// What the door needs.
#[derive(Debug, Clone)]
pub struct Door {
    /// The engine.
    pub objects: Arc<Objects>,
    /// Who decides.
    pub authorizer: Arc<dyn Authorizer>,
    /// Largest request body, in bytes.
    pub max_body: usize,
    /// Cancelled when the server stops; watches end then.
    pub stopping: CancellationToken,
}

/// Routes of the object API. Requests carry their [`Context`] as an extension; without one they are anonymous.
pub fn router(door: Door) -> Router {
    Router::new()
        .route("/api", get(discovery::legacy_root))
        .route("/apis", get(discovery::groups))
        .route("/api/{version}", get(discovery::legacy_version))
        .route("/apis/{group}", get(discovery::group))
        .route("/apis/{group}/{version}", get(discovery::version))
        .route("/api/{version}/{*rest}", any(resource::legacy))
        .route("/apis/{group}/{version}/{*rest}", any(resource::grouped))
        .route("/openapi/v3", get(openapi::index))
        .route("/openapi/v3/{*path}", get(openapi::document))
        .with_state(door)
}

/// The context of a request.
pub(crate) fn context(extension: Option<Extension<Arc<Context>>>) -> Arc<Context> {
    extension.map_or_else(
        || Arc::new(Context { caller: Caller::anonymous(), trace: TraceId::random(), source: String::new() }),
        |Extension(context)| context,
    )
}

/// A method and path that the door answers, for tests that walk all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// HTTP method.
    pub method: &'static str,
    /// Path with `{namespace}` and `{name}` for what varies.
    pub path: String,
}

/// Every method and path that [`router`] answers.
pub fn routes(objects: &Objects) -> Vec<Route> {
    let mut routes: Vec<Route> = discovery::paths(objects.registry())
        .into_iter()
        .chain(openapi::paths(objects.registry()))
        .map(|path| Route { method: "GET", path })
        .collect();
    for kind in objects.registry().kinds() {
        for version in kind.versions {
            routes.extend(resource::routes_of(kind, version));
        }
    }
    for action in objects.registry().virtual_actions() {
        let prefix = discovery::prefix(action.path_group, action.path_version);
        let namespace = if action.namespaced { "/namespaces/{namespace}" } else { "" };
        routes.push(Route { method: "POST", path: format!("{prefix}{namespace}/{}", action.name) });
    }
    routes
}
