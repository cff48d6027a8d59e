//! Inference, in both dialects.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use mcplane_core::{Error, Result};

use super::Door;
use super::answer::{Answer, written};
use super::body::read;
use super::target::Target;
use crate::invocations as mlflow;
use crate::models::Loaded;
use crate::oip;

/// Bodies above this are worked on beside the threads that answer requests, in bytes: one that size takes longer than
/// the change of threads.
const INLINE: usize = 64 << 10;

const HEADER_LENGTH: HeaderName = HeaderName::from_static(oip::HEADER_LENGTH);

/// Runs what takes time in proportion to a body.
async fn worked<T: Send + 'static>(size: usize, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    if size <= INLINE {
        return work();
    }
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

/// The model of a path; without one, the only model that there is.
fn find(door: &Door, target: &Target) -> Result<Arc<Loaded>> {
    if let Some(model) = &target.model {
        return door.repository.get(model, target.version);
    }
    let mut names: Vec<String> = door.repository.list().into_iter().map(|listed| listed.name).collect();
    names.dedup();
    match names.as_slice() {
        [name] => door.repository.get(name, None),
        names => {
            let message = format!("there are {} models: name one, as in /v2/models/NAME/invocations", names.len());
            Err(Error::BadRequest(message))
        }
    }
}

/// `POST /v2/models/{model}[/versions/{version}]/infer`
pub(super) async fn infer(State(door): State<Door>, target: Target, headers: HeaderMap, body: Body) -> Answer {
    let model = find(&door, &target)?;
    let json_length = json_length(&headers)?;
    let body = read(&headers, body, door.limits.body).await?;
    let encoded = worked(body.len(), move || answer(&model, &body, json_length)).await?;
    let mut response = written(encoded.body);
    if let Some(length) = encoded.json_length {
        let headers = response.headers_mut();
        headers.insert(HEADER_LENGTH, HeaderValue::from(length));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    }
    Ok(response)
}

fn json_length(headers: &HeaderMap) -> Result<Option<usize>> {
    let Some(value) = headers.get(HEADER_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    let wrong = || Error::BadRequest("the header Inference-Header-Content-Length is no number of bytes".to_owned());
    length.map(Some).ok_or_else(wrong)
}

fn answer(model: &Loaded, body: &Bytes, json_length: Option<usize>) -> Result<oip::Encoded> {
    let request =
        oip::decode(body, json_length, model.inputs(), model.outputs()).map_err(|mistake| refused(model, mistake))?;
    let made = model.infer(&request.inputs).map_err(|error| Error::BadRequest(error.to_string()))?;
    let names = (model.name(), model.version_text());
    Ok(oip::encode(names, request.id.as_deref(), &request.outputs, model.outputs(), &made))
}

fn refused(model: &Loaded, mistake: oip::Mistake) -> Error {
    model.refused();
    Error::BadRequest(mistake)
}

/// `POST /invocations`, and the same below a model.
pub(super) async fn invocations(State(door): State<Door>, target: Target, headers: HeaderMap, body: Body) -> Answer {
    let model = find(&door, &target)?;
    let is_csv = is_csv(&headers)?;
    let body = read(&headers, body, door.limits.body).await?;
    let made = worked(body.len(), move || predictions(&model, &body, is_csv)).await?;
    Ok::<Response, _>(written(made))
}

fn is_csv(headers: &HeaderMap) -> Result<bool> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("application/json");
    match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "text/csv" => Ok(true),
        "application/json" | "" => Ok(false),
        other => {
            Err(Error::UnsupportedMediaType(format!("{other} is not supported: send application/json or text/csv")))
        }
    }
}

fn predictions(model: &Loaded, body: &[u8], is_csv: bool) -> Result<Vec<u8>> {
    let inputs = mlflow::decode(body, is_csv, model.inputs()).map_err(|mistake| refused(model, mistake))?;
    let made = model.infer(&inputs).map_err(|error| Error::BadRequest(error.to_string()))?;
    Ok(mlflow::encode(model.outputs(), &made))
}
