//! kube-rs over the door, without a socket.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::{GroupVersionKind, PartialObjectMeta};
use kube::{Client, Error};
use mcplane_core::Context;
use tower::ServiceExt as _;

use crate::kind::Registry;

/// A client of `router` that acts as the part of the server called `name`. The context travels as an extension of the
/// request, which no request from the network can carry.
pub fn in_process(router: Router, name: &str) -> Client {
    let context = Arc::new(Context::system(name));
    let service = router.map_request(move |request: Request<kube::client::Body>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Arc::clone(&context));
        request
    });
    Client::new(service, "default")
}

/// A kind as controllers know it.
#[derive(Debug, Clone)]
pub(super) struct Resource {
    pub(super) api: ApiResource,
    pub(super) namespaced: bool,
    pub(super) verbs: &'static [&'static str],
}

impl Resource {
    /// The objects of a namespace, or all of a cluster-scoped kind.
    pub(super) fn objects(&self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        if self.namespaced && !namespace.is_empty() {
            Api::namespaced_with(client.clone(), namespace, &self.api)
        } else {
            Api::all_with(client.clone(), &self.api)
        }
    }

    /// The metadata of all objects.
    pub(super) fn metadata(&self, client: &Client) -> Api<PartialObjectMeta<DynamicObject>> {
        Api::all_with(client.clone(), &self.api)
    }

    pub(super) fn can(&self, verb: &str) -> bool {
        self.verbs.contains(&verb)
    }
}

/// Every kind in its preferred version.
pub(super) fn resources(registry: &Registry) -> Arc<[Resource]> {
    let resource = |kind: &Arc<crate::kind::RegisteredKind>| Resource {
        api: ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk(kind.group, kind.versions[0], kind.kind),
            kind.plural,
        ),
        namespaced: kind.is_namespaced(),
        verbs: kind.verbs,
    };
    registry.kinds().iter().map(resource).collect()
}

/// The HTTP status of an error that the server answered; 0 for others.
pub(super) fn code(error: &Error) -> u16 {
    match error {
        Error::Api(status) => status.code,
        _ => 0,
    }
}

/// Turns "it is not there" into `None`.
pub(super) fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if code(&error) == 404 => Ok(None),
        Err(error) => Err(error),
    }
}
