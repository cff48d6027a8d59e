//! The rules of runs.

use futures::future::BoxFuture;
use mcplane_core::{Error, Grant, Result};
use mcplane_db::Tx;
use mcplane_objects::audit;
use uuid::Uuid;

use super::store::RunKey;
use super::types::{NAME_TAG, NewRun, Run, RunInfo, RunStatus, RunUpdate};
use super::{assemble, names, store};
use crate::Tracking;
use crate::datasets::Lineage;
use crate::experiments::{self, ExperimentId};
use crate::tags::{LONGEST_PARAM, Tag, check_text, cut};

impl Tracking {
    /// Starts a run.
    ///
    /// # Errors
    /// [`Error::Missing`] without the experiment, [`Error::BadRequest`] if that is deleted or the names disagree.
    pub async fn create_run(&self, grant: &Grant, new: NewRun) -> Result<Run> {
        let id = ExperimentId::parse(&new.experiment)?;
        let (name, tags) = name_and_tags(new.name, new.tags)?;
        check_text(&new.user_id)?;
        self.ensure_default(grant).await?;
        let grant = grant.clone();
        let (given, user_id, started_at) = (new.id, new.user_id, new.started_at);
        if !given.is_empty() && (given.len() != 32 || Uuid::try_parse(&given).is_err()) {
            return Err(Error::bad_request("the id of a run has 32 hexadecimal digits"));
        }
        let teller = self.tell_of_run();
        let made = self
            .db
            .write(move |tx| {
                Box::pin(async move {
                    let namespace = grant.namespace()?;
                    tx.lock().await?;
                    let experiment = experiments::store::find(tx, namespace, id).await?;
                    let experiment =
                        experiment.ok_or_else(|| Error::Missing(format!("No Experiment with id={id} exists")))?;
                    experiment.check_active()?;
                    if !given.is_empty() {
                        let (sql, args) = store::by_id(namespace, &given);
                        if let Some(row) = tx.fetch(sql, args).await?.first() {
                            let info = store::read(row)?;
                            return Ok(Run {
                                info,
                                metrics: vec![],
                                params: vec![],
                                tags,
                                lineage: Lineage::default(),
                            });
                        }
                    }
                    let run_id = if given.is_empty() { Uuid::new_v4().simple().to_string() } else { given };
                    let mut info = RunInfo {
                        no: 0,
                        experiment: id,
                        experiment_no: experiment.no,
                        name,
                        user_id,
                        status: RunStatus::Running,
                        started_at,
                        ended_at: None,
                        deleted_at: None,
                        artifact_uri: below(&experiment.artifact_location, &format!("{run_id}/artifacts")),
                        id: run_id,
                    };
                    info.no = store::insert(tx, namespace, &info).await?;
                    store::put_tags(tx, (&info).into(), &tags).await?;
                    teller.tell(tx, namespace, &info.id, info.status).await?;
                    Ok(Run { info, metrics: vec![], params: vec![], tags, lineage: Lineage::default() })
                })
            })
            .await?;
        self.wake_for_runs();
        Ok(made)
    }

    /// The run with all that was logged to it, deleted or not.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none.
    pub async fn run(&self, grant: &Grant, id: &str) -> Result<Run> {
        let mut view = self.db.snapshot().await?;
        let (sql, args) = store::by_id(grant.namespace()?, id);
        let infos = view.fetch(sql, args).await?.iter().map(store::read).collect::<Result<_>>()?;
        assemble(&mut view, infos).await?.pop().ok_or_else(|| store::missing(id))
    }

    /// Changes the run itself.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none, [`Error::BadRequest`] if it is deleted.
    pub async fn update_run(&self, grant: &Grant, id: &str, change: RunUpdate) -> Result<RunInfo> {
        let change = RunUpdate { name: change.name.filter(|name| !name.is_empty()), ..change };
        change.name.iter().try_for_each(|name| check_text(name))?;
        let teller = self.tell_of_run();
        let changed = self
            .change_run(grant, id, move |run, tx, namespace, id| {
                Box::pin(async move {
                    apply(tx, run, &change).await?;
                    if let Some(status) = change.status {
                        teller.tell(tx, namespace, id, status).await?;
                    }
                    let (sql, args) = store::by_id(namespace, id);
                    tx.fetch(sql, args).await?.first().map(store::read).transpose()?.ok_or_else(|| store::missing(id))
                })
            })
            .await?;
        self.wake_for_runs();
        Ok(changed)
    }

    /// Deletes a run, which can be restored until it is purged, or restores it.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none.
    pub async fn set_run_deleted(&self, grant: &Grant, id: &str, deleted: bool) -> Result<()> {
        let (grant, id) = (grant.clone(), id.to_owned());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let run = store::find(tx, grant.namespace()?, &id).await?;
                    let now = tx.now();
                    store::set_deleted(tx, run.no, deleted.then_some(now)).await?;
                    let verb = if deleted { "delete" } else { "restore" };
                    tx.audit(audit::entry(&grant, verb, &id, "allowed", 200, ""));
                    Ok(())
                })
            })
            .await
    }

    /// Logs a parameter; the same value again changes nothing.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a bad key, for another value than before, or for a deleted run.
    pub async fn log_param(&self, grant: &Grant, run_id: &str, mut param: Tag) -> Result<()> {
        param.check_param("")?;
        cut(&mut param.value, LONGEST_PARAM);
        self.change_run(grant, run_id, |run, tx, _, id| {
            Box::pin(async move {
                if let Some(old) = store::params(tx, run.no, &[&param.key]).await?.pop() {
                    return unchanged(&old, &param, id);
                }
                store::insert_params(tx, run, &[param]).await
            })
        })
        .await
    }

    /// Sets a tag.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a bad tag or a deleted run.
    pub async fn set_run_tag(&self, grant: &Grant, run_id: &str, tag: Tag) -> Result<()> {
        tag.check("")?;
        let tag = tag.cut();
        self.change_run(grant, run_id, |run, tx, _, _| Box::pin(async move { put_tags(tx, run, vec![tag]).await }))
            .await
    }

    /// Removes a tag.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is no such tag.
    pub async fn remove_run_tag(&self, grant: &Grant, run_id: &str, key: &str) -> Result<()> {
        let key = key.to_owned();
        self.change_run(grant, run_id, |run, tx, _, id| {
            Box::pin(async move {
                if store::remove_tag(tx, run.no, &key).await? {
                    return Ok(());
                }
                Err(Error::Missing(format!("No tag with name: {key} in run with id {id}")))
            })
        })
        .await
    }

    /// Finds an active run and changes it, or what belongs to it, in one transaction.
    pub(crate) async fn change_run<T, F>(&self, grant: &Grant, id: &str, change: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(RunKey, &'t mut Tx, &'t str, &'t str) -> BoxFuture<'t, Result<T>> + Send + 'static,
    {
        let (namespace, id) = (grant.namespace()?.to_owned(), id.to_owned());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let run = store::find_active(tx, &namespace, &id).await?;
                    change(run, tx, &namespace, &id).await
                })
            })
            .await
    }
}

/// Sets tags; of those with one key the last counts, and the tag of the name is the name.
pub(crate) async fn put_tags(tx: &mut Tx, run: RunKey, tags: Vec<Tag>) -> Result<()> {
    let tags = last_of_each(tags);
    if let Some(tag) = tags.iter().find(|tag| tag.key == NAME_TAG) {
        let name = Some(tag.value.clone()).filter(|name| !name.is_empty());
        store::update(tx, run.no, &RunUpdate { name, ..RunUpdate::default() }).await?;
    }
    store::put_tags(tx, run, &tags).await
}

async fn apply(tx: &mut Tx, run: RunKey, change: &RunUpdate) -> Result<()> {
    store::update(tx, run.no, change).await?;
    match &change.name {
        Some(name) => store::put_tags(tx, run, &[Tag::new(NAME_TAG, name)]).await,
        None => Ok(()),
    }
}

/// A parameter that is there already may only be logged with the value that it has.
fn unchanged(old: &Tag, new: &Tag, run_id: &str) -> Result<()> {
    if old.value == new.value {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "Changing param values is not allowed. Param with key='{}' was already logged with value='{}' for run ID='{run_id}'. \
         Attempted logging new value '{}'.",
        new.key, old.value, new.value
    )))
}

/// The name that a run gets, and its tags with the one that mirrors the name.
fn name_and_tags(given: String, tags: Vec<Tag>) -> Result<(String, Vec<Tag>)> {
    tags.iter().try_for_each(|tag| check_text(&tag.key).and_then(|()| check_text(&tag.value)))?;
    check_text(&given)?;
    let mut tags = last_of_each(tags);
    let tagged = tags.iter().find(|tag| tag.key == NAME_TAG).map(|tag| tag.value.clone()).unwrap_or_default();
    if !given.is_empty() && !tagged.is_empty() && given != tagged {
        return Err(Error::bad_request(format!(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values \
             (run_name='{given}', mlflow.runName='{tagged}')."
        )));
    }
    let name = [given, tagged].into_iter().find(|name| !name.is_empty()).unwrap_or_else(names::random);
    if !tags.iter().any(|tag| tag.key == NAME_TAG && !tag.value.is_empty()) {
        tags.retain(|tag| tag.key != NAME_TAG);
        tags.push(Tag::new(NAME_TAG, name.as_str()));
    }
    Ok((name, tags))
}

/// Sorted by key, the last of those with the same.
fn last_of_each(tags: Vec<Tag>) -> Vec<Tag> {
    let by_key: std::collections::BTreeMap<String, String> = tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    by_key.into_iter().map(|(key, value)| Tag { key, value }).collect()
}

/// A URI below another.
pub(crate) fn below(root: &str, path: &str) -> String {
    format!("{}/{path}", root.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_its_tag_are_one() {
        let (name, tags) = name_and_tags("n".into(), vec![Tag::new("a", "1"), Tag::new("a", "2")]).unwrap();
        assert_eq!((name.as_str(), tags), ("n", vec![Tag::new("a", "2"), Tag::new(NAME_TAG, "n")]));
        let (name, _) = name_and_tags(String::new(), vec![Tag::new(NAME_TAG, "t")]).unwrap();
        assert_eq!(name, "t");
        assert!(name_and_tags("n".into(), vec![Tag::new(NAME_TAG, "t")]).is_err());
        let (made_up, _) = name_and_tags(String::new(), vec![]).unwrap();
        assert_eq!(made_up.split('-').count(), 3, "{made_up}");
    }

    #[test]
    fn parameters_are_written_once() {
        let [old, new] = ["1", "2"].map(|value| Tag::new("lr", value));
        assert!(unchanged(&old, &old, "r").is_ok());
        assert_eq!(
            unchanged(&old, &new, "r").unwrap_err().to_string(),
            "Changing param values is not allowed. Param with key='lr' was already logged with value='1' for run ID='r'. \
             Attempted logging new value '2'."
        );
    }
}
