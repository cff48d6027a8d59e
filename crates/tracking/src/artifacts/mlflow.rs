//! `/api/2.0/mlflow-artifacts/…`, and what the pages ask of a run's artifacts.

use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequest as _, Path, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use mcplane_blobs::{Object, SentPart};
use mcplane_core::{Error, Result};
use serde::Serialize;
use serde_json::json;

use super::headers;
use super::service::Place;
use super::types::Artifact;
use crate::Tracking;
use crate::mlflow::fields::{Fields, missing};
use crate::mlflow::{Admitted, Answer, Call, Dialect, reply, reply_empty};
use crate::scope::{ARTIFACTS, RUNS};

/// Largest file that the pages upload, in bytes.
const MOST_FROM_PAGES: u64 = 10 << 20;

pub(crate) fn routes(dialect: Dialect) -> Dialect {
    const ROOT: &str = "2.0/mlflow-artifacts";
    dialect
        .get(&format!("{ROOT}/artifacts"), ARTIFACTS.to("list"), list_store)
        .get(&format!("{ROOT}/artifacts/{{*path}}"), ARTIFACTS.to("get"), download)
        .put(&format!("{ROOT}/artifacts/{{*path}}"), ARTIFACTS.to("create"), upload)
        .delete(&format!("{ROOT}/artifacts/{{*path}}"), ARTIFACTS.to("delete"), delete)
        .post(&format!("{ROOT}/mpu/create/{{*path}}"), ARTIFACTS.to("create"), create_upload)
        .post(&format!("{ROOT}/mpu/complete/{{*path}}"), ARTIFACTS.to("create"), complete_upload)
        .post(&format!("{ROOT}/mpu/abort/{{*path}}"), ARTIFACTS.to("create"), abort_upload)
        .get("2.0/mlflow/artifacts/list", RUNS.to("get"), list_of_run)
        .post("2.0/mlflow/upload-artifact", RUNS.to("update"), upload_to_run)
        .plain("/get-artifact", RUNS.to("get"), of_run)
}

#[derive(Serialize)]
struct Listed {
    #[serde(skip_serializing_if = "Option::is_none")]
    root_uri: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<Artifact>,
}

async fn list_store(Call { door, grant, fields }: Call) -> Answer {
    let place = door.tracking.artifact_place(&grant, fields.text("path")?)?;
    reply(&Listed { root_uri: None, files: door.tracking.list_artifacts(&place).await? })
}

async fn download(Admitted { door, grant }: Admitted, Path(path): Path<String>, asked: HeaderMap) -> Answer {
    let place = door.tracking.artifact_place(&grant, &path)?;
    send(&door.tracking, &place, &path, &asked).await
}

async fn upload(Admitted { door, grant }: Admitted, Path(path): Path<String>, body: Body) -> Answer {
    let place = door.tracking.artifact_place(&grant, &path)?;
    door.tracking.put_artifact(&grant, &place, body, u64::MAX).await?;
    reply_empty()
}

async fn delete(Admitted { door, grant }: Admitted, Path(path): Path<String>) -> Answer {
    let place = door.tracking.artifact_place(&grant, &path)?;
    door.tracking.delete_artifacts(&grant, &place).await?;
    reply_empty()
}

/// The file at a place, as an attachment.
pub(crate) async fn send(tracking: &Tracking, place: &Place, path: &str, asked: &HeaderMap) -> Answer {
    Ok(attachment(path, tracking.open_artifact(place, headers::range(asked)).await?))
}

/// An answer with a file, under the last name of `path`.
pub(crate) fn attachment(path: &str, object: Object) -> Response {
    let name = path.rsplit('/').next().unwrap_or_default();
    let status = if object.range == (0..object.meta.size) { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT };
    (status, headers::of(name, &object), Body::from_stream(object.body)).into_response()
}

async fn list_of_run(Call { door, grant, fields }: Call) -> Answer {
    let run = door.tracking.run(&grant, fields.run_id()?).await?;
    let path = fields.text("path")?;
    let place = door.tracking.place_below(&grant, &run.info.artifact_uri, path)?;
    let mut files = door.tracking.list_artifacts(&place).await?;
    below_path(&mut files, path);
    reply(&Listed { root_uri: Some(run.info.artifact_uri), files })
}

/// Names in a folder become paths below the root that was asked for.
pub(crate) fn below_path(files: &mut [Artifact], path: &str) {
    let folder = path.trim_end_matches('/');
    if !folder.is_empty() {
        files.iter_mut().for_each(|file| file.path = format!("{folder}/{}", file.path));
    }
}

async fn of_run(asked: HeaderMap, Call { door, grant, fields }: Call) -> Answer {
    let run = door.tracking.run(&grant, fields.run_id()?).await?;
    let path = fields.required_text("path")?;
    let place = door.tracking.place_below(&grant, &run.info.artifact_uri, path)?;
    send(&door.tracking, &place, path, &asked).await
}

async fn upload_to_run(Admitted { door, grant }: Admitted, request: Request) -> Answer {
    let fields = Fields::from_query(request.uri().query().unwrap_or_default());
    let required = |name: &str| match fields.text(name)? {
        "" => Err(Error::bad_request(format!("Request must specify {name}."))),
        text => Ok(text.to_owned()),
    };
    let (run_id, path) = (required("run_uuid")?, required("path")?);
    let run = door.tracking.run(&grant, &run_id).await?;
    let place = door.tracking.place_below(&grant, &run.info.artifact_uri, &path)?;
    let body = Body::from_request(request, &()).await.unwrap_or_default();
    if body.is_end_stream() {
        return Err(Error::bad_request("Request must specify data.").into());
    }
    door.tracking.put_artifact(&grant, &place, body, MOST_FROM_PAGES).await.map_err(|error| match error {
        Error::TooLarge(_) => Error::bad_request("Artifact size is too large. Max size is 10MB."),
        other => other,
    })?;
    reply_empty()
}

/// The file that an upload in parts makes: the folder is in the path, the name is that of the client's own file.
fn upload_place(call: &Call, folder: &str) -> Result<Place> {
    let name = call.fields.required_text("path")?;
    let name = name.rsplit('/').next().unwrap_or_default();
    call.door.tracking.artifact_place(&call.grant, &format!("{folder}/{name}"))
}

async fn create_upload(Path(folder): Path<String>, call: Call) -> Answer {
    let place = upload_place(&call, &folder)?;
    let parts = call.fields.optional_int("num_parts")?.unwrap_or(1);
    let parts = u32::try_from(parts).map_err(|_| Error::bad_request("num_parts must be a positive number"))?;
    let upload = call.door.tracking.create_upload(&place, parts).await?;
    let credentials: Vec<_> =
        upload.urls.iter().zip(1..).map(|(url, number)| json!({"url": url, "part_number": number})).collect();
    reply(&json!({"upload_id": upload.id, "credentials": credentials}))
}

async fn complete_upload(Path(folder): Path<String>, call: Call) -> Answer {
    let place = upload_place(&call, &folder)?;
    let parts = call.fields.messages("parts")?.iter().map(sent_part).collect::<Result<Vec<_>>>()?;
    if parts.is_empty() {
        return Err(missing("parts").into());
    }
    call.door.tracking.complete_upload(&place, call.fields.text("upload_id")?, parts).await?;
    reply_empty()
}

fn sent_part(part: &Fields) -> Result<SentPart> {
    let number = u32::try_from(part.required_int("part_number")?).unwrap_or_default();
    Ok(SentPart { number, etag: part.text("etag")?.to_owned() })
}

async fn abort_upload(Path(folder): Path<String>, call: Call) -> Answer {
    let place = upload_place(&call, &folder)?;
    call.door.tracking.abort_upload(&place, call.fields.text("upload_id")?).await?;
    reply_empty()
}
