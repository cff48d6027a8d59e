//! Inference, in both dialects.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use mcplane_core::{Error, Result};
use mcplane_monitoring::PredictionId;

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
/// Which revision answered.
const REVISION: HeaderName = HeaderName::from_static("x-mcplane-revision");
/// Which version of which model that is.
const MODEL: HeaderName = HeaderName::from_static("x-mcplane-model");
/// By which labels name the prediction later.
const PREDICTION_ID: HeaderName = HeaderName::from_static("x-mcplane-prediction-id");

/// Runs what takes time in proportion to a body, or whatever the model takes.
async fn worked<T: Send + 'static>(
    model: &Loaded,
    size: usize,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    if let Some(turns) = model.turns() {
        return turns.run(work).await;
    }
    if size <= INLINE {
        return work();
    }
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

/// What became of one request.
struct Answered<T> {
    body: T,
    /// Of the prediction, where a revision made it.
    id: Option<PredictionId>,
}

/// `POST /v2/models/{model}[/versions/{version}]/infer`
pub(super) async fn infer(State(door): State<Door>, target: Target, headers: HeaderMap, body: Body) -> Answer {
    let model = target.find(&door)?;
    let json_length = json_length(&headers)?;
    let body = read(&headers, body, door.limits.body).await?;
    let asked = Arc::clone(&model);
    let Answered { body: encoded, id } =
        worked(&model, body.len(), move || answer(&door, &asked, &body, json_length)).await?;
    let mut response = written(encoded.body);
    tell(&mut response, &model, id);
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

fn answer(door: &Door, model: &Loaded, body: &Bytes, json_length: Option<usize>) -> Result<Answered<oip::Encoded>> {
    let request =
        oip::decode(body, json_length, model.inputs(), model.outputs()).map_err(|mistake| refused(model, mistake))?;
    let made = model.infer(&request.inputs)?;
    let names = (model.name(), model.version_text());
    let body = oip::encode(names, request.id.as_deref(), &request.outputs, model.outputs(), &made);
    Ok(Answered { body, id: door.predicted(model, &request.inputs, &made) })
}

/// Says in headers what answered.
fn tell(response: &mut Response, model: &Loaded, id: Option<PredictionId>) {
    let Some(about) = model.about() else { return };
    let headers = response.headers_mut();
    headers.insert(REVISION, about.revision.clone());
    headers.insert(MODEL, about.source.clone());
    let id = id.and_then(|id| HeaderValue::from_str(&id.to_string()).ok());
    headers.extend(id.map(|id| (PREDICTION_ID, id)));
}

fn refused(model: &Loaded, mistake: oip::Mistake) -> Error {
    model.refused();
    Error::BadRequest(mistake)
}

/// `POST /invocations`, and the same below a model.
pub(super) async fn invocations(State(door): State<Door>, target: Target, headers: HeaderMap, body: Body) -> Answer {
    let model = target.find(&door)?;
    let is_csv = is_csv(&headers)?;
    let body = read(&headers, body, door.limits.body).await?;
    let asked = Arc::clone(&model);
    let Answered { body, id } = worked(&model, body.len(), move || predictions(&door, &asked, &body, is_csv)).await?;
    let mut response = written(body);
    tell(&mut response, &model, id);
    Ok(response)
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

fn predictions(door: &Door, model: &Loaded, body: &[u8], is_csv: bool) -> Result<Answered<Vec<u8>>> {
    let inputs = mlflow::decode(body, is_csv, model.inputs()).map_err(|mistake| refused(model, mistake))?;
    let made = model.infer(&inputs)?;
    let id = door.predicted(model, &inputs, &made);
    Ok(Answered { body: mlflow::encode(model.outputs(), &made), id })
}
