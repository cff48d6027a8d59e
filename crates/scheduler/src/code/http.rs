//! `/tasks/v1/namespaces/{namespace}/code`.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts as _, Path, Request, State};
use futures::StreamExt as _;
use mcplane_core::Error;
use mcplane_objects::http::namespaced::{Answer, reply};
use serde::Serialize;

use crate::http::{Admitted, Door, Paths};
use crate::scope::CODE;

/// How long nothing may come of an upload.
const IDLE: Duration = Duration::from_secs(30);

pub(crate) fn routes(paths: Paths) -> Paths {
    paths.put("code", ("create", CODE), put).get("code/{digest}", ("get", CODE), get)
}

#[derive(Serialize)]
struct Kept {
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
}

async fn put(State(door): State<Door>, request: Request<Body>) -> Answer {
    let (mut parts, body) = request.into_parts();
    let Admitted { service: scheduler, .. } = Admitted::from_request_parts(&mut parts, &door).await?;
    let body = body.into_data_stream();
    let timely = futures::stream::unfold(body, |mut body| async move {
        match tokio::time::timeout(IDLE, body.next()).await {
            Ok(piece) => Some((piece?.map_err(|error| error.to_string()), body)),
            Err(_) => Some((Err(format!("nothing came for {IDLE:?}")), body)),
        }
    });
    let (digest, size) = scheduler.archives.keep(timely).await?;
    reply(&Kept { code: format!("sha256:{digest}"), size: Some(size) })
}

async fn get(Admitted { service: scheduler, .. }: Admitted, Path((_, code)): Path<(String, String)>) -> Answer {
    let digest = code.strip_prefix("sha256:").ok_or_else(|| Error::bad_request("code: must begin with sha256:"))?;
    scheduler.archives.check(digest).await?;
    reply(&Kept { code, size: None })
}
