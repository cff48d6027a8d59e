//! The rules of scorers.

use mcplane_core::{Error, Grant, Result};
use mcplane_db::Tx;
use mcplane_objects::audit;
use serde_json::Value;

use super::{ScorerVersion, store};
use crate::Tracking;
use crate::experiments::{self, Experiment, ExperimentId};
use crate::tags::{check_length, check_text};

const LONGEST_NAME: usize = 256;
/// Largest serialised scorer in characters.
const LARGEST: usize = 1 << 20;

/// What clients of scorers that hold code are told.
const NO_CODE: &str = "Custom scorer registration (using @scorer decorator) is disabled by default outside of Databricks \
    tracking environments due to security concerns. Custom scorers require arbitrary code execution during \
    deserialization.\n\nTo use custom scorers:\n1. Configure MLflow to use a Databricks tracking URI, or\n2. Manage your \
    custom scorer code in a source code repository (e.g., GitHub) and import it directly, or\n3. On a self-managed MLflow \
    server (or local environment) that you trust to run the scorer's code, set the MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS \
    environment variable to true, or\n4. Use built-in scorers or make_judge() scorers instead.";

impl Tracking {
    /// Registers a version of a scorer: the first of that name makes the scorer.
    pub(crate) async fn register_scorer(
        &self,
        grant: &Grant,
        experiment: &str,
        name: &str,
        content: &str,
    ) -> Result<ScorerVersion> {
        check_content(content)?;
        check_name(name)?;
        let experiment = ExperimentId::parse(experiment)?;
        self.ensure_default(grant).await?;
        let (grant, name, content) = (grant.clone(), name.to_owned(), content.to_owned());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let home = active(tx, &grant, experiment).await?;
                    let (scorer, id) = match store::find(tx, home.no, &name).await? {
                        Some(found) => found,
                        None => {
                            let id = uuid::Uuid::new_v4().to_string();
                            store::insert(tx, grant.namespace()?, home.no, &id, &name).await?;
                            let made = store::find(tx, home.no, &name).await?;
                            made.ok_or_else(|| Error::internal("a scorer that was just made is gone"))?
                        }
                    };
                    let version = store::highest(tx, scorer).await?.unwrap_or_default() + 1;
                    let now = tx.now();
                    store::add(tx, scorer, version, &content, now).await?;
                    tx.audit(audit::entry(&grant, "create", &format!("{name}/{version}"), "allowed", 200, ""));
                    Ok(ScorerVersion { experiment, id, name, version, content, created_at: now })
                })
            })
            .await
    }

    /// The latest versions of the scorers of an experiment, of several, or of all.
    pub(crate) async fn scorers(
        &self,
        grant: &Grant,
        experiments: Option<&[ExperimentId]>,
    ) -> Result<Vec<ScorerVersion>> {
        store::latest(&self.db, grant.namespace()?, experiments).await
    }

    /// All versions of a scorer.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none.
    pub(crate) async fn scorer_versions(
        &self,
        grant: &Grant,
        experiment: &str,
        name: &str,
    ) -> Result<Vec<ScorerVersion>> {
        let id = ExperimentId::parse(experiment)?;
        self.experiment(grant, id).await?.check_active()?;
        let found = store::versions(&self.db, grant.namespace()?, id, name).await?;
        if found.is_empty() { Err(missing(id, name, None)) } else { Ok(found) }
    }

    /// A version of a scorer; the latest if none is named.
    pub(crate) async fn scorer(
        &self,
        grant: &Grant,
        experiment: &str,
        name: &str,
        version: Option<i64>,
    ) -> Result<ScorerVersion> {
        let mut found = self.scorer_versions(grant, experiment, name).await?;
        found.retain(|scorer| version.is_none_or(|version| scorer.version == version));
        found.pop().ok_or_else(|| missing(experiment, name, version))
    }

    /// Deletes a version of a scorer, or all with the scorer.
    pub(crate) async fn delete_scorer(
        &self,
        grant: &Grant,
        experiment: &str,
        name: &str,
        version: Option<i64>,
    ) -> Result<()> {
        let id = ExperimentId::parse(experiment)?;
        let (grant, name) = (grant.clone(), name.to_owned());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let home = active(tx, &grant, id).await?;
                    let found = store::find(tx, home.no, &name).await?;
                    let (scorer, _) = found.ok_or_else(|| missing(id, &name, None))?;
                    if store::remove(tx, scorer, version).await? == 0 {
                        return Err(missing(id, &name, version));
                    }
                    if store::highest(tx, scorer).await?.is_none() && version.is_none() {
                        store::forget(tx, scorer).await?;
                    }
                    tx.audit(audit::entry(&grant, "delete", &name, "allowed", 200, ""));
                    Ok(())
                })
            })
            .await
    }
}

async fn active(tx: &mut Tx, grant: &Grant, id: ExperimentId) -> Result<Experiment> {
    let found = experiments::store::find(tx, grant.namespace()?, id).await?;
    let found = found.ok_or_else(|| Error::Missing(format!("No Experiment with id={id} exists")))?;
    found.check_active()?;
    Ok(found)
}

fn missing(experiment: impl std::fmt::Display, name: &str, version: Option<i64>) -> Error {
    let version = version.map(|version| format!(" and version {version}")).unwrap_or_default();
    Error::Missing(format!("Scorer with name '{name}'{version} not found for experiment {experiment}."))
}

fn check_name(name: &str) -> Result<()> {
    if name.trim().is_empty() {
        return Err(Error::bad_request("Scorer name cannot be empty or contain only whitespace."));
    }
    check_length("name", LONGEST_NAME, name)?;
    check_text(name)
}

fn check_content(content: &str) -> Result<()> {
    check_length("serialized_scorer", LARGEST, content)?;
    let value: Value =
        serde_json::from_str(content).map_err(|_| Error::bad_request("serialized_scorer must be valid JSON"))?;
    if has_code(&value) {
        return Err(Error::bad_request(NO_CODE));
    }
    if !value.is_object() {
        return Err(Error::bad_request("serialized_scorer must be a JSON object"));
    }
    check_text(content)?;
    match model(&value) {
        Some(model) if model.trim().is_empty() => {
            Err(Error::bad_request("Scorer model cannot be empty or contain only whitespace."))
        }
        Some(model) => match model.strip_prefix("gateway:/") {
            Some(endpoint) => Err(Error::Missing(format!("GatewayEndpoint not found (name='{endpoint}')"))),
            None => Ok(()),
        },
        None => Ok(()),
    }
}

/// Whether there is a scorer in it that is code, however deep.
fn has_code(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.get("call_source").is_some_and(|code| !code.is_null()) || map.values().any(has_code),
        Value::Array(items) => items.iter().any(has_code),
        _ => false,
    }
}

/// The model that a scorer asks.
fn model(value: &Value) -> Option<&str> {
    let kinds = ["instructions_judge_pydantic_data", "builtin_scorer_pydantic_data", "third_party_scorer_data"];
    let data = kinds.iter().find_map(|kind| value.get(kind)).or_else(|| {
        let base = value.get("memory_augmented_judge_data")?.get("base_judge")?;
        kinds.iter().find_map(|kind| base.get(kind))
    });
    data?.get("model")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scorers_hold_no_code() {
        let said = |content: &str| check_content(content).map_err(|error| error.to_string());
        for code in [r#"{"call_source": "x"}"#, r#"{"a": [{"b": {"call_source": ""}}]}"#] {
            assert!(said(code).unwrap_err().starts_with("Custom scorer registration"), "{code}");
        }
        assert_eq!(said("{").unwrap_err(), "serialized_scorer must be valid JSON");
        assert_eq!(said("[1]").unwrap_err(), "serialized_scorer must be a JSON object");
        let judge = |model: &str| said(&format!(r#"{{"instructions_judge_pydantic_data": {{"model": "{model}"}}}}"#));
        assert_eq!(judge("openai:/gpt-4"), Ok(()));
        assert_eq!(judge(" ").unwrap_err(), "Scorer model cannot be empty or contain only whitespace.");
        assert_eq!(judge("gateway:/x").unwrap_err(), "GatewayEndpoint not found (name='x')");
        assert_eq!(said(r#"{"call_source": null}"#), Ok(()));
    }
}
