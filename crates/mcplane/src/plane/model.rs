//! Models of this process as upstreams of the gateway.

use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use mcplane_delivery::gateway::{Body, BoxError, Local};
use mcplane_serving::http::Chosen;
use mcplane_serving::services::{Running, Service};
use tower::ServiceExt as _;

use super::door::failure;

/// A service, or one revision of it, which is held for as long as a table names it.
pub(super) struct Model {
    pub(super) service: Arc<Service>,
    pub(super) held: Option<Arc<Running>>,
    pub(super) routes: Router,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

impl Local for Model {
    fn call(&self, mut request: Request<Body>) -> Answer {
        let Some(running) = self.held.clone().or_else(|| self.service.newest()) else {
            let message = format!("service {:?} has no model that is ready; its status says why", self.service.name);
            let answer = failure(StatusCode::SERVICE_UNAVAILABLE, &message).map(boxed);
            return Box::pin(async { Ok(answer) });
        };
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let alias = host.split(['.', ':']).next().unwrap_or_default().to_owned();
        request.extensions_mut().insert(Chosen { loaded: Arc::clone(&running.loaded), alias });
        let routes = self.routes.clone();
        Box::pin(async move {
            let answer = routes.oneshot(request.map(axum::body::Body::new)).await.map_err(BoxError::from)?;
            Ok(answer.map(boxed))
        })
    }
}

fn boxed(body: axum::body::Body) -> Body {
    body.map_err(BoxError::from).boxed_unsync()
}
