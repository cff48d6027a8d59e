//! Routes of the dialect.

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::handler::Handler;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, any, delete, get, patch, post, put};
use mcplane_objects::http::{Route, Routes};

use super::Door;
use super::answer::{merged, no_such_method, no_such_path};
use super::call::workspace;
use crate::scope::Noun;

/// What a role must allow for a route.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access {
    pub(crate) verb: &'static str,
    pub(crate) noun: Noun,
}

impl Noun {
    /// Access by `verb`.
    pub(crate) const fn to(self, verb: &'static str) -> Access {
        Access { verb, noun: self }
    }
}

/// The routes that a handler may ask.
#[derive(Debug, Clone)]
pub(crate) struct Inner(pub(crate) Router);

/// Paths under which everything is served: that of clients, and that of the pages.
const PREFIXES: [&str; 2] = ["/api", "/ajax-api"];

/// Gathers routes. Paths are without the prefix: `2.0/mlflow/runs/get`.
#[derive(Debug, Default)]
pub(crate) struct Dialect {
    router: Router<Door>,
    list: Vec<Route>,
}

macro_rules! methods {
    ($($name:ident $method:literal),*) => {$(
        pub(crate) fn $name<H: Handler<T, Door>, T: 'static>(self, path: &str, access: Access, handler: H) -> Self {
            self.under_prefixes(path, $method, $name(handler).layer(Extension(access)))
        }
    )*};
}

impl Dialect {
    methods!(get "GET", post "POST", put "PUT", patch "PATCH", delete "DELETE");

    fn under_prefixes(mut self, path: &str, method: &'static str, handlers: MethodRouter<Door>) -> Self {
        for prefix in PREFIXES {
            self = self.add(format!("{prefix}/{path}"), method, handlers.clone());
        }
        self
    }

    /// A route outside the prefixes, such as `/get-artifact`.
    pub(crate) fn plain<H: Handler<T, Door>, T: 'static>(self, path: &str, access: Access, handler: H) -> Self {
        self.add(path.to_owned(), "GET", get(handler).layer(Extension(access)))
    }

    /// A `POST` outside the prefixes.
    pub(crate) fn plain_post<H: Handler<T, Door>, T: 'static>(self, path: &str, access: Access, handler: H) -> Self {
        self.add(path.to_owned(), "POST", post(handler).layer(Extension(access)))
    }

    /// A `GET` that tells nothing of anybody's and that everybody may have.
    pub(crate) fn open<H: Handler<T, Door>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.add(path.to_owned(), "GET", get(handler))
    }

    /// A route outside the prefixes whose handler asks those that are there already.
    pub(crate) fn over<H, T: 'static>(mut self, path: &str, access: Access, door: &Door, handler: H) -> Self
    where
        H: Handler<T, Door>,
    {
        let inner = Inner(self.router.clone().with_state(door.clone()));
        let handlers: MethodRouter<Door> = get(handler.clone()).post(handler).layer(Extension(access));
        let handlers: MethodRouter<Door> = handlers.layer(Extension(inner));
        self.list.push(Route::new("POST", path.to_owned()));
        self.add(path.to_owned(), "GET", handlers)
    }

    fn add(mut self, path: String, method: &'static str, handlers: MethodRouter<Door>) -> Self {
        self.router = self.router.route(&path, handlers);
        self.list.push(Route::new(method, path));
        self
    }

    pub(crate) fn into_routes(self, door: Door) -> Routes {
        let Self { router, list } = self;
        let router = router.layer(from_fn_with_state(door.clone(), count));
        let mut router = router.method_not_allowed_fallback(no_such_method);
        // Clients of this dialect tell a missing route from a missing thing by the page that they know.
        for path in ["/api/2.0/{*rest}", "/api/3.0/{*rest}", "/ajax-api/{*rest}", "/api/2.0mlflow/{*rest}"] {
            router = router.route(path, any(no_such_path));
        }
        // Clients join an address and one of these paths with a slash too many.
        for path in ["//get-artifact", "//model-versions/get-artifact"] {
            router = router.route(path, any(merged));
        }
        Routes::from_router(router, list).with_state(door)
    }
}

/// Counts a request while it is under way, so that nothing is cleared away under its hands.
async fn count(State(door): State<Door>, request: Request, next: Next) -> Response {
    let passage =
        workspace(request.uri().path(), request.headers()).ok().map(|name| door.tracking.passages.enter(name));
    let response = next.run(request).await;
    drop(passage);
    response
}
