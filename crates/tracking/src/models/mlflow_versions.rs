//! `/api/2.0/mlflow/model-versions/…`.

use axum::http::HeaderMap;
use mcplane_blobs::BlobPath;
use mcplane_core::Result;
use serde::Serialize;

use super::mlflow::query;
use super::types::{ModelVersion, NewVersion, Stage};
use crate::artifacts::headers;
use crate::artifacts::mlflow::attachment;
use crate::mlflow::fields::Fields;
use crate::mlflow::{Answer, Call, Dialect, reply, reply_empty};
use crate::scope::MODEL_VERSIONS;
use crate::tags::Tag;

/// Longest page of a search, which is also what it has if it does not say.
const MOST: i64 = 200_000;

pub(super) fn routes(dialect: Dialect) -> Dialect {
    dialect
        .post("2.0/mlflow/model-versions/create", MODEL_VERSIONS.to("create"), create)
        .get("2.0/mlflow/model-versions/get", MODEL_VERSIONS.to("get"), get)
        .patch("2.0/mlflow/model-versions/update", MODEL_VERSIONS.to("update"), update)
        .delete("2.0/mlflow/model-versions/delete", MODEL_VERSIONS.to("delete"), delete)
        .get("2.0/mlflow/model-versions/search", MODEL_VERSIONS.to("list"), search)
        .get("2.0/mlflow/model-versions/get-download-uri", MODEL_VERSIONS.to("get"), download_uri)
        .post("2.0/mlflow/model-versions/transition-stage", MODEL_VERSIONS.to("update"), transition)
        .post("2.0/mlflow/model-versions/set-tag", MODEL_VERSIONS.to("update"), set_tag)
        .delete("2.0/mlflow/model-versions/delete-tag", MODEL_VERSIONS.to("update"), delete_tag)
        .plain("/model-versions/get-artifact", MODEL_VERSIONS.to("get"), file)
}

/// A version in the protocol's form.
#[derive(Debug, Serialize)]
pub(super) struct VersionMessage {
    name: String,
    version: String,
    creation_timestamp: i64,
    last_updated_timestamp: i64,
    current_stage: Stage,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    source: String,
    run_id: String,
    status: &'static str,
    run_link: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
}

impl From<ModelVersion> for VersionMessage {
    fn from(version: ModelVersion) -> Self {
        Self {
            name: version.model,
            version: version.number.to_string(),
            creation_timestamp: version.created_at,
            last_updated_timestamp: version.updated_at,
            current_stage: version.stage,
            description: version.description,
            source: version.source,
            run_id: version.run_id,
            status: "READY",
            run_link: version.run_link,
            tags: version.tags,
            aliases: version.aliases,
        }
    }
}

#[derive(Serialize)]
pub(super) struct VersionFound {
    pub(super) model_version: VersionMessage,
}

#[derive(Serialize)]
pub(super) struct VersionsFound {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    model_versions: Vec<VersionMessage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

impl From<Vec<ModelVersion>> for VersionsFound {
    fn from(versions: Vec<ModelVersion>) -> Self {
        Self { model_versions: versions.into_iter().map(Into::into).collect(), next_page_token: None }
    }
}

#[derive(Serialize)]
struct Download {
    artifact_uri: String,
}

/// Name and number of the version that a request is about.
fn version(fields: &Fields) -> Result<(&str, &str)> {
    Ok((fields.required_text("name")?, fields.required_text("version")?))
}

async fn create(Call { door, grant, fields }: Call) -> Answer {
    let new = NewVersion {
        model: fields.required_text("name")?.to_owned(),
        source: fields.required_text("source")?.to_owned(),
        run_id: fields.optional_text("run_id")?.map(str::to_owned),
        run_link: fields.text("run_link")?.to_owned(),
        description: fields.text("description")?.to_owned(),
        model_id: fields.optional_text("model_id")?.map(str::to_owned),
        tags: Tag::read(&fields, "tags")?,
    };
    reply(&VersionFound { model_version: door.tracking.create_version(&grant, new).await?.into() })
}

async fn get(Call { door, grant, fields }: Call) -> Answer {
    let (name, number) = version(&fields)?;
    reply(&VersionFound { model_version: door.tracking.version(&grant, name, number).await?.into() })
}

async fn update(Call { door, grant, fields }: Call) -> Answer {
    let (name, number) = version(&fields)?;
    let description = fields.optional_text("description")?;
    let version = door.tracking.describe_version(&grant, name, number, description).await?;
    reply(&VersionFound { model_version: version.into() })
}

async fn delete(Call { door, grant, fields }: Call) -> Answer {
    let (name, number) = version(&fields)?;
    door.tracking.delete_version(&grant, name, number).await?;
    reply_empty()
}

async fn search(Call { door, grant, fields }: Call) -> Answer {
    let page = door.tracking.search_versions(&grant, &query(&fields, MOST, MOST)?).await?;
    let found = VersionsFound { next_page_token: page.next_page_token, ..VersionsFound::from(page.items) };
    reply(&found)
}

async fn download_uri(Call { door, grant, fields }: Call) -> Answer {
    let (name, number) = (fields.text("name")?, fields.text("version")?);
    let version = door.tracking.version(&grant, name, number).await?;
    reply(&Download { artifact_uri: version.location })
}

async fn transition(Call { door, grant, fields }: Call) -> Answer {
    let (name, number) = version(&fields)?;
    let stage = fields.required_text("stage")?;
    let archive = fields.flag("archive_existing_versions")?;
    let version = door.tracking.transition(&grant, name, number, stage, archive).await?;
    reply(&VersionFound { model_version: version.into() })
}

async fn set_tag(Call { door, grant, fields }: Call) -> Answer {
    let (name, number) = version(&fields)?;
    let tag = Tag::new(fields.required_text("key")?, fields.text("value")?);
    door.tracking.set_version_tag(&grant, name, number, tag).await?;
    reply_empty()
}

async fn delete_tag(Call { door, grant, fields }: Call) -> Answer {
    let (name, number) = version(&fields)?;
    door.tracking.remove_version_tag(&grant, name, number, fields.required_text("key")?).await?;
    reply_empty()
}

async fn file(asked: HeaderMap, Call { door, grant, fields }: Call) -> Answer {
    let path = fields.required_text("path")?;
    // As for the reference, a bad path is told before a missing version.
    BlobPath::parse(path)?;
    let version = (fields.text("name")?, fields.text("version")?);
    let object = door.tracking.open_version_file(&grant, version, path, headers::range(&asked)).await?;
    Ok(attachment(path, object))
}
