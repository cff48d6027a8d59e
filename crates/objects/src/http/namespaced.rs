//! The door of what belongs to namespaces and is no object: `ROOT/namespaces/{namespace}/…`, in JSON, with errors as Kubernetes'
//! `Status`.
//!
//! A route names the verb and the resource that roles speak of, so that none can be added without saying who may use it. The
//! caller is checked before anything of the request is read, then the namespace; who may not is not told whether it is there.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Extension, FromRequest, FromRequestParts, Request};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, patch, post, put};
use mcplane_core::{Attributes, Authorizer, Error, Grant, Result, authz};
use mcplane_db::Db;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Failure, Route, Routes, context_of};
use crate::audit::record_failure;

/// What is behind a door.
pub trait Service: Send + Sync + 'static {
    /// How paths begin, without a slash at the end: `/tasks/v1`.
    const ROOT: &'static str;
    /// The API group of its resources, in the terms of roles.
    const GROUP: &'static str;

    /// Where refusals are recorded.
    fn db(&self) -> &Db;

    /// # Errors
    /// [`Error::NotFound`] for a namespace that is not there.
    fn require_namespace(&self, name: &str) -> impl Future<Output = Result<()>> + Send;
}

/// What the door needs.
#[derive(Debug)]
pub struct Door<S> {
    /// The services.
    pub service: Arc<S>,
    /// Who decides.
    pub authorizer: Arc<dyn Authorizer>,
}

impl<S> Clone for Door<S> {
    fn clone(&self) -> Self {
        Self { service: Arc::clone(&self.service), authorizer: Arc::clone(&self.authorizer) }
    }
}

/// What a role must allow for a route: a verb, and a resource of the service's group.
pub type Allowed = (&'static str, &'static str);

/// What a route carries to [`Admitted`].
#[derive(Debug, Clone, Copy)]
struct Access {
    verb: &'static str,
    resource: &'static str,
    /// Whether the route is about all namespaces.
    across: bool,
}

/// Routes that are being gathered.
#[derive(Debug)]
pub struct Paths<S: Service>(Routes<Door<S>>);

impl<S: Service> Default for Paths<S> {
    fn default() -> Self {
        Self(Routes::default())
    }
}

macro_rules! methods {
    ($($name:ident $method:literal),*) => {$(
        #[doc = concat!("`", $method, "` at `path`, below the namespace.")]
        #[must_use]
        pub fn $name<H: Handler<T, Door<S>>, T: 'static>(self, path: &str, allowed: Allowed, handler: H) -> Self {
            self.at($method, format!("{}/namespaces/{{namespace}}/{path}", S::ROOT), allowed, false, $name(handler))
        }
    )*};
}

impl<S: Service> Paths<S> {
    methods!(get "GET", post "POST", put "PUT", patch "PATCH");

    /// `GET` at `path`, below the root, for those who may do it in all namespaces.
    #[must_use]
    pub fn get_all<H: Handler<T, Door<S>>, T: 'static>(self, path: &str, allowed: Allowed, handler: H) -> Self {
        self.at("GET", format!("{}/{path}", S::ROOT), allowed, true, get(handler))
    }

    fn at(
        self,
        method: &'static str,
        path: String,
        (verb, resource): Allowed,
        across: bool,
        handlers: MethodRouter<Door<S>>,
    ) -> Self {
        let handlers = handlers.layer(Extension(Access { verb, resource, across }));
        Self(self.0.family(&path, handlers, [Route::new(method, path.as_str())]))
    }

    /// All of them, over the door.
    pub fn into_routes(self, door: Door<S>) -> Routes {
        self.0.with_state(door)
    }
}

/// A caller who may do what the route is for, in a namespace that exists or in all. The grant says which.
#[derive(Debug)]
pub struct Admitted<S> {
    /// The services.
    pub service: Arc<S>,
    /// What the caller may do.
    pub grant: Grant,
}

impl<S: Service> FromRequestParts<Door<S>> for Admitted<S> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, door: &Door<S>) -> Result<Self, Failure> {
        let access = parts.extensions.get::<Access>().copied();
        let Access { verb, resource, across } = access.ok_or_else(|| Error::internal("a route without access"))?;
        let context = context_of(parts);
        let (namespace, name) = if across { ("", "") } else { named(S::ROOT, parts.uri.path())? };
        let attributes = Attributes::resource(verb, S::GROUP, resource, namespace, name);
        let grant = match authz::authorize(&*door.authorizer, &context, attributes.clone()) {
            Ok(grant) => grant,
            Err(error) => {
                record_failure(door.service.db(), &context, &attributes, &error).await?;
                return Err(error.into());
            }
        };
        if !across {
            door.service.require_namespace(namespace).await?;
        }
        Ok(Self { service: Arc::clone(&door.service), grant })
    }
}

/// The namespace that a path is in, and the name of what it is about if it tells one.
fn named<'p>(root: &str, path: &'p str) -> Result<(&'p str, &'p str)> {
    let below = path.strip_prefix(root).and_then(|rest| rest.strip_prefix("/namespaces/")).unwrap_or_default();
    let mut parts = below.split('/');
    match (parts.next(), parts.nth(1)) {
        (Some(namespace), name) if !namespace.is_empty() => Ok((namespace, name.unwrap_or_default())),
        // A grant without a namespace would be one for all.
        _ => Err(Error::NoSuchPath),
    }
}

/// A JSON body of at most `MOST` bytes. It comes after [`Admitted`], so that nothing is read for those who may not.
#[derive(Debug)]
pub struct Body<T, const MOST: usize>(pub T);

impl<T: DeserializeOwned, S: Send + Sync, const MOST: usize> FromRequest<S> for Body<T, MOST> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        Ok(Self(parse(&whole(request, MOST).await?)?))
    }
}

/// [`Body`] that may be left out, which says as much as `{}`.
#[derive(Debug)]
pub struct OptionalBody<T, const MOST: usize>(pub T);

impl<T: DeserializeOwned, S: Send + Sync, const MOST: usize> FromRequest<S> for OptionalBody<T, MOST> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let body = whole(request, MOST).await?;
        Ok(Self(parse(if body.is_empty() { b"{}" } else { &body })?))
    }
}

async fn whole(request: Request, most: usize) -> Result<axum::body::Bytes> {
    let too_large = |_| Error::TooLarge(format!("a request takes at most {most} bytes"));
    to_bytes(request.into_body(), most).await.map_err(too_large)
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).map_err(|error| Error::bad_request(error.to_string()))
}

/// A JSON answer.
pub type Answer = Result<Response, Failure>;

/// Answers with `body`.
pub fn reply(body: &impl Serialize) -> Answer {
    let text = serde_json::to_string(body).map_err(Error::internal)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// Answers with what was made.
pub fn created(body: &impl Serialize) -> Answer {
    Ok((StatusCode::CREATED, reply(body)?).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_a_namespace_and_what_is_in_it() {
        for (path, expected) in [
            ("/tasks/v1/namespaces/a/tasks", ("a", "")),
            ("/tasks/v1/namespaces/a/tasks/t", ("a", "t")),
            ("/tasks/v1/namespaces/a/tasks/t/logs", ("a", "t")),
        ] {
            assert_eq!(named("/tasks/v1", path).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn no_path_means_all_namespaces_by_accident() {
        for path in
            ["/tasks/v1/namespaces//tasks", "/tasks/v1/namespaces/", "/tasks/v1/tasks", "/data/v1/namespaces/a/x"]
        {
            assert!(matches!(named("/tasks/v1", path), Err(Error::NoSuchPath)), "{path}");
        }
    }
}
