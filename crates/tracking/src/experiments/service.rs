//! The rules of experiments.

use std::sync::PoisonError;

use mcplane_core::{Error, Grant, Result};
use mcplane_db::Tx;
use mcplane_objects::audit;

use super::store;
use super::types::{Experiment, ExperimentId, NewExperiment};
use crate::Tracking;
use crate::models::{check_host, decoded};
use crate::tags::{Tag, check_length, check_text};

const LONGEST_NAME: usize = 500;
const LONGEST_LOCATION: usize = 2048;
/// The name of the experiment of runs that name none.
const DEFAULT_NAME: &str = "Default";

impl Tracking {
    /// Makes an experiment.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for bad names, locations or tags; [`Error::Exists`] when the name is taken.
    pub async fn create_experiment(&self, grant: &Grant, new: NewExperiment) -> Result<ExperimentId> {
        check_name(&new.name)?;
        check_location(&new.artifact_location, &self.config.default_artifact_root)?;
        let new = NewExperiment { artifact_location: absolute(new.artifact_location), ..new };
        new.tags.iter().try_for_each(Tag::check_for_experiment)?;
        self.ensure_default(grant).await?;
        let (grant, root) = (grant.clone(), self.artifact_root(grant.namespace()?));
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    let namespace = grant.namespace()?;
                    tx.lock().await?;
                    if store::name_exists(tx, namespace, &new.name).await? {
                        return Err(taken(&new.name));
                    }
                    let id = store::next_id(tx, namespace).await?;
                    let experiment = planned(namespace, id, new, &root, tx.now());
                    store::insert(tx, &experiment).await?;
                    record(tx, &grant, "create", id);
                    Ok(id)
                })
            })
            .await
    }

    /// The experiment, deleted or not.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none.
    pub async fn experiment(&self, grant: &Grant, id: ExperimentId) -> Result<Experiment> {
        self.ensure_default(grant).await?;
        store::get(&self.db, grant.namespace()?, id).await?.ok_or_else(|| missing(id))
    }

    /// The experiment of that name, deleted or not.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none.
    pub async fn experiment_by_name(&self, grant: &Grant, name: &str) -> Result<Experiment> {
        self.ensure_default(grant).await?;
        let found = store::get_by_name(&self.db, grant.namespace()?, name).await?;
        found.ok_or_else(|| Error::Missing(format!("Could not find experiment with name '{name}'")))
    }

    /// Deletes an experiment with its runs, or restores them.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is no experiment in the other state.
    pub async fn set_experiment_deleted(&self, grant: &Grant, id: ExperimentId, deleted: bool) -> Result<()> {
        self.change_experiment(grant, id, move |experiment, tx, grant| {
            Box::pin(async move {
                if experiment.deleted == deleted {
                    return Err(missing(id));
                }
                store::set_deleted(tx, experiment.no, deleted).await?;
                record(tx, grant, if deleted { "delete" } else { "restore" }, id);
                Ok(())
            })
        })
        .await
    }

    /// Gives an experiment another name.
    ///
    /// # Errors
    /// [`Error::WrongState`] for a deleted experiment, [`Error::Exists`] when the name is taken.
    pub async fn rename_experiment(&self, grant: &Grant, id: ExperimentId, name: &str) -> Result<()> {
        check_name(name)?;
        let name = name.to_owned();
        self.change_experiment(grant, id, move |experiment, tx, grant| {
            Box::pin(async move {
                if experiment.deleted {
                    return Err(Error::WrongState("Cannot rename a non-active experiment.".to_owned()));
                }
                if experiment.name != name && store::name_exists(tx, &experiment.namespace, &name).await? {
                    return Err(taken(&name));
                }
                store::rename(tx, experiment.no, &name).await?;
                record(tx, grant, "update", id);
                Ok(())
            })
        })
        .await
    }

    /// Sets a tag.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a bad tag or a deleted experiment.
    pub async fn set_experiment_tag(&self, grant: &Grant, id: ExperimentId, tag: Tag) -> Result<()> {
        tag.check_for_experiment()?;
        self.change_experiment(grant, id, move |experiment, tx, _| {
            Box::pin(async move {
                experiment.check_active()?;
                store::put_tag(tx, experiment.no, &tag).await
            })
        })
        .await
    }

    /// Removes a tag.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is no such tag.
    pub async fn remove_experiment_tag(&self, grant: &Grant, id: ExperimentId, key: &str) -> Result<()> {
        let key = key.to_owned();
        self.change_experiment(grant, id, move |experiment, tx, _| {
            Box::pin(async move {
                experiment.check_active()?;
                if store::remove_tag(tx, experiment.no, &key).await? {
                    return Ok(());
                }
                Err(Error::Missing(format!("No tag with name: {key} in experiment with id {id}")))
            })
        })
        .await
    }

    /// Finds the experiment and changes it in one transaction.
    async fn change_experiment<F>(&self, grant: &Grant, id: ExperimentId, change: F) -> Result<()>
    where
        F: for<'t> FnOnce(Experiment, &'t mut Tx, &'t Grant) -> futures::future::BoxFuture<'t, Result<()>>
            + Send
            + 'static,
    {
        self.ensure_default(grant).await?;
        let grant = grant.clone();
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let experiment = store::find(tx, grant.namespace()?, id).await?.ok_or_else(|| missing(id))?;
                    change(experiment, tx, &grant).await
                })
            })
            .await
    }

    /// Makes the default experiment of the namespace, once.
    pub(crate) async fn ensure_default(&self, grant: &Grant) -> Result<()> {
        let name = grant.namespace()?;
        let known = || self.with_default.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(name) {
            return Ok(());
        }
        if store::get(&self.db, name, ExperimentId::DEFAULT).await?.is_none() {
            let (name, root) = (name.to_owned(), self.artifact_root(name));
            let insert = move |tx: &mut Tx| {
                let new = NewExperiment { name: DEFAULT_NAME.to_owned(), ..NewExperiment::default() };
                planned(&name, ExperimentId::DEFAULT, new, &root, tx.now())
            };
            self.db
                .write(move |tx| {
                    Box::pin(async move {
                        tx.lock().await?;
                        let experiment = insert(tx);
                        store::insert(tx, &experiment).await
                    })
                })
                .await?;
        }
        known().insert(name.to_owned());
        Ok(())
    }
}

/// The experiment that `new` becomes.
fn planned(namespace: &str, id: ExperimentId, new: NewExperiment, root: &str, now: i64) -> Experiment {
    let NewExperiment { name, mut artifact_location, tags } = new;
    if artifact_location.is_empty() {
        artifact_location = format!("{root}/{id}");
    }
    let namespace = namespace.to_owned();
    Experiment { no: 0, namespace, id, name, artifact_location, deleted: false, created_at: now, updated_at: now, tags }
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::bad_request("Invalid experiment name: ''"));
    }
    check_length("name", LONGEST_NAME, name)?;
    check_text(name)
}

fn check_location(location: &str, root: &str) -> Result<()> {
    let (place, query) = location.split_once('?').unwrap_or((location, ""));
    if place.contains('#') || place.contains(';') || query.contains('#') {
        return Err(Error::bad_request("'artifact_location' URL can't include fragments or params."));
    }
    if decoded(query).contains("..") {
        return Err(Error::bad_request("Invalid query string"));
    }
    check_host("artifact_location", location, root)?;
    if location.starts_with("runs:") {
        let message = format!("Artifact location cannot be a runs:/ URI. Given: '{location}'");
        return Err(Error::bad_request(message));
    }
    check_length("artifact_location", LONGEST_LOCATION, location)?;
    check_text(location)
}

/// A path without scheme is one of this machine, and means the same wherever a client stands.
fn absolute(location: String) -> String {
    let relative = !location.is_empty() && !location.contains(':') && !location.starts_with('/');
    match std::env::current_dir() {
        Ok(here) if relative => here.join(&location).display().to_string(),
        _ => location,
    }
}

fn missing(id: ExperimentId) -> Error {
    Error::Missing(format!("No Experiment with id={id} exists"))
}

fn taken(name: &str) -> Error {
    Error::Exists(format!("Experiment(name={name}) already exists."))
}

fn record(tx: &mut Tx, grant: &Grant, verb: &str, id: ExperimentId) {
    tx.audit(audit::entry(grant, verb, &id.to_string(), "allowed", 200, ""));
}
