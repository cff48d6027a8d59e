//! The rules of versions of models.

use futures::future::BoxFuture;
use mcplane_core::{Error, Grant, Result};
use mcplane_db::Tx;
use uuid::Uuid;

use super::service::{last_of_each, record};
use super::source::{self, Origin};
use super::store::Reader;
use super::types::{NewVersion, Record, RegisteredModel, Shown, Stage, is_prompt};
use super::{ModelVersion, SemanticVersion, logged, names, projection, store, told, version_store};
use crate::Tracking;
use crate::tags::{Tag, check_length, check_text};

/// Longest id of a run or a logged model, in characters.
const LONGEST_ID: usize = 256;
/// Longest link to a run, in characters.
const LONGEST_LINK: usize = 2048;

impl Tracking {
    /// Registers a version. What it holds is not looked at.
    ///
    /// # Errors
    /// [`Error::Missing`] without the model; [`Error::BadRequest`] for a source that may not be used, or a bad tag.
    pub async fn create_version(&self, grant: &Grant, new: NewVersion) -> Result<ModelVersion> {
        self.config.version_source.iter().try_for_each(|pattern| pattern.check(&new.source))?;
        for id in new.run_id.iter().chain(&new.model_id) {
            check_length("id", LONGEST_ID, id)?;
            check_text(id)?;
        }
        check_length("run_link", LONGEST_LINK, &new.run_link)?;
        check_text(&new.run_link)?;
        names::check_description(&new.description)?;
        let (grant, root) = (grant.clone(), self.config.default_artifact_root.clone());
        let made = self
            .db
            .write(move |tx| {
                Box::pin(async move {
                    let namespace = grant.namespace()?;
                    tx.lock().await?;
                    let origin = source::resolve(tx, namespace, &root, &new).await?;
                    names::check_model(&new.model, "name")?;
                    new.tags.iter().try_for_each(names::check_version_tag)?;
                    let model = store::find(tx, namespace, &new.model).await?;
                    let semantic = version_store::highest(tx, model.no).await?;
                    let semantic = semantic.map_or(SemanticVersion::FIRST, |highest| highest.next());
                    let version = insert(tx, &grant, model, semantic, origin, new, Default::default()).await?;
                    if !version.model_id.is_empty() && !is_prompt(&version.tags) {
                        logged::add_version(tx, namespace, &version).await?;
                    }
                    record(tx, &grant, "create", &format!("{}/{}", version.model, version.number), "");
                    Ok(version)
                })
            })
            .await?;
        self.wake.up();
        Ok(made)
    }

    /// The version, with tags and aliases.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none, [`Error::BadRequest`] if `number` is none.
    pub async fn version(&self, grant: &Grant, model: &str, number: &str) -> Result<ModelVersion> {
        names::check_model(model, "name")?;
        let number = names::version_number(number)?;
        let mut view = self.db.snapshot().await?;
        let found = store::lookup(&mut view, grant.namespace()?, model).await?;
        let found = found.ok_or_else(|| version_store::missing(model, number))?;
        version_store::find(&mut view, &found, number).await
    }

    /// The version that has an alias; `latest` is the last one.
    ///
    /// # Errors
    /// [`Error::Missing`] without the model, [`Error::BadRequest`] without the alias.
    pub async fn version_by_alias(&self, grant: &Grant, model: &str, alias: &str) -> Result<ModelVersion> {
        let mut view = self.db.snapshot().await?;
        names::check_model(model, "name")?;
        names::check_alias(alias)?;
        let model = store::find(&mut view, grant.namespace()?, model).await?;
        let number = number_by_alias(&mut view, &model, alias).await?;
        version_store::find(&mut view, &model, number).await
    }

    /// Describes a version anew.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none.
    pub async fn describe_version(
        &self,
        grant: &Grant,
        model: &str,
        number: &str,
        description: Option<&str>,
    ) -> Result<ModelVersion> {
        description.iter().try_for_each(|text| names::check_description(text))?;
        let description = description.map(str::to_owned);
        self.change_version(grant, model, number, "update", |_, mut version, tx| {
            Box::pin(async move {
                version.description = description;
                version.updated_at = tx.now();
                version_store::update(tx, &version).await?;
                Ok(vec![])
            })
        })
        .await?;
        self.version(grant, model, number).await
    }

    /// Brings a version into a stage, and those that were there before into the archive, if `archive` says so.
    ///
    /// # Errors
    /// [`Error::Missing`] without the version, [`Error::BadRequest`] for what is no stage.
    pub async fn transition(
        &self,
        grant: &Grant,
        model: &str,
        number: &str,
        stage: &str,
        archive: bool,
    ) -> Result<ModelVersion> {
        let to = Stage::parse(stage)?;
        if archive && !to.is_active() {
            return Err(Error::bad_request(format!(
                "Model version transition cannot archive existing model versions because '{stage}' is not an Active stage. \
                 Valid stages are ['Staging', 'Production']"
            )));
        }
        self.change_version(grant, model, number, "update", move |mut model, mut version, tx| {
            Box::pin(async move {
                let archived = match archive {
                    true => version_store::archive_others(tx, model.no, version.number, to).await?,
                    false => vec![],
                };
                version.stage = to;
                version.updated_at = tx.now();
                version_store::update(tx, &version).await?;
                model.updated_at = tx.now();
                store::update(tx, &model).await?;
                Ok(archived)
            })
        })
        .await?;
        self.version(grant, model, number).await
    }

    /// Deletes a version with its aliases. Its numbers are not given again.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none.
    pub async fn delete_version(&self, grant: &Grant, model: &str, number: &str) -> Result<()> {
        self.change_version(grant, model, number, "delete", |mut model, version, tx| {
            Box::pin(async move {
                delete(tx, &mut model, &version).await?;
                Ok(vec![])
            })
        })
        .await
    }

    /// Sets a tag of a version.
    ///
    /// # Errors
    /// [`Error::Missing`] without the version, [`Error::BadRequest`] for a bad tag.
    pub async fn set_version_tag(&self, grant: &Grant, model: &str, number: &str, tag: Tag) -> Result<()> {
        names::check_model(model, "name")?;
        names::version_number(number)?;
        names::check_version_tag(&tag)?;
        self.change_version(grant, model, number, "update", |model, version, tx| {
            Box::pin(async move {
                told::version_tagged(tx, &model, version.number, &tag.key, Some(&tag.value)).await?;
                version_store::put_tags(tx, &version, &[tag]).await?;
                Ok(vec![])
            })
        })
        .await
    }

    /// Removes a tag of a version, if it is there.
    ///
    /// # Errors
    /// [`Error::Missing`] without the version.
    pub async fn remove_version_tag(&self, grant: &Grant, model: &str, number: &str, key: &str) -> Result<()> {
        names::check_model(model, "name")?;
        names::version_number(number)?;
        names::check_key(key)?;
        let key = key.to_owned();
        self.change_version(grant, model, number, "update", |model, version, tx| {
            Box::pin(async move {
                version_store::remove_tag(tx, &version, &key).await?;
                told::version_tagged(tx, &model, version.number, &key, None).await?;
                Ok(vec![])
            })
        })
        .await
    }

    /// Gives a version another name, which another version may have had.
    ///
    /// # Errors
    /// [`Error::Missing`] without the version, [`Error::BadRequest`] for a name that is reserved.
    pub async fn set_alias(&self, grant: &Grant, model: &str, alias: &str, number: &str) -> Result<()> {
        names::check_model(model, "name")?;
        names::check_new_alias(alias)?;
        let alias = alias.to_owned();
        self.change_version(grant, model, number, "update", |model, version, tx| {
            Box::pin(async move {
                store::put_alias(tx, model.no, &alias, version.number).await?;
                told::aliased(tx, &model, &alias, Some(version.number)).await?;
                Ok(model.version_with(&alias).into_iter().collect())
            })
        })
        .await
    }

    /// Takes a name from whatever version has it.
    ///
    /// # Errors
    /// [`Error::Missing`] without the model.
    pub async fn remove_alias(&self, grant: &Grant, model: &str, alias: &str) -> Result<()> {
        names::check_model(model, "name")?;
        names::check_alias(alias)?;
        let alias = alias.to_owned();
        self.change_registered_model(grant, model, "update", |model, tx, _| {
            Box::pin(async move {
                store::remove_alias(tx, model.no, &alias).await?;
                told::aliased(tx, &model, &alias, None).await?;
                Ok(model.version_with(&alias).into_iter().collect())
            })
        })
        .await
    }

    /// Finds a version and changes it in one transaction. `change` gives the numbers of other versions that it touched.
    async fn change_version<F>(
        &self,
        grant: &Grant,
        model: &str,
        number: &str,
        verb: &'static str,
        change: F,
    ) -> Result<()>
    where
        F: for<'t> FnOnce(RegisteredModel, ModelVersion, &'t mut Tx) -> BoxFuture<'t, Result<Vec<i64>>>
            + Send
            + 'static,
    {
        names::check_model(model, "name")?;
        let (grant, name, number) = (grant.clone(), model.to_owned(), names::version_number(number)?);
        self.db
            .write(move |tx| {
                Box::pin(async move {
                    let namespace = grant.namespace()?;
                    tx.lock().await?;
                    let model = store::lookup(tx, namespace, &name).await?;
                    let model = model.ok_or_else(|| version_store::missing(&name, number))?;
                    let version = version_store::find(tx, &model, number).await?;
                    let mut touched = change(model, version, tx).await?;
                    touched.push(number);
                    projection::show(tx, namespace, &name, &touched).await?;
                    record(tx, &grant, verb, &format!("{name}/{number}"), "");
                    Ok(())
                })
            })
            .await?;
        self.wake.up();
        Ok(())
    }
}

impl RegisteredModel {
    /// The number of the version that has an alias.
    fn version_with(&self, alias: &str) -> Option<i64> {
        self.aliases.iter().find(|known| known.alias == alias).map(|known| known.version)
    }
}

/// The number of the version that has an alias; `latest` is the last one.
pub(super) async fn number_by_alias(reader: &mut impl Reader, model: &RegisteredModel, alias: &str) -> Result<i64> {
    if alias.eq_ignore_ascii_case(names::LATEST) {
        let missing = || Error::Missing(format!("Latest version not found for model {}.", model.name));
        return version_store::latest(reader, model.no, None).await?.ok_or_else(missing);
    }
    let missing = || Error::bad_request(format!("Registered model alias {alias} not found."));
    model.version_with(alias).ok_or_else(missing)
}

/// Deletes a version, and gives what the change is in the feed.
pub(super) async fn delete(
    tx: &mut Tx,
    model: &mut RegisteredModel,
    version: &ModelVersion,
) -> Result<projection::Change> {
    let change = projection::hide_version(tx, model, version).await?;
    store::remove_aliases_of(tx, model.no, version.number).await?;
    version_store::set_deleted(tx, model.no, version.number).await?;
    model.updated_at = tx.now();
    store::update(tx, model).await?;
    Ok(change)
}

/// Adds the next version of a model.
pub(super) async fn insert(
    tx: &mut Tx,
    grant: &Grant,
    mut model: RegisteredModel,
    semantic: SemanticVersion,
    origin: Origin,
    new: NewVersion,
    (digest, size, record): (String, i64, Record),
) -> Result<ModelVersion> {
    model.last_version += 1;
    model.updated_at = tx.now();
    projection::tell_model(tx, &mut model).await?;
    store::update(tx, &model).await?;
    let name = version_store::object_name(&model.shown.name, &semantic);
    let mut version = ModelVersion {
        model_no: model.no,
        shown: Shown { name, ..Shown::default() },
        model: model.name.clone(),
        number: model.last_version,
        semantic,
        uid: Uuid::new_v4().to_string(),
        description: Some(new.description),
        created_at: tx.now(),
        updated_at: tx.now(),
        stage: Stage::None,
        source: origin.source,
        location: origin.location,
        run_id: origin.run_id,
        run_link: new.run_link,
        model_id: origin.model_id,
        created_by: grant.context().caller.name.clone(),
        digest,
        size,
        record,
        tags: last_of_each(new.tags),
        aliases: vec![],
    };
    projection::tell_version(tx, &model, &mut version).await?;
    version_store::insert(tx, &model.namespace, &version).await?;
    told::version_created(tx, &model.namespace, &version).await?;
    Ok(version)
}
