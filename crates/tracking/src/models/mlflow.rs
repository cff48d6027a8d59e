//! `/api/2.0/mlflow/registered-models/…`: models, their tags and aliases.

use mcplane_core::{Error, Result};
use serde::Serialize;

use super::mlflow_versions::{self, VersionFound, VersionMessage, VersionsFound};
use super::types::{Alias, NewModel, Query, RegisteredModel};
use crate::mlflow::fields::{self, Fields};
use crate::mlflow::{Answer, Call, Dialect, reply, reply_empty};
use crate::scope::{MODEL_VERSIONS, MODELS};
use crate::tags::Tag;

pub(crate) fn routes(dialect: Dialect) -> Dialect {
    let dialect = dialect
        .post("2.0/mlflow/registered-models/create", MODELS.to("create"), create)
        .get("2.0/mlflow/registered-models/get", MODELS.to("get"), get)
        .patch("2.0/mlflow/registered-models/update", MODELS.to("update"), update)
        .post("2.0/mlflow/registered-models/rename", MODELS.to("update"), rename)
        .delete("2.0/mlflow/registered-models/delete", MODELS.to("delete"), delete)
        .get("2.0/mlflow/registered-models/search", MODELS.to("list"), search)
        .get("2.0/mlflow/registered-models/get-latest-versions", MODEL_VERSIONS.to("list"), latest_versions)
        .post("2.0/mlflow/registered-models/get-latest-versions", MODEL_VERSIONS.to("list"), latest_versions)
        .post("2.0/mlflow/registered-models/set-tag", MODELS.to("update"), set_tag)
        .delete("2.0/mlflow/registered-models/delete-tag", MODELS.to("update"), delete_tag)
        .get("2.0/mlflow/registered-models/alias", MODEL_VERSIONS.to("get"), by_alias)
        .post("2.0/mlflow/registered-models/alias", MODELS.to("update"), set_alias)
        .delete("2.0/mlflow/registered-models/alias", MODELS.to("update"), delete_alias);
    mlflow_versions::routes(dialect)
}

/// A model in the protocol's form.
#[derive(Debug, Serialize)]
struct ModelMessage {
    name: String,
    creation_timestamp: i64,
    last_updated_timestamp: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    latest_versions: Vec<VersionMessage>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<AliasMessage>,
}

/// An alias in the protocol's form, where numbers of versions are texts.
#[derive(Debug, Serialize)]
struct AliasMessage {
    alias: String,
    version: String,
}

impl From<Alias> for AliasMessage {
    fn from(Alias { alias, version }: Alias) -> Self {
        Self { alias, version: version.to_string() }
    }
}

impl From<RegisteredModel> for ModelMessage {
    fn from(model: RegisteredModel) -> Self {
        Self {
            name: model.name,
            creation_timestamp: model.created_at,
            last_updated_timestamp: model.updated_at,
            description: model.description.unwrap_or_default(),
            latest_versions: model.latest.into_iter().map(Into::into).collect(),
            tags: model.tags,
            aliases: model.aliases.into_iter().map(Into::into).collect(),
        }
    }
}

#[derive(Serialize)]
struct Found {
    registered_model: ModelMessage,
}

#[derive(Serialize)]
struct ModelsFound {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    registered_models: Vec<ModelMessage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// Reads a search, whose pages have `usual` items if it does not say, and `most` at most.
pub(super) fn query(fields: &Fields, usual: i64, most: i64) -> Result<Query> {
    let max_results = fields.optional_int("max_results")?.unwrap_or(usual);
    if let Some(given) = fields.raw("max_results")
        && max_results > most
    {
        return Err(fields::invalid("max_results", given));
    }
    Ok(Query {
        filter: fields.text("filter")?.to_owned(),
        order_by: fields.texts("order_by")?.into_iter().map(str::to_owned).collect(),
        max_results,
        page_token: fields.text("page_token")?.to_owned(),
    })
}

async fn create(Call { door, grant, fields }: Call) -> Answer {
    let new = NewModel {
        name: fields.required_text("name")?.to_owned(),
        description: fields.optional_text("description")?.map(str::to_owned),
        tags: Tag::read(&fields, "tags")?,
    };
    reply(&Found { registered_model: door.tracking.create_model(&grant, new).await?.into() })
}

async fn get(Call { door, grant, fields }: Call) -> Answer {
    let model = door.tracking.model(&grant, fields.required_text("name")?).await?;
    reply(&Found { registered_model: model.into() })
}

async fn update(Call { door, grant, fields }: Call) -> Answer {
    let name = fields.required_text("name")?;
    let model = door.tracking.describe_model(&grant, name, fields.text("description")?).await?;
    reply(&Found { registered_model: model.into() })
}

async fn rename(Call { door, grant, fields }: Call) -> Answer {
    let name = fields.required_text("name")?;
    let model = door.tracking.rename_model(&grant, name, fields.required_text("new_name")?).await?;
    reply(&Found { registered_model: model.into() })
}

async fn delete(Call { door, grant, fields }: Call) -> Answer {
    door.tracking.delete_model(&grant, fields.required_text("name")?).await?;
    reply_empty()
}

async fn search(Call { door, grant, fields }: Call) -> Answer {
    let query = query(&fields, 100, 1000)?;
    if query.max_results < 0 {
        return Err(Error::bad_request("Invalid value for max_results. It may not be negative.").into());
    }
    let page = door.tracking.search_models(&grant, &query).await?;
    let registered_models = page.items.into_iter().map(Into::into).collect();
    reply(&ModelsFound { registered_models, next_page_token: page.next_page_token })
}

async fn latest_versions(Call { door, grant, fields }: Call) -> Answer {
    let name = fields.required_text("name")?;
    let versions = door.tracking.latest_versions(&grant, name, &fields.texts("stages")?).await?;
    reply(&VersionsFound::from(versions))
}

async fn set_tag(Call { door, grant, fields }: Call) -> Answer {
    let name = fields.required_text("name")?;
    let tag = Tag::new(fields.required_text("key")?, fields.text("value")?);
    door.tracking.set_model_tag(&grant, name, tag).await?;
    reply_empty()
}

async fn delete_tag(Call { door, grant, fields }: Call) -> Answer {
    let name = fields.required_text("name")?;
    door.tracking.remove_model_tag(&grant, name, fields.required_text("key")?).await?;
    reply_empty()
}

async fn by_alias(Call { door, grant, fields }: Call) -> Answer {
    let name = fields.required_text("name")?;
    let version = door.tracking.version_by_alias(&grant, name, fields.required_text("alias")?).await?;
    reply(&VersionFound { model_version: version.into() })
}

async fn set_alias(Call { door, grant, fields }: Call) -> Answer {
    let (name, alias) = (fields.required_text("name")?, fields.required_text("alias")?);
    door.tracking.set_alias(&grant, name, alias, fields.required_text("version")?).await?;
    reply_empty()
}

async fn delete_alias(Call { door, grant, fields }: Call) -> Answer {
    let name = fields.required_text("name")?;
    door.tracking.remove_alias(&grant, name, fields.required_text("alias")?).await?;
    reply_empty()
}
