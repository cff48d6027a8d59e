//! The door: `/delivery/v1/namespaces/{namespace}/…`, in JSON, with errors as Kubernetes' `Status`.
//!
//! A route names the verb and the resource that roles speak of, so that none can be added without saying who may use it; the
//! caller is checked before anything of the request is read.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Extension, FromRequest, FromRequestParts, Request};
use axum::handler::Handler;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use mcplane_core::{Authorizer, Caller, Context, Error, Grant, Result, TraceId, authz};
use mcplane_db::Db;
use mcplane_objects::audit::record_failure;
use mcplane_objects::http::{Failure, Route, Routes};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::monitors::Monitors;
use crate::rollouts::service::Rollouts;
use crate::{monitors, rollouts, scope};

const NAMESPACES: &str = "/delivery/v1/namespaces/";

/// What the door needs.
#[derive(Debug, Clone)]
pub struct Door {
    /// Rollouts.
    pub rollouts: Arc<Rollouts>,
    /// Monitors, and the labels that they take.
    pub monitors: Arc<Monitors>,
    /// Who decides.
    pub authorizer: Arc<dyn Authorizer>,
    /// Where refusals are recorded.
    pub db: Db,
}

/// What a role must allow for a route.
#[derive(Debug, Clone, Copy)]
struct Access {
    verb: &'static str,
    resource: &'static str,
}

/// All routes.
pub fn routes(door: Door) -> Routes {
    let Paths(routes) = monitors::http::routes(rollouts::http::routes(Paths(Routes::default())));
    routes.with_state(door)
}

/// Routes below a namespace that are being gathered.
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
        let path = format!("{NAMESPACES}{{namespace}}/{path}");
        let handlers: MethodRouter<Door> =
            if method == "GET" { axum::routing::get(handler) } else { axum::routing::post(handler) };
        let handlers = handlers.layer(Extension(Access { verb, resource }));
        Self(self.0.family(&path, handlers, [Route::new(method, path.as_str())]))
    }
}

/// A caller who may do what the route is for.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) delivery: Door,
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
        match authz::authorize(&*door.authorizer, &context, attributes.clone()) {
            Ok(grant) => Ok(Self { delivery: door.clone(), grant }),
            Err(error) => {
                record_failure(&door.db, &context, &attributes, &error).await?;
                Err(error.into())
            }
        }
    }
}

/// A JSON body of at most `MOST` bytes. It comes after [`Admitted`], so that nothing is read for those who may not.
#[derive(Debug)]
pub(crate) struct Body<T, const MOST: usize>(pub(crate) T);

impl<T: DeserializeOwned, const MOST: usize> FromRequest<Door> for Body<T, MOST> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &Door) -> Result<Self, Failure> {
        let too_large = |_| Error::TooLarge(format!("a request takes at most {MOST} bytes"));
        let body = to_bytes(request.into_body(), MOST).await.map_err(too_large)?;
        let body = serde_json::from_slice(&body).map_err(|error| Error::bad_request(error.to_string()))?;
        Ok(Self(body))
    }
}

/// A JSON answer.
pub(crate) type Answer = Result<Response, Failure>;

/// Answers with `body`.
pub(crate) fn reply(body: &impl Serialize) -> Answer {
    let text = serde_json::to_string(body).map_err(Error::internal)?;
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}
