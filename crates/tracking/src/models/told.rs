//! What webhooks are told of changes of the registry. Prompts are models, and have events of their own.

use mcplane_core::Result;
use mcplane_db::Tx;
use serde_json::{Map, Value, json};

use super::types::{ModelVersion, PROMPT_TAG, PROMPT_TEXT_TAG, RegisteredModel, is_prompt};
use crate::tags::Tag;
use crate::webhooks::{self, Kind, emit};

/// The tag that says which kind of prompt it is.
const PROMPT_TYPE_TAG: &str = "_mlflow_prompt_type";

const fn either(prompt: bool, of_prompt: Kind, of_model: Kind) -> Kind {
    if prompt { of_prompt } else { of_model }
}

/// Tags but for those that only say that something is a prompt.
fn tags(tags: &[Tag], prompt: bool) -> Map<String, Value> {
    let hidden = |key: &str| prompt && [PROMPT_TAG, PROMPT_TYPE_TAG, PROMPT_TEXT_TAG].contains(&key);
    let shown = tags.iter().filter(|tag| !hidden(&tag.key));
    shown.map(|tag| (tag.key.clone(), tag.value.as_str().into())).collect()
}

/// There is a new model.
pub(super) async fn created(tx: &mut Tx, model: &RegisteredModel) -> Result<()> {
    let prompt = model.is_prompt();
    let kind = either(prompt, webhooks::PROMPT_CREATED, webhooks::MODEL_CREATED);
    emit(tx, &model.namespace, kind, || {
        let description = model.description.as_deref().unwrap_or_default();
        json!({"name": model.name, "tags": tags(&model.tags, prompt), "description": description})
    })
    .await
}

/// There is a new version.
pub(super) async fn version_created(tx: &mut Tx, namespace: &str, version: &ModelVersion) -> Result<()> {
    let prompt = is_prompt(&version.tags);
    let kind = either(prompt, webhooks::PROMPT_VERSION_CREATED, webhooks::VERSION_CREATED);
    emit(tx, namespace, kind, || {
        let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let mut data = json!({
            "name": version.model,
            "version": version.number.to_string(),
            "tags": tags(&version.tags, prompt),
            "description": version.description.as_deref().and_then(filled),
        });
        if prompt {
            let text = version.tags.iter().find(|tag| tag.key == PROMPT_TEXT_TAG).map(|tag| tag.value.as_str());
            data["template"] = text.into();
        } else {
            data["source"] = version.source.as_str().into();
            data["run_id"] = filled(&version.run_id).into();
        }
        data
    })
    .await
}

/// A tag of a model was set, or is gone if it has no value. Only prompts have such events.
pub(super) async fn tagged(tx: &mut Tx, model: &RegisteredModel, key: &str, value: Option<&str>) -> Result<()> {
    // What the tag made of the model counts, not what the model was before.
    let prompt = match key {
        PROMPT_TAG => value.is_some_and(|value| value.eq_ignore_ascii_case("true")),
        _ => model.is_prompt(),
    };
    if !prompt {
        return Ok(());
    }
    let kind = if value.is_some() { webhooks::PROMPT_TAG_SET } else { webhooks::PROMPT_TAG_DELETED };
    emit(tx, &model.namespace, kind, || tag(json!({"name": model.name}), key, value)).await
}

/// A tag of a version was set, or is gone if it has no value.
pub(super) async fn version_tagged(
    tx: &mut Tx,
    model: &RegisteredModel,
    version: i64,
    key: &str,
    value: Option<&str>,
) -> Result<()> {
    let kind = match value {
        Some(_) => either(model.is_prompt(), webhooks::PROMPT_VERSION_TAG_SET, webhooks::VERSION_TAG_SET),
        None => either(model.is_prompt(), webhooks::PROMPT_VERSION_TAG_DELETED, webhooks::VERSION_TAG_DELETED),
    };
    let subject = || json!({"name": model.name, "version": version.to_string()});
    emit(tx, &model.namespace, kind, || tag(subject(), key, value)).await
}

fn tag(mut data: Value, key: &str, value: Option<&str>) -> Value {
    data["key"] = key.into();
    if let Some(value) = value {
        data["value"] = value.into();
    }
    data
}

/// A version got an alias, or one is gone if it names no version.
pub(super) async fn aliased(tx: &mut Tx, model: &RegisteredModel, alias: &str, version: Option<i64>) -> Result<()> {
    let kind = match version {
        Some(_) => either(model.is_prompt(), webhooks::PROMPT_ALIAS_CREATED, webhooks::ALIAS_CREATED),
        None => either(model.is_prompt(), webhooks::PROMPT_ALIAS_DELETED, webhooks::ALIAS_DELETED),
    };
    emit(tx, &model.namespace, kind, || {
        let mut data = json!({"name": model.name, "alias": alias});
        if let Some(version) = version {
            data["version"] = version.to_string().into();
        }
        data
    })
    .await
}
