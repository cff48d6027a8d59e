//! Requests to resources: find the path, ask for the grant, call the engine, show the result.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mcplane_core::{Context, Error, Grant, Result, authz};

use super::params::Params;
use super::path::ResourcePath;
use super::represent::{self, Representation};
use super::{Door, Failure, Route, body, discovery, list, stream};
use crate::kind::{RegisteredKind, Registry};
use crate::service::{Deleted, Listed};
use crate::subresource::{Action, Reading};

pub(super) async fn handle(
    State(door): State<Door>,
    context: Option<Extension<Arc<Context>>>,
    request: Request,
) -> Result<Response, Failure> {
    let context = super::context(context);
    // The raw path, because the router's own decoding would turn an encoded slash into a real one.
    let path = ResourcePath::parse(request.uri().path())?;
    let params = Params::parse(request.uri().query());
    let fields = params.text("fieldSelector").parse::<mcplane_apimachinery::selector::FieldSelector>().ok();
    let selected = fields.as_ref().and_then(|fields| fields.name());
    let attributes = path.attributes(request.method(), params.is_watch()?, selected)?;
    let call = Call { door, path, params };
    let outcome = match authz::authorize(&*call.door.authorizer, &context, attributes.clone()) {
        Ok(grant) => Box::pin(call.dispatch(&grant, request)).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(response) => Ok(response),
        Err(error) => {
            crate::audit::record_failure(call.door.objects.db(), &context, &attributes, &error).await?;
            Err(error.into())
        }
    }
}

/// A request whose path is known.
struct Call {
    door: Door,
    path: ResourcePath,
    params: Params,
}

impl Call {
    async fn dispatch(&self, grant: &Grant, request: Request) -> Result<Response> {
        let (parts, body) = request.into_parts();
        let headers = parts.headers;
        if let Some(reading) = self.reading() {
            return read(grant, reading, parts.uri.query().unwrap_or_default()).await;
        }
        match (grant.verb(), self.action()) {
            ("create", Some(action)) => self.act(grant, action, &headers, body).await,
            (_, Some(_)) => Err(Error::MethodNotAllowed("this resource can only be created".to_owned())),
            ("get", None) => self.get(grant, &headers).await,
            ("list", None) => self.list(grant, &headers).await,
            ("watch", None) => self.watch(grant, &headers).await,
            ("create", None) => self.create(grant, &headers, body).await,
            ("update", None) => self.update(grant, &headers, body).await,
            ("patch", None) => self.patch(grant, &headers, body).await,
            ("delete", None) => self.delete(grant, &headers, body).await,
            ("deletecollection", None) => self.delete_collection(grant, &headers, body).await,
            (verb, None) => Err(Error::MethodNotAllowed(format!("{verb} is not supported here"))),
        }
    }

    fn kind(&self) -> Result<&Arc<RegisteredKind>> {
        let kind = self.door.objects.registry().by_plural(&self.path.group, &self.path.plural);
        let kind = kind.filter(|kind| kind.served(&self.path.version).is_some()).ok_or(Error::NoSuchPath)?;
        let sub = self.path.subresource.as_str();
        let known = sub.is_empty() || kind.subresource_verbs(sub).is_some();
        // Namespaced objects are reached through their namespace, except by lists across all of them.
        let placed =
            kind.is_namespaced() != self.path.namespace.is_empty() || kind.is_namespaced() && self.path.name.is_empty();
        if known && placed { Ok(kind) } else { Err(Error::NoSuchPath) }
    }

    fn action(&self) -> Option<&Action> {
        let registry = self.door.objects.registry();
        if self.path.subresource.is_empty() {
            let matches = |action: &&Action| {
                (action.path_group, action.path_version, action.name)
                    == (&*self.path.group, &*self.path.version, &*self.path.plural)
            };
            return registry.virtual_actions().iter().find(matches);
        }
        let kind = registry.by_plural(&self.path.group, &self.path.plural)?;
        kind.actions.iter().find(|action| action.name == self.path.subresource)
    }

    fn reading(&self) -> Option<&Reading> {
        let Self { path, door, .. } = self;
        let kind = door.objects.registry().by_plural(&path.group, &path.plural)?;
        let placed = kind.served(&path.version).is_some() && kind.is_namespaced() != path.namespace.is_empty();
        kind.readings.iter().find(|reading| placed && reading.name == path.subresource)
    }

    fn representation<'a>(&'a self, headers: &HeaderMap) -> Result<Representation<'a>> {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        Representation::new(self.kind()?, &self.path.version, accept, self.params.text("includeObject"))
    }

    async fn get(&self, grant: &Grant, headers: &HeaderMap) -> Result<Response> {
        let show = self.representation(headers)?;
        let object = self.door.objects.get(grant, &self.path.version).await?;
        show.object(StatusCode::OK, &object, &[])
    }

    async fn list(&self, grant: &Grant, headers: &HeaderMap) -> Result<Response> {
        let (show, options) = (self.representation(headers)?, self.params.list_options()?);
        let objects = &self.door.objects;
        if options.limit == 0 {
            return list::paged(show.into_owned(), objects.pages(grant, &self.path.version, &options)?).await;
        }
        // How a limited list goes on is told before its items, but known after them.
        list::whole(&show, &objects.list(grant, &self.path.version, &options).await?)
    }

    async fn watch(&self, grant: &Grant, headers: &HeaderMap) -> Result<Response> {
        let show = self.representation(headers)?.into_owned();
        let options = self.params.watch_options()?;
        let watch = self.door.objects.watch(grant, &self.path.version, &options).await;
        let timeout = self.params.timeout_seconds()?;
        stream::respond(show, watch, options.bookmarks, timeout, self.door.stopping.clone())
    }

    async fn create(&self, grant: &Grant, headers: &HeaderMap, body: Body) -> Result<Response> {
        let (show, kind) = (self.representation(headers)?, self.kind()?);
        if !self.path.name.is_empty() || kind.is_namespaced() && self.path.namespace.is_empty() {
            return Err(Error::MethodNotAllowed(
                "objects are created by POST to the collection of their namespace".into(),
            ));
        }
        let bytes = body::read(body, self.door.max_body).await?;
        let decoded = body::object(headers, bytes, show.api_version(), kind.kind).await?;
        let options = self.params.write_options()?;
        let written = self.door.objects.create(grant, &self.path.version, decoded, &options).await?;
        show.object(StatusCode::CREATED, &written.object, &written.warnings)
    }

    async fn update(&self, grant: &Grant, headers: &HeaderMap, body: Body) -> Result<Response> {
        let (show, kind) = (self.representation(headers)?, self.kind()?);
        let bytes = body::read(body, self.door.max_body).await?;
        let decoded = body::object(headers, bytes, show.api_version(), kind.kind).await?;
        let options = self.params.write_options()?;
        let written = self.door.objects.update(grant, &self.path.version, decoded, &options).await?;
        show.object(StatusCode::OK, &written.object, &written.warnings)
    }

    async fn patch(&self, grant: &Grant, headers: &HeaderMap, body: Body) -> Result<Response> {
        let show = self.representation(headers)?;
        let bytes = body::read(body, self.door.max_body).await?;
        let (patch, duplicates) = body::patch(headers, &bytes)?;
        let options = self.params.write_options()?;
        let written = self.door.objects.patch(grant, &self.path.version, &patch, &duplicates, &options).await?;
        show.object(StatusCode::OK, &written.object, &written.warnings)
    }

    async fn delete(&self, grant: &Grant, headers: &HeaderMap, body: Body) -> Result<Response> {
        let (show, kind) = (self.representation(headers)?, self.kind()?);
        let bytes = body::read(body, self.door.max_body).await?;
        let options = self.params.delete_options(body::delete_options(headers, &bytes)?.as_ref())?;
        match self.door.objects.delete(grant, &self.path.version, &options).await? {
            Deleted::Gone(object) => represent::gone(kind, &object),
            Deleted::Waiting(object) => show.object(StatusCode::OK, &object, &[]),
        }
    }

    async fn delete_collection(&self, grant: &Grant, headers: &HeaderMap, body: Body) -> Result<Response> {
        let (show, kind) = (self.representation(headers)?, self.kind()?);
        if kind.is_namespaced() && self.path.namespace.is_empty() {
            return Err(Error::MethodNotAllowed("collections are deleted namespace by namespace".to_owned()));
        }
        let bytes = body::read(body, self.door.max_body).await?;
        let options = self.params.delete_options(body::delete_options(headers, &bytes)?.as_ref())?;
        let selected = self.params.list_options()?;
        let items = self.door.objects.delete_collection(grant, &self.path.version, &selected, &options).await?;
        let revision = self.door.objects.db().feed().revision();
        list::whole(&show, &Listed { items, revision, ..Listed::default() })
    }

    async fn act(&self, grant: &Grant, action: &Action, headers: &HeaderMap, body: Body) -> Result<Response> {
        if action.namespaced == self.path.namespace.is_empty() {
            return Err(Error::NoSuchPath);
        }
        let bytes = body::read(body, self.door.max_body).await?;
        let decoded = body::object(headers, bytes, action.api_version, action.kind).await?;
        let mut answer = action.perform.perform(grant, decoded.value).await?;
        crate::object::set_type(&mut answer, action.api_version, action.kind);
        Ok((StatusCode::CREATED, [(header::CONTENT_TYPE, "application/json")], answer.to_string()).into_response())
    }
}

async fn read(grant: &Grant, reading: &Reading, query: &str) -> Result<Response> {
    if grant.verb() != "get" {
        return Err(Error::MethodNotAllowed("this resource can only be read".to_owned()));
    }
    let body = reading.read.read(grant, query).await?;
    Ok(([(header::CONTENT_TYPE, reading.content_type)], body).into_response())
}

/// Methods and paths of all resources.
pub(super) fn routes(registry: &Registry) -> Vec<Route> {
    let kinds = registry.kinds().iter().flat_map(|kind| kind.versions.iter().map(move |version| (kind, *version)));
    let actions = registry.virtual_actions().iter().map(|action| {
        let namespace = if action.namespaced { "/namespaces/{namespace}" } else { "" };
        let prefix = discovery::prefix(action.path_group, action.path_version);
        Route::new("POST", format!("{prefix}{namespace}/{}", action.name))
    });
    kinds.flat_map(|(kind, version)| routes_of(kind, version)).chain(actions).collect()
}

/// Methods and paths of a kind in one version.
pub(super) fn routes_of(kind: &RegisteredKind, version: &str) -> Vec<Route> {
    let prefix = discovery::prefix(kind.group, version);
    let namespace = if kind.is_namespaced() { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{prefix}{namespace}/{}", kind.plural);
    let object = format!("{collection}/{{name}}");
    let mut routes = Vec::new();
    for (verb, method, path) in [
        ("list", "GET", &collection),
        ("create", "POST", &collection),
        ("deletecollection", "DELETE", &collection),
        ("get", "GET", &object),
        ("update", "PUT", &object),
        ("patch", "PATCH", &object),
        ("delete", "DELETE", &object),
    ] {
        if kind.verbs.contains(&verb) {
            routes.push(Route::new(method, path));
        }
    }
    if kind.is_namespaced() && kind.verbs.contains(&"list") {
        routes.push(Route::new("GET", format!("{prefix}/{}", kind.plural)));
    }
    if kind.status {
        routes.extend(["GET", "PUT", "PATCH"].map(|method| Route::new(method, format!("{object}/status"))));
    }
    if kind.plural == "namespaces" {
        routes.push(Route::new("PUT", format!("{object}/finalize")));
    }
    routes.extend(kind.readings.iter().map(|reading| Route::new("GET", format!("{object}/{}", reading.name))));
    routes.extend(kind.actions.iter().map(|action| Route::new("POST", format!("{object}/{}", action.name))));
    routes
}
