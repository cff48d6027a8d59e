//! A router that knows what it routes, so that a test can walk all of it: a handler can't be added without its route.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, FromRequestParts, Path, Request, State};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use mcplane_core::{Attributes, Authorizer, Context, Error, authz};
use mcplane_db::Db;
use serde::de::DeserializeOwned;

use super::Failure;
use crate::audit::record_failure;

/// A method and a path that are answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// HTTP method.
    pub method: &'static str,
    /// Path with `{namespace}` and `{name}` for what varies.
    pub path: String,
}

impl Route {
    /// A route.
    pub fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self { method, path: path.into() }
    }
}

/// A router and the list of its routes.
#[derive(Debug, Clone)]
pub struct Routes<S = ()> {
    router: Router<S>,
    list: Vec<Route>,
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self { router: Router::new(), list: Vec::new() }
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// Answers `GET`.
    #[must_use]
    pub fn get<H: Handler<T, S>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.family(path, get(handler), [Route::new("GET", path)])
    }

    /// Answers `POST`.
    #[must_use]
    pub fn post<H: Handler<T, S>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.family(path, post(handler), [Route::new("POST", path)])
    }

    /// Answers what `pattern` matches; `members` are the routes that it stands for.
    #[must_use]
    pub fn family(
        mut self,
        pattern: &str,
        handlers: MethodRouter<S>,
        members: impl IntoIterator<Item = Route>,
    ) -> Self {
        self.router = self.router.route(pattern, handlers);
        self.list.extend(members);
        self
    }

    /// Has `guard` decide on requests to the routes so far, by their paths.
    #[must_use]
    pub fn guarded(mut self, guard: PathGuard) -> Self {
        self.router = self.router.layer(from_fn_with_state(guard, ask));
        self
    }

    /// The routes of both.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.list.extend(other.list);
        self
    }

    /// A router made elsewhere, with what it routes.
    pub fn from_router(router: Router<S>, list: Vec<Route>) -> Self {
        Self { router, list }
    }

    /// Gives handlers their state.
    pub fn with_state<S2>(self, state: S) -> Routes<S2> {
        Routes { router: self.router.with_state(state), list: self.list }
    }

    /// All routes.
    pub fn list(&self) -> &[Route] {
        &self.list
    }

    /// The router.
    pub fn into_router(self) -> Router<S> {
        self.router
    }
}

/// Decides on paths outside the resources.
#[derive(Debug, Clone)]
pub struct PathGuard {
    /// Who decides.
    pub authorizer: Arc<dyn Authorizer>,
    /// Where refusals are recorded.
    pub db: Db,
}

async fn ask(
    State(guard): State<PathGuard>,
    context: Option<Extension<Arc<Context>>>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let context = super::context(context);
    let verb = match request.method().as_str() {
        "HEAD" => "get".to_owned(),
        method => method.to_ascii_lowercase(),
    };
    let attributes = Attributes::path(verb, request.uri().path());
    if let Err(error) = authz::authorize(&*guard.authorizer, &context, attributes.clone()) {
        record_failure(&guard.db, &context, &attributes, &error).await?;
        return Err(error.into());
    }
    Ok(next.run(request).await)
}

/// What varies in a path, as [`Path`] gives it; what is no text leads nowhere.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(found)) => Ok(Self(found)),
            Err(_) => Err(Error::NoSuchPath.into()),
        }
    }
}
