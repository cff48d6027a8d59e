//! The Kubernetes door: paths, parameters and representations on one side, the engine on the other. It holds no rule of
//! its own.

mod body;
mod discovery;
mod list;
pub mod namespaced;
mod openapi;
mod openapi_v2;
mod params;
mod path;
mod represent;
mod resource;
mod routes;
pub mod status;
mod stream;
mod table;

use std::sync::Arc;

use axum::extract::Extension;
use axum::http::request::Parts;
use axum::routing::{any, get};
use mcplane_core::{Authorizer, Caller, Context, TraceId};
use tokio_util::sync::CancellationToken;

pub use routes::{PathGuard, Route, Routes};
pub use status::Failure;
pub use table::{AGE, age};

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
pub fn routes(door: Door) -> Routes {
    let registry = door.objects.registry();
    let of = |paths: Vec<String>| paths.into_iter().map(|path| Route::new("GET", path));
    let [core, groups, versions] = discovery::paths(registry);
    let documents = Routes::default()
        .get("/api", discovery::legacy_root)
        .get("/apis", discovery::groups)
        .family("/api/{version}", get(discovery::legacy_version), of(core))
        .family("/apis/{group}", get(discovery::group), of(groups))
        .family("/apis/{group}/{version}", get(discovery::version), of(versions))
        .get("/openapi/v2", openapi_v2::document)
        .get("/openapi/v3", openapi::index)
        .family("/openapi/v3/{*path}", get(openapi::document), of(openapi::paths(registry)))
        .guarded(PathGuard { authorizer: Arc::clone(&door.authorizer), db: door.objects.db().clone() });
    let (legacy, grouped): (Vec<Route>, Vec<Route>) =
        resource::routes(registry).into_iter().partition(|route| route.path.starts_with("/api/"));
    Routes::default()
        .family("/api/{version}/{*rest}", any(resource::handle), legacy)
        .family("/apis/{group}/{version}/{*rest}", any(resource::handle), grouped)
        .merge(documents)
        .with_state(door)
}

/// The context of a request, in its extensions.
pub fn context_of(parts: &Parts) -> Arc<Context> {
    context(parts.extensions.get().cloned().map(Extension))
}

/// The context of a request.
pub(crate) fn context(extension: Option<Extension<Arc<Context>>>) -> Arc<Context> {
    extension.map_or_else(
        || Arc::new(Context { caller: Caller::anonymous(), trace: TraceId::random(), source: String::new() }),
        |Extension(context)| context,
    )
}
