//! The door of tasks: `/tasks/v1/namespaces/{namespace}/…`, and `/tasks/v1/…` over all namespaces, in JSON, with errors as Kubernetes' `Status`.
//!
//! A route names the verb and the resource that roles speak of, so that none can be added without saying who may use it; the
//! caller is checked before anything of the request is read.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Extension, FromRequest, FromRequestParts, Request};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use mcplane_core::{Authorizer, Caller, Context, Error, Grant, Result, TraceId, authz};
use mcplane_objects::audit::record_failure;
use mcplane_objects::http::{Failure, Route, Routes};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::scheduler::Scheduler;
use crate::{code, queues, scope, tasks};

/// How paths of this door begin.
const ROOT: &str = "/tasks/v1/";
/// How paths begin that are about one namespace.
pub(crate) const NAMESPACES: &str = "/tasks/v1/namespaces/";
/// How paths begin whose requests this crate limits itself.
pub const OWN_BODY_LIMITS: &[&str] = &[NAMESPACES];
/// How paths begin whose bodies are files.
pub const STREAMS: &[&str] = &["/tasks/v1/namespaces/*/code"];
/// Largest JSON body: a batch of tasks.
const MOST_BYTES: usize = 32 << 20;

/// What the door needs.
#[derive(Debug, Clone)]
pub struct Door {
    /// The services.
    pub scheduler: Arc<Scheduler>,
    /// Who decides.
    pub authorizer: Arc<dyn Authorizer>,
}

/// What a role must allow for a route.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access {
    pub(crate) verb: &'static str,
    pub(crate) resource: &'static str,
}

/// All routes.
pub fn routes(door: Door) -> Routes {
    let paths = Paths(Routes::default());
    let Paths(routes) = code::http::routes(queues::http::routes(tasks::http::routes(paths)));
    routes.with_state(door)
}

/// Routes that are being gathered.
pub(crate) struct Paths(Routes<Door>);

impl Paths {
    /// `method` at `path`, below the namespace, for those who may `verb` the `resource`.
    pub(crate) fn on<H: Handler<T, Door>, T: 'static>(
        self,
        method: &'static str,
        path: &str,
        (verb, resource): (&'static str, &'static str),
        handler: H,
    ) -> Self {
        self.at(method, &format!("{NAMESPACES}{{namespace}}/{path}"), (verb, resource), handler)
    }

    /// The same for those who may do it in all namespaces.
    pub(crate) fn on_all<H: Handler<T, Door>, T: 'static>(
        self,
        method: &'static str,
        path: &str,
        access: (&'static str, &'static str),
        handler: H,
    ) -> Self {
        self.at(method, &format!("{ROOT}{path}"), access, handler)
    }

    fn at<H: Handler<T, Door>, T: 'static>(
        self,
        method: &'static str,
        path: &str,
        (verb, resource): (&'static str, &'static str),
        handler: H,
    ) -> Self {
        let handlers: MethodRouter<Door> = match method {
            "GET" => axum::routing::get(handler),
            "PUT" => axum::routing::put(handler),
            "PATCH" => axum::routing::patch(handler),
            _ => axum::routing::post(handler),
        };
        let handlers = handlers.layer(Extension(Access { verb, resource }));
        Self(self.0.family(path, handlers, [Route::new(method, path)]))
    }
}

/// A caller who may do what the route is for, in a namespace that exists or in all.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) grant: Grant,
}

impl FromRequestParts<Door> for Admitted {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Failure> {
        let access = parts.extensions.get::<Access>().copied();
        let access = access.ok_or_else(|| Error::internal("a route without access"))?;
        let context = parts.extensions.get::<Arc<Context>>().cloned().unwrap_or_else(|| {
            Arc::new(Context { caller: Caller::anonymous(), trace: TraceId::random(), source: String::new() })
        });
        let mut rest = parts.uri.path().strip_prefix(NAMESPACES).unwrap_or_default().splitn(3, '/');
        let (namespace, name) = (rest.next().unwrap_or_default(), rest.nth(1).unwrap_or_default());
        let name = name.split('/').next().unwrap_or_default();
        let attributes = scope::attributes(access.verb, access.resource, namespace, name);
        let grant = match authz::authorize(&*door.authorizer, &context, attributes.clone()) {
            Ok(grant) => grant,
            Err(error) => {
                record_failure(&door.scheduler.db, &context, &attributes, &error).await?;
                return Err(error.into());
            }
        };
        if !namespace.is_empty() {
            door.scheduler.require_namespace(namespace)?;
        }
        Ok(Self { scheduler: Arc::clone(&door.scheduler), grant })
    }
}

/// An admitted request with its JSON body.
#[derive(Debug)]
pub(crate) struct Call<T> {
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) grant: Grant,
    pub(crate) body: T,
}

impl<T: DeserializeOwned> FromRequest<Door> for Call<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, door: &Door) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let Admitted { scheduler, grant } = Admitted::from_request_parts(&mut parts, door).await?;
        let too_large = |_| Error::TooLarge(format!("a request takes at most {MOST_BYTES} bytes"));
        let body = to_bytes(body, MOST_BYTES).await.map_err(too_large)?;
        let text: &[u8] = if body.is_empty() { b"{}" } else { &body };
        let body = serde_json::from_slice(text).map_err(|error| Error::bad_request(error.to_string()))?;
        Ok(Self { scheduler, grant, body })
    }
}

/// A JSON answer.
pub(crate) type Answer = Result<Response, Failure>;

/// Answers with `body`.
pub(crate) fn reply(body: &impl Serialize) -> Answer {
    let text = serde_json::to_string(body).map_err(Error::internal)?;
    Ok(([(axum::http::header::CONTENT_TYPE, "application/json")], text).into_response())
}
