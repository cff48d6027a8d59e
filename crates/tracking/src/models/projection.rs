//! Models and versions as objects: each change of a row that shows becomes a change of the feed, in the same transaction.

use std::sync::Arc;

use mcplane_core::{Result, clock};
use mcplane_db::Tx;
use mcplane_objects::storage::{Key, publish, retract};
use serde_json::{Map, Value, json};

use super::types::{ModelVersion, RegisteredModel, Shown};
use super::{store, version_store};
use crate::tags::Tag;

/// The collection of models in the feed.
pub(super) const MODELS: &str = "models.mcplane.io";
/// The collection of versions in the feed.
pub(super) const VERSIONS: &str = "modelversions.mcplane.io";
/// The label of a version that names the object of its model.
const MODEL_LABEL: &str = "mcplane.io/model";

/// A change as the feed tells of it: its revision, and the object.
pub(super) type Change = (i64, Arc<str>);

fn map(tags: &[Tag]) -> Map<String, Value> {
    tags.iter().map(|tag| (tag.key.clone(), tag.value.as_str().into())).collect()
}

fn metadata(shown: &Shown, namespace: &str, uid: &str, created_at: i64) -> Value {
    json!({
        "name": shown.name,
        "namespace": namespace,
        "uid": uid,
        "creationTimestamp": clock::rfc3339(created_at),
    })
}

/// A model as an object.
pub(super) fn model_object(model: &RegisteredModel) -> Value {
    let aliases: Map<String, Value> = model.aliases.iter().map(|a| (a.alias.clone(), a.version.into())).collect();
    json!({
        "metadata": metadata(&model.shown, &model.namespace, &model.uid, model.created_at),
        "spec": {
            "name": model.name,
            "description": model.description.as_deref().unwrap_or_default(),
            "tags": map(&model.tags),
        },
        "status": {
            "lastVersion": model.last_version,
            "aliases": aliases,
            "updatedAt": clock::rfc3339(model.updated_at),
        },
    })
}

/// A version as an object.
pub(super) fn version_object(model: &RegisteredModel, version: &ModelVersion) -> Value {
    let mut metadata = metadata(&version.shown, &model.namespace, &version.uid, version.created_at);
    metadata["labels"] = json!({ MODEL_LABEL: model.shown.name });
    json!({
        "metadata": metadata,
        "spec": {
            "model": version.model,
            "version": version.semantic,
            "number": version.number,
            "source": version.source,
            "runId": version.run_id,
            "modelId": version.model_id,
            "createdBy": version.created_by,
            "description": version.description.as_deref().unwrap_or_default(),
            "tags": map(&version.tags),
        },
        "status": {
            "stage": version.stage,
            "state": version.state(),
            "digest": version.digest,
            "size": version.size,
            "metrics": version.record.metrics,
            "environment": version.record.environment,
            "aliases": version.aliases,
            "updatedAt": clock::rfc3339(version.updated_at),
        },
    })
}

/// Shows a model and some of its versions as they are now.
pub(super) async fn show(tx: &mut Tx, namespace: &str, model: &str, versions: &[i64]) -> Result<RegisteredModel> {
    let mut model = store::find(tx, namespace, model).await?;
    if tell_model(tx, &mut model).await? {
        store::update(tx, &model).await?;
    }
    if versions.is_empty() {
        return Ok(model);
    }
    for mut version in version_store::some(tx, model.no, versions).await? {
        version.take_aliases(&model);
        if tell_version(tx, &model, &mut version).await? {
            version_store::set_shown(tx, &version).await?;
        }
    }
    Ok(model)
}

/// Tells of a model as it is now, if it is not as it was shown. Its row is to be written after that.
pub(super) async fn tell_model(tx: &mut Tx, model: &mut RegisteredModel) -> Result<bool> {
    let object = model_object(model);
    tell(tx, MODELS, &model.namespace, &mut model.shown, &object).await
}

/// Tells of a version as it is now, if it is not as it was shown. Its row is to be written after that.
pub(super) async fn tell_version(tx: &mut Tx, model: &RegisteredModel, version: &mut ModelVersion) -> Result<bool> {
    let object = version_object(model, version);
    tell(tx, VERSIONS, &model.namespace, &mut version.shown, &object).await
}

async fn tell(tx: &mut Tx, resource: &str, namespace: &str, shown: &mut Shown, object: &Value) -> Result<bool> {
    let key = key(resource, namespace, shown);
    let Some((revision, text)) = publish(tx, &key, (shown.revision, &shown.text), object).await? else {
        return Ok(false);
    };
    (shown.revision, shown.text) = (revision, text);
    Ok(true)
}

fn key(resource: &str, namespace: &str, shown: &Shown) -> Key {
    Key::new(&resource.into(), namespace, &shown.name)
}

/// Tells that a version is gone.
pub(super) async fn hide_version(tx: &mut Tx, model: &RegisteredModel, version: &ModelVersion) -> Result<Change> {
    retract(tx, &key(VERSIONS, &model.namespace, &version.shown), &version.shown.text).await
}

/// Tells that a model is gone, and all its versions.
pub(super) async fn hide(tx: &mut Tx, model: &RegisteredModel, versions: &[i64]) -> Result<Change> {
    for version in version_store::some(tx, model.no, versions).await? {
        hide_version(tx, model, &version).await?;
    }
    retract(tx, &key(MODELS, &model.namespace, &model.shown), &model.shown.text).await
}
