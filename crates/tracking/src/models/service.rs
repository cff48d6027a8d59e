//! The rules of registered models.

use futures::future::BoxFuture;
use mcplane_core::{Error, Grant, Result};
use mcplane_db::Tx;
use mcplane_objects::audit;
use uuid::Uuid;

use super::types::{NewModel, RegisteredModel, Shown, Stage, is_prompt};
use super::{ModelVersion, names, projection, store, told, version_store};
use crate::Tracking;
use crate::tags::Tag;

/// What a change made of a model touched, besides the model itself: numbers of versions.
pub(super) type Touched = Vec<i64>;

impl Tracking {
    /// Registers a name for models.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a bad name or tag, [`Error::Exists`] when the name is taken.
    pub async fn create_model(&self, grant: &Grant, new: NewModel) -> Result<RegisteredModel> {
        names::check_model(&new.name, "name")?;
        names::check_model_tags(&new.tags)?;
        new.description.iter().try_for_each(|text| names::check_description(text))?;
        let grant = grant.clone();
        let made = self
            .db
            .write(move |tx| {
                Box::pin(async move {
                    let namespace = grant.namespace()?;
                    tx.lock().await?;
                    if let Some(old) = store::lookup(tx, namespace, &new.name).await? {
                        return Err(taken(&new.name, old.is_prompt(), is_prompt(&new.tags)));
                    }
                    let name = new.name.clone();
                    insert(tx, namespace, new).await?;
                    record(tx, &grant, "create", &name, "");
                    projection::show(tx, namespace, &name, &[]).await
                })
            })
            .await?;
        self.wake.up();
        Ok(made)
    }

    /// The model of that name, with its latest versions.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none.
    pub async fn model(&self, grant: &Grant, name: &str) -> Result<RegisteredModel> {
        let mut view = self.db.snapshot().await?;
        let mut model = store::find(&mut view, grant.namespace()?, name).await?;
        model.latest = version_store::latest_of(&mut view, &[model.no]).await?;
        Ok(model)
    }

    /// The last version in each of some stages, or of all if there are none, with their aliases.
    ///
    /// # Errors
    /// [`Error::Missing`] without the model, [`Error::BadRequest`] for what is no stage.
    pub async fn latest_versions(&self, grant: &Grant, name: &str, stages: &[&str]) -> Result<Vec<ModelVersion>> {
        let mut model = self.model(grant, name).await?;
        let stages = stages.iter().map(|stage| Stage::parse(stage)).collect::<Result<Vec<_>>>()?;
        let mut latest = std::mem::take(&mut model.latest);
        latest.retain(|version| stages.is_empty() || stages.contains(&version.stage));
        latest.iter_mut().for_each(|version| version.take_aliases(&model));
        Ok(latest)
    }

    /// Describes a model anew.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none.
    pub async fn describe_model(&self, grant: &Grant, name: &str, description: &str) -> Result<RegisteredModel> {
        names::check_description(description)?;
        let description = description.to_owned();
        self.change_registered_model(grant, name, "update", move |mut model, tx, _| {
            Box::pin(async move {
                model.description = Some(description);
                model.updated_at = tx.now();
                store::update(tx, &model).await?;
                Ok(vec![])
            })
        })
        .await?;
        self.model(grant, name).await
    }

    /// Gives a model another name.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none, [`Error::Exists`] when the other name is taken.
    pub async fn rename_model(&self, grant: &Grant, name: &str, new_name: &str) -> Result<RegisteredModel> {
        names::check_model(new_name, "new_name")?;
        let (grant_, old, new) = (grant.clone(), name.to_owned(), new_name.to_owned());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    let namespace = grant_.namespace()?;
                    tx.lock().await?;
                    let model = store::find(tx, namespace, &old).await?;
                    rename(tx, model, &new).await?;
                    record(tx, &grant_, "update", &old, &format!("renamed to {new}"));
                    Ok(())
                })
            })
            .await?;
        self.model(grant, new_name).await
    }

    /// Deletes a model with all its versions.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none.
    pub async fn delete_model(&self, grant: &Grant, name: &str) -> Result<()> {
        let (grant, name) = (grant.clone(), name.to_owned());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let model = store::find(tx, grant.namespace()?, &name).await?;
                    delete(tx, &model).await?;
                    record(tx, &grant, "delete", &name, &format!("with versions up to {}", model.last_version));
                    Ok(())
                })
            })
            .await
    }

    /// Sets a tag of a model.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for a bad tag, [`Error::Missing`] without the model.
    pub async fn set_model_tag(&self, grant: &Grant, name: &str, tag: Tag) -> Result<()> {
        names::check_model(name, "name")?;
        names::check_model_tag(&tag)?;
        self.change_registered_model(grant, name, "update", |model, tx, _| {
            Box::pin(async move {
                told::tagged(tx, &model, &tag.key, Some(&tag.value)).await?;
                store::put_tags(tx, model.no, &[tag]).await?;
                Ok(vec![])
            })
        })
        .await
    }

    /// Removes a tag of a model, if it is there.
    ///
    /// # Errors
    /// [`Error::Missing`] without the model.
    pub async fn remove_model_tag(&self, grant: &Grant, name: &str, key: &str) -> Result<()> {
        names::check_model(name, "name")?;
        names::check_key(key)?;
        let key = key.to_owned();
        self.change_registered_model(grant, name, "update", |model, tx, _| {
            Box::pin(async move {
                store::remove_tag(tx, model.no, &key).await?;
                told::tagged(tx, &model, &key, None).await?;
                Ok(vec![])
            })
        })
        .await
    }

    /// Removes some models of a namespace that goes, as if each was deleted; tells whether there may be more.
    pub(crate) async fn purge_models(&self, namespace: &str) -> Result<bool> {
        const TOGETHER: usize = 20;
        let namespace = namespace.to_owned();
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    tx.lock().await?;
                    let names = store::some_names(tx, &namespace, TOGETHER).await?;
                    for name in &names {
                        let model = store::find(tx, &namespace, name).await?;
                        delete(tx, &model).await?;
                    }
                    Ok(names.len() == TOGETHER)
                })
            })
            .await
    }

    /// Finds the model and changes it, or what belongs to it, in one transaction.
    pub(super) async fn change_registered_model<F>(
        &self,
        grant: &Grant,
        name: &str,
        verb: &'static str,
        change: F,
    ) -> Result<()>
    where
        F: for<'t> FnOnce(RegisteredModel, &'t mut Tx, &'t Grant) -> BoxFuture<'t, Result<Touched>> + Send + 'static,
    {
        let (grant, name) = (grant.clone(), name.to_owned());
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    let namespace = grant.namespace()?;
                    tx.lock().await?;
                    let model = store::find(tx, namespace, &name).await?;
                    let touched = change(model, tx, &grant).await?;
                    projection::show(tx, namespace, &name, &touched).await?;
                    record(tx, &grant, verb, &name, "");
                    Ok(())
                })
            })
            .await?;
        self.wake.up();
        Ok(())
    }
}

/// Adds a model whose name is free.
pub(super) async fn insert(tx: &mut Tx, namespace: &str, new: NewModel) -> Result<RegisteredModel> {
    let shown = Shown { name: store::free_object_name(tx, namespace, &new.name, 0).await?, ..Shown::default() };
    let mut model = RegisteredModel {
        no: 0,
        shown,
        namespace: namespace.to_owned(),
        name: new.name,
        uid: Uuid::new_v4().to_string(),
        description: new.description,
        created_at: tx.now(),
        updated_at: tx.now(),
        last_version: 0,
        tags: last_of_each(new.tags),
        aliases: vec![],
        latest: vec![],
    };
    model.no = store::insert(tx, &model).await?;
    told::created(tx, &model).await?;
    Ok(model)
}

/// Deletes a model with all its versions, and gives what the change is in the feed.
pub(super) async fn delete(tx: &mut Tx, model: &RegisteredModel) -> Result<projection::Change> {
    let versions = version_store::numbers(tx, model.no).await?;
    let change = projection::hide(tx, model, &versions).await?;
    store::remove(tx, model.no).await?;
    Ok(change)
}

async fn rename(tx: &mut Tx, mut model: RegisteredModel, new: &str) -> Result<()> {
    let namespace = model.namespace.clone();
    if model.name != new && store::lookup(tx, &namespace, new).await?.is_some() {
        return Err(Error::Exists(format!("Registered Model (name={new}) already exists.")));
    }
    let versions = version_store::numbers(tx, model.no).await?;
    let object_name = store::free_object_name(tx, &namespace, new, model.no).await?;
    let moves = object_name != model.shown.name;
    if moves {
        projection::hide(tx, &model, &versions).await?;
        model.shown = Shown { name: object_name, ..Shown::default() };
    }
    new.clone_into(&mut model.name);
    model.updated_at = tx.now();
    store::update(tx, &model).await?;
    version_store::rename(tx, &model, moves).await?;
    projection::show(tx, &namespace, new, &versions).await.map(drop)
}

/// Sorted by key, the last of those with the same.
pub(super) fn last_of_each(tags: Vec<Tag>) -> Vec<Tag> {
    let by_key: std::collections::BTreeMap<String, String> = tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    by_key.into_iter().map(|(key, value)| Tag { key, value }).collect()
}

fn taken(name: &str, old_is_prompt: bool, new_is_prompt: bool) -> Error {
    let word = |is_prompt| if is_prompt { "Prompt" } else { "Registered Model" };
    let (old, new) = (word(old_is_prompt), word(new_is_prompt));
    if old == new {
        return Error::Exists(format!("{new} (name={name}) already exists."));
    }
    let quote = if name.contains('\'') && !name.contains('"') { '"' } else { '\'' };
    Error::Exists(format!(
        "Tried to create a {} with name {quote}{name}{quote}, but the name is already taken by a {}. \
         MLflow does not allow creating a model and a prompt with the same name.",
        new.to_lowercase(),
        old.to_lowercase()
    ))
}

pub(super) fn record(tx: &mut Tx, grant: &Grant, verb: &str, name: &str, detail: &str) {
    tx.audit(audit::entry(grant, verb, name, "allowed", 200, detail));
}
