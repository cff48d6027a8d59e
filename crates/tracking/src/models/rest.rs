//! `/models/v1/namespaces/…/models/…`: the registry's own interface, where content is verified.

use std::collections::BTreeMap;

use axum::extract::Path;
use axum::http::HeaderMap;
use mcplane_core::{Error, Result};
use serde::Serialize;
use serde_json::{Map, Value};

use super::record::NewRecord;
use super::types::{ModelVersion, Record, Stage};
use super::{SemanticVersion, VerifiedFile};
use crate::artifacts::headers;
use crate::artifacts::mlflow::attachment;
use crate::mlflow::fields::{self, Fields};
use crate::mlflow::{Admitted, Answer, Call, Dialect, reply};
use crate::scope::MODEL_VERSIONS;
use crate::tags::Tag;

pub(crate) fn routes(dialect: Dialect) -> Dialect {
    const MODEL: &str = "/models/v1/namespaces/{namespace}/models/{model}";
    dialect
        .plain(&format!("{MODEL}/versions"), MODEL_VERSIONS.to("list"), list)
        .plain_post(&format!("{MODEL}/versions"), MODEL_VERSIONS.to("create"), register)
        .plain(&format!("{MODEL}/versions/{{version}}"), MODEL_VERSIONS.to("get"), get)
        .plain(&format!("{MODEL}/versions/{{version}}/files"), MODEL_VERSIONS.to("get"), files)
        .plain(&format!("{MODEL}/versions/{{version}}/files/{{*path}}"), MODEL_VERSIONS.to("get"), file)
        .plain(&format!("{MODEL}/latest-stable"), MODEL_VERSIONS.to("get"), latest_stable)
        .plain(&format!("{MODEL}/compare"), MODEL_VERSIONS.to("get"), compare)
}

/// A version as this interface shows it.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    version: SemanticVersion,
    number: i64,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<i64>,
    source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    run_id: String,
    stage: Stage,
    aliases: Vec<String>,
    rolled_back: bool,
    metrics: BTreeMap<String, f64>,
    environment: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<Value>,
    tags: BTreeMap<String, String>,
    description: String,
    created_by: String,
    created_at: i64,
}

impl From<ModelVersion> for Shown {
    fn from(version: ModelVersion) -> Self {
        let Record { metrics, environment, signature } = version.record.clone();
        let verified = version.is_verified();
        Self {
            state: version.state(),
            rolled_back: version.is_rolled_back(),
            name: version.model,
            version: version.semantic,
            number: version.number,
            digest: verified.then_some(version.digest),
            size: verified.then_some(version.size),
            source: version.source,
            run_id: version.run_id,
            stage: version.stage,
            aliases: version.aliases,
            metrics,
            environment,
            signature,
            tags: version.tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
            description: version.description.unwrap_or_default(),
            created_by: version.created_by,
            created_at: version.created_at,
        }
    }
}

#[derive(Serialize)]
struct Listed {
    versions: Vec<Shown>,
}

/// An object among the fields, empty if left out.
fn object(fields: &Fields, name: &str) -> Result<Map<String, Value>> {
    match fields.raw(name) {
        None => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map.clone()),
        Some(other) => Err(fields::invalid(name, other)),
    }
}

fn new_record(model: String, fields: &Fields) -> Result<NewRecord> {
    let number = |(key, value): (String, Value)| match fields::number(&value).filter(|number| number.is_finite()) {
        Some(number) => Ok((key, number)),
        None => Err(Error::bad_request(format!("metric {key:?} must be a finite number"))),
    };
    let tag = |(key, value): (String, Value)| match value {
        Value::String(value) => Ok(Tag { key, value }),
        _ => Err(Error::bad_request(format!("tag {key:?} must be a text"))),
    };
    Ok(NewRecord {
        model,
        version: fields.optional_text("version")?.map(str::to_owned),
        model_path: fields.required_text("model_path")?.to_owned(),
        run_id: fields.text("run_id")?.to_owned(),
        description: fields.text("description")?.to_owned(),
        tags: object(fields, "tags")?.into_iter().map(tag).collect::<Result<_>>()?,
        record: Record {
            metrics: object(fields, "metrics")?.into_iter().map(number).collect::<Result<_>>()?,
            environment: object(fields, "environment")?,
            signature: fields.raw("signature").cloned(),
        },
    })
}

async fn register(Path((_, model)): Path<(String, String)>, Call { door, grant, fields }: Call) -> Answer {
    let version = door.tracking.register_version(&grant, new_record(model, &fields)?).await?;
    reply(&Shown::from(version))
}

async fn list(Path((_, model)): Path<(String, String)>, Call { door, grant, .. }: Call) -> Answer {
    let versions = door.tracking.versions(&grant, &model).await?;
    reply(&Listed { versions: versions.into_iter().map(Into::into).collect() })
}

async fn get(Path((_, model, version)): Path<(String, String, String)>, Call { door, grant, .. }: Call) -> Answer {
    reply(&Shown::from(door.tracking.version_named(&grant, &model, &version).await?))
}

/// The files of a verified version, as they were when it was registered.
#[derive(Serialize)]
struct Files {
    digest: String,
    size: u64,
    files: Vec<FileShown>,
}

#[derive(Serialize)]
struct FileShown {
    path: String,
    digest: String,
}

async fn files(Path((_, model, version)): Path<(String, String, String)>, Call { door, grant, .. }: Call) -> Answer {
    let content = door.tracking.verified_content(&grant, &model, &version).await?;
    let shown = |file: &VerifiedFile| FileShown { path: file.path().to_string(), digest: file.digest().to_hex() };
    let files = content.files.iter().map(shown).collect();
    reply(&Files { digest: content.digest.to_hex(), size: content.size, files })
}

async fn file(
    Path((_, model, version, path)): Path<(String, String, String, String)>,
    asked: HeaderMap,
    Admitted { door, grant }: Admitted,
) -> Answer {
    let content = door.tracking.verified_content(&grant, &model, &version).await?;
    let object = door.tracking.open_verified(content.file(&path)?, headers::range(&asked)).await?;
    Ok(attachment(&path, object))
}

async fn latest_stable(Path((_, model)): Path<(String, String)>, Call { door, grant, .. }: Call) -> Answer {
    reply(&Shown::from(door.tracking.latest_stable(&grant, &model).await?))
}

async fn compare(Path((_, model)): Path<(String, String)>, Call { door, grant, fields }: Call) -> Answer {
    let (a, b) = (fields.required_text("a")?, fields.required_text("b")?);
    reply(&door.tracking.compare_versions(&grant, &model, a, b).await?)
}
