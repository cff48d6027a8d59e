//! Versions whose content is known: they never change, and can be compared.

use std::collections::BTreeMap;

use mcplane_core::{Error, Grant, Result};
use mcplane_db::Tx;
use serde::Serialize;
use serde_json::{Value, json};

use super::content::{self, Pinned};
use super::service;
use super::source::Origin;
use super::types::{ModelVersion, NewModel, NewVersion, Record, RegisteredModel, Stage};
use super::{SemanticVersion, names, store, version_store, versions};
use crate::Tracking;
use crate::tags::{Tag, check_length, check_name, check_text};

/// The alias of the version that a rollback goes to.
const STABLE: &str = "stable";
/// Metrics of a version, at most.
const MOST_METRICS: usize = 1000;
/// Longest environment or signature, in bytes.
const LONGEST_JSON: usize = 256 << 10;
/// Longest path of content, in characters.
const LONGEST_PATH: usize = 2048;

/// A version to be registered with its content.
#[derive(Debug, Clone, Default)]
pub struct NewRecord {
    /// The name of its model, which is made if it is not there.
    pub model: String,
    /// Its semantic version; the next minor one if none is given.
    pub version: Option<String>,
    /// Where its content is.
    pub model_path: String,
    /// The run that made it; may be empty.
    pub run_id: String,
    /// What it is.
    pub description: String,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// What is known of how it came to be.
    pub record: Record,
}

/// Two versions side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Whether both have the same bytes, as far as is known.
    pub same_content: bool,
    /// What differs, by name: the value of the first, and that of the second.
    pub differences: BTreeMap<String, [Value; 2]>,
}

impl Tracking {
    /// Reads content, keeps it and registers it as a version. The same content under the same version is what is there.
    ///
    /// # Errors
    /// [`Error::Exists`] for other content under a version that is there; [`Error::Missing`] if there is no content;
    /// [`Error::BadRequest`] for a place that may not be read.
    pub async fn register_version(&self, grant: &Grant, new: NewRecord) -> Result<ModelVersion> {
        let wanted = new.version.as_deref().map(SemanticVersion::parse).transpose()?;
        check(&new)?;
        let pinned = self.pin(grant, &new.model_path).await?;
        let grant = grant.clone();
        let made = self
            .db
            .write(move |tx| {
                Box::pin(async move {
                    let namespace = grant.namespace()?;
                    tx.lock().await?;
                    let model = match store::lookup(tx, namespace, &new.model).await? {
                        Some(model) => model,
                        None => {
                            let named = NewModel { name: new.model.clone(), ..NewModel::default() };
                            service::insert(tx, namespace, named).await?
                        }
                    };
                    if let Some(semantic) = &wanted
                        && let Some(there) = same(tx, &model, semantic, &pinned).await?
                    {
                        return Ok(there);
                    }
                    let highest = version_store::highest(tx, model.no).await?;
                    let next = || highest.map_or(SemanticVersion::FIRST, |highest| highest.next());
                    let version = add(tx, &grant, model, wanted.unwrap_or_else(next), pinned, new).await?;
                    let name = format!("{}/{}", version.model, version.number);
                    service::record(
                        tx,
                        &grant,
                        "create",
                        &name,
                        &format!("{} sha256:{}", version.semantic, version.digest),
                    );
                    Ok(version)
                })
            })
            .await?;
        self.wake.up();
        Ok(made)
    }

    /// All versions of a model, the newest first.
    ///
    /// # Errors
    /// [`Error::Missing`] without the model.
    pub async fn versions(&self, grant: &Grant, model: &str) -> Result<Vec<ModelVersion>> {
        let mut view = self.db.snapshot().await?;
        let model = store::find(&mut view, grant.namespace()?, model).await?;
        version_store::all(&mut view, &model).await
    }

    /// The version of that semantic version or number.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none, [`Error::BadRequest`] for what is neither.
    pub async fn version_named(&self, grant: &Grant, model: &str, version: &str) -> Result<ModelVersion> {
        if !version.is_empty() && version.bytes().all(|c| c.is_ascii_digit()) {
            return self.version(grant, model, version).await;
        }
        let semantic = SemanticVersion::parse(version)?;
        let mut view = self.db.snapshot().await?;
        let model = store::find(&mut view, grant.namespace()?, model).await?;
        match version_store::by_semantic(&mut view, model.no, &semantic).await? {
            Some((number, _, false)) => version_store::find(&mut view, &model, number).await,
            _ => Err(Error::Missing(format!("Model {} has no version {semantic}", model.name))),
        }
    }

    /// The version that a rollback goes to.
    ///
    /// # Errors
    /// [`Error::Missing`] if no version is stable.
    pub async fn latest_stable(&self, grant: &Grant, model: &str) -> Result<ModelVersion> {
        let missing = || Error::Missing(format!("Model {model} has no stable version"));
        stable(self.versions(grant, model).await?).ok_or_else(missing)
    }

    /// What differs between two versions.
    ///
    /// # Errors
    /// [`Error::Missing`] if either is not there.
    pub async fn compare_versions(&self, grant: &Grant, model: &str, a: &str, b: &str) -> Result<Comparison> {
        let (a, b) = (self.version_named(grant, model, a).await?, self.version_named(grant, model, b).await?);
        let mut facts = (facts(&a), facts(&b));
        for (version, facts) in [(&a, &mut facts.0), (&b, &mut facts.1)] {
            // Runs may be elsewhere, or gone.
            if let Ok(run) = self.run(grant, &version.run_id).await {
                facts.extend(run.params.into_iter().map(|param| (format!("params.{}", param.key), param.value.into())));
            }
        }
        let differences = differences(&facts.0, &facts.1);
        Ok(Comparison { same_content: a.is_verified() && a.digest == b.digest, differences })
    }
}

fn check(new: &NewRecord) -> Result<()> {
    content::check(&new.model, &new.model_path)?;
    check_length("model_path", LONGEST_PATH, &new.model_path)?;
    check_text(&new.model_path)?;
    check_length("run_id", 256, &new.run_id)?;
    check_text(&new.run_id)?;
    names::check_description(&new.description)?;
    new.tags.iter().try_for_each(names::check_version_tag)?;
    let Record { metrics, environment, signature } = &new.record;
    if metrics.len() > MOST_METRICS {
        return Err(Error::bad_request(format!("a version may have {MOST_METRICS} metrics")));
    }
    metrics.keys().try_for_each(|key| check_name(key, "metrics"))?;
    let json = json!([environment, signature]).to_string();
    if json.len() > LONGEST_JSON {
        return Err(Error::bad_request(format!("environment and signature may have {LONGEST_JSON} bytes")));
    }
    // JSON escapes the character that databases refuse.
    if json.contains("\\u0000") { Err(Error::bad_request("text may not contain the character NUL")) } else { Ok(()) }
}

/// The version of that name, if it has the same content.
async fn same(
    tx: &mut Tx,
    model: &RegisteredModel,
    semantic: &SemanticVersion,
    pinned: &Pinned,
) -> Result<Option<ModelVersion>> {
    let refuse = |why: &str| Err(Error::Exists(format!("Version {semantic} of model {} {why}", model.name)));
    match version_store::by_semantic(tx, model.no, semantic).await? {
        None => Ok(None),
        Some((_, _, true)) => refuse("was deleted, and is not given again: choose another version"),
        Some((_, digest, _)) if digest.is_empty() => {
            refuse("is there, and its content is not known: choose another version")
        }
        Some((number, digest, _)) if digest == pinned.digest.to_hex() => {
            version_store::find(tx, model, number).await.map(Some)
        }
        Some((_, digest, _)) => refuse(&format!(
            "is there with other content (sha256:{digest}, not sha256:{}): versions never change",
            pinned.digest.to_hex()
        )),
    }
}

async fn add(
    tx: &mut Tx,
    grant: &Grant,
    model: RegisteredModel,
    semantic: SemanticVersion,
    pinned: Pinned,
    new: NewRecord,
) -> Result<ModelVersion> {
    let NewRecord { model_path, mut run_id, description, tags, record, .. } = new;
    if run_id.is_empty() {
        // The run was found when its file was read.
        let path = model_path.strip_prefix("runs:/").unwrap_or_default();
        path.split('/').next().unwrap_or_default().clone_into(&mut run_id);
    }
    let origin = Origin { source: model_path.clone(), location: model_path, run_id, model_id: String::new() };
    let version = NewVersion { description, tags, ..NewVersion::default() };
    let size = i64::try_from(pinned.size).map_err(Error::internal)?;
    versions::insert(tx, grant, model, semantic, origin, version, (pinned.digest.to_hex(), size, record)).await
}

/// The latest stable version, of versions in any order.
fn stable(versions: Vec<ModelVersion>) -> Option<ModelVersion> {
    let mut fit: Vec<ModelVersion> =
        versions.into_iter().filter(|version| version.is_verified() && !version.is_rolled_back()).collect();
    if let Some(at) = fit.iter().position(|version| version.aliases.iter().any(|alias| alias == STABLE)) {
        return Some(fit.swap_remove(at));
    }
    fit.retain(|version| version.stage == Stage::Production && version.semantic.pre_release().is_empty());
    fit.into_iter().max_by(|a, b| a.semantic.cmp(&b.semantic))
}

type Facts = BTreeMap<String, Value>;

fn facts(version: &ModelVersion) -> Facts {
    let mut facts = Facts::from([
        ("digest".to_owned(), version.digest.as_str().into()),
        ("size".to_owned(), version.size.into()),
        ("run_id".to_owned(), version.run_id.as_str().into()),
        ("stage".to_owned(), version.stage.name().into()),
        ("state".to_owned(), version.state().into()),
        ("signature".to_owned(), version.record.signature.clone().unwrap_or_default()),
    ]);
    facts.extend(version.record.metrics.iter().map(|(key, value)| (format!("metrics.{key}"), (*value).into())));
    for (key, value) in &version.record.environment {
        match value {
            Value::Object(inner) => {
                facts.extend(inner.iter().map(|(inner, value)| (format!("environment.{key}.{inner}"), value.clone())));
            }
            value => drop(facts.insert(format!("environment.{key}"), value.clone())),
        }
    }
    facts
}

fn differences(a: &Facts, b: &Facts) -> BTreeMap<String, [Value; 2]> {
    let value = |facts: &Facts, key: &str| facts.get(key).cloned().unwrap_or_default();
    let keys = a.keys().chain(b.keys());
    let pairs = keys.map(|key| (key.clone(), [value(a, key), value(b, key)]));
    pairs.filter(|(_, [a, b])| a != b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_differences_are_told() {
        let facts =
            |pairs: &[(&str, i64)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
        let (a, b): (Facts, Facts) =
            (facts(&[("same", 1), ("x", 1), ("a", 1)]), facts(&[("same", 1), ("x", 2), ("b", 1)]));
        let expected = json!({"a": [1, null], "b": [null, 1], "x": [1, 2]});
        assert_eq!(serde_json::to_value(differences(&a, &b)).unwrap(), expected);
    }
}
