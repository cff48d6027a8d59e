//! The rules of logged models.

use std::collections::{BTreeMap, HashSet};

use futures::future::BoxFuture;
use mcplane_core::{Error, Grant, Result};
use mcplane_db::Tx;
use mcplane_objects::audit;
use uuid::Uuid;

use super::store;
use super::types::{LoggedModel, ModelStatus, NewModel, check_name};
use crate::Tracking;
use crate::experiments::{self, ExperimentId};
use crate::runs;
use crate::tags::{Tag, check_length, check_text};

const LONGEST_NAME: usize = 500;
const LONGEST_KEY: usize = 255;

impl Tracking {
    /// Logs a model, whose artifacts are to come.
    ///
    /// # Errors
    /// [`Error::Missing`] without the experiment, [`Error::BadRequest`] if that is deleted or for bad texts.
    pub async fn create_logged_model(&self, grant: &Grant, new: NewModel) -> Result<LoggedModel> {
        let experiment = ExperimentId::parse(&new.experiment)?;
        check(&new)?;
        self.ensure_default(grant).await?;
        let grant = grant.clone();
        self.db.write(move |tx| Box::pin(async move { create(tx, &grant, experiment, new).await })).await
    }

    /// The model with all that belongs to it.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none, or it is deleted and `deleted` does not ask for those too.
    pub async fn logged_model(&self, grant: &Grant, id: &str, deleted: bool) -> Result<LoggedModel> {
        let mut view = self.db.snapshot().await?;
        let (sql, args) = store::by_id(grant.namespace()?, id);
        let models = view.fetch(sql, args).await?.iter().map(store::read).collect::<Result<_>>()?;
        let found = store::assemble(&mut view, models).await?.pop();
        found.filter(|model| deleted || !model.deleted).ok_or_else(|| store::missing(id))
    }

    /// Notes how far a model is.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none.
    pub async fn finalize_logged_model(&self, grant: &Grant, id: &str, status: ModelStatus) -> Result<LoggedModel> {
        self.change_model(grant, id, move |no, tx| Box::pin(store::set_status(tx, no, status))).await?;
        self.logged_model(grant, id, true).await
    }

    /// Deletes a model; deleting it again changes nothing.
    ///
    /// # Errors
    /// [`Error::Missing`] if there was none.
    pub async fn delete_logged_model(&self, grant: &Grant, id: &str) -> Result<()> {
        let entry = audit::entry(grant, "delete", id, "allowed", 200, "");
        self.change_model(grant, id, move |no, tx| {
            Box::pin(async move {
                store::set_deleted(tx, no).await?;
                tx.audit(entry);
                Ok(())
            })
        })
        .await
    }

    /// Sets tags; of those with one key the last counts.
    ///
    /// # Errors
    /// [`Error::Missing`] without the model.
    pub async fn set_logged_model_tags(&self, grant: &Grant, id: &str, tags: Vec<Tag>) -> Result<()> {
        check_pairs(&tags)?;
        let by_key: BTreeMap<String, String> = tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
        let tags: Vec<Tag> = by_key.into_iter().map(|(key, value)| Tag { key, value }).collect();
        self.change_model(grant, id, move |no, tx| Box::pin(async move { store::put_tags(tx, no, &tags).await })).await
    }

    /// Removes a tag.
    ///
    /// # Errors
    /// [`Error::Missing`] without the model or the tag.
    pub async fn remove_logged_model_tag(&self, grant: &Grant, id: &str, key: &str) -> Result<()> {
        let (id, key) = (id.to_owned(), key.to_owned());
        self.change_model(grant, &id.clone(), move |no, tx| {
            Box::pin(async move {
                if store::remove_tag(tx, no, &key).await? {
                    return Ok(());
                }
                let (key, id) = (crate::filter::python::repr(&key), crate::filter::python::repr(&id));
                Err(Error::Missing(format!("No tag with key {key} found for model with ID {id}.")))
            })
        })
        .await
    }

    /// Logs parameters; the same value again changes nothing.
    ///
    /// # Errors
    /// `BAD_REQUEST` for another value than before.
    pub async fn log_logged_model_params(&self, grant: &Grant, id: &str, params: Vec<Tag>) -> Result<()> {
        check_pairs(&params)?;
        check_distinct("parameter", &params)?;
        self.change_model(grant, id, move |no, tx| {
            Box::pin(async move {
                let keys: Vec<&str> = params.iter().map(|param| param.key.as_str()).collect();
                let known = store::params(tx, no, &keys).await?;
                let mut new = Vec::new();
                for param in params {
                    match known.iter().find(|known| known.key == param.key) {
                        None => new.push(param),
                        Some(known) if known.value == param.value => {}
                        Some(_) => return Err(changed(&param.key)),
                    }
                }
                store::insert_params(tx, no, &new).await
            })
        })
        .await
    }

    /// Notes a model in the tag of its run where clients of old look for it.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for what is no model or a deleted run.
    pub async fn log_model_in_run(&self, grant: &Grant, run_id: &str, model: super::LegacyModel) -> Result<()> {
        self.change_run(grant, run_id, |run, tx, _, _| {
            Box::pin(async move {
                let history = runs::store::tag(tx, run.no, super::legacy::HISTORY_TAG).await?;
                let tag = model.after(history.as_deref().unwrap_or_default());
                runs::store::put_tags(tx, run, &[tag.cut()]).await
            })
        })
        .await
    }

    /// Finds the model, deleted or not, and changes it in one transaction.
    async fn change_model<F>(&self, grant: &Grant, id: &str, change: F) -> Result<()>
    where
        F: for<'t> FnOnce(i64, &'t mut Tx) -> BoxFuture<'t, Result<()>> + Send + 'static,
    {
        let (namespace, id) = (grant.namespace()?.to_owned(), id.to_owned());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let no = store::find(tx, &namespace, &id).await?;
                    change(no, tx).await
                })
            })
            .await
    }
}

async fn create(tx: &mut Tx, grant: &Grant, experiment_id: ExperimentId, new: NewModel) -> Result<LoggedModel> {
    let namespace = grant.namespace()?;
    tx.lock().await?;
    let experiment = experiments::store::find(tx, namespace, experiment_id).await?;
    let experiment =
        experiment.ok_or_else(|| Error::Missing(format!("No Experiment with id={experiment_id} exists")))?;
    experiment.check_active()?;
    let id = format!("m-{}", Uuid::new_v4().simple());
    let NewModel { name, model_type, source_run, mut params, mut tags, .. } = new;
    for pairs in [&mut params, &mut tags] {
        pairs.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    }
    let mut model = LoggedModel {
        no: 0,
        experiment: experiment_id,
        name: if name.is_empty() { runs::random_name() } else { name },
        model_type,
        source_run,
        status: ModelStatus::Pending,
        artifact_uri: runs::below(&experiment.artifact_location, &format!("models/{id}/artifacts")),
        id,
        created_at: tx.now(),
        updated_at: tx.now(),
        deleted: false,
        tags,
        params,
        metrics: vec![],
    };
    model.no = store::insert(tx, namespace, experiment.no, &model).await?;
    store::insert_params(tx, model.no, &model.params).await?;
    store::put_tags(tx, model.no, &model.tags).await?;
    Ok(model)
}

fn check(new: &NewModel) -> Result<()> {
    check_name(&new.name)?;
    for (what, text) in [("name", &new.name), ("model_type", &new.model_type), ("source_run_id", &new.source_run)] {
        check_length(what, LONGEST_NAME, text)?;
        check_text(text)?;
    }
    check_pairs(&new.params)?;
    check_pairs(&new.tags)?;
    check_distinct("parameter", &new.params)?;
    check_distinct("tag", &new.tags)
}

fn check_pairs(pairs: &[Tag]) -> Result<()> {
    pairs.iter().try_for_each(|Tag { key, value }| {
        check_length("key", LONGEST_KEY, key)?;
        check_text(key).and_then(|()| check_text(value))
    })
}

/// A key may come once in a request, else it is not clear what it means.
fn check_distinct(what: &str, pairs: &[Tag]) -> Result<()> {
    let mut keys = HashSet::new();
    match pairs.iter().find(|pair| !keys.insert(pair.key.as_str())) {
        None => Ok(()),
        Some(pair) => Err(Error::NotAcceptable(format!("More than one {what} has the key '{}'.", pair.key))),
    }
}

fn changed(key: &str) -> Error {
    Error::NotAcceptable(format!("Parameter '{key}' of the model was already logged with another value."))
}
