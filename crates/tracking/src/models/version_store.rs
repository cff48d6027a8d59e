//! The tables `model_versions` and `model_version_tags`.

use std::collections::HashMap;
use std::sync::Arc;

use mcplane_core::{Error, Result};
use mcplane_db::{Arg, Row, Tx};

use super::SemanticVersion;
use super::store::{Reader, optional};
use super::types::{ModelVersion, Record, RegisteredModel, Shown, Stage};
use crate::tags::Tag;

/// Columns of `model_versions v` joined with `registered_models m`.
pub(super) const COLUMNS: &str = "v.model, m.name, v.version, v.major, v.minor, v.patch, v.pre, v.uid, v.description, \
                                  v.created_at, v.updated_at, v.stage, v.source, v.location, v.run_id, v.run_link, \
                                  v.model_id, v.created_by, v.object_name, v.revision, v.object, \
                                  v.digest, v.size, v.record";
/// Where [`COLUMNS`] come from.
pub(super) const FROM: &str = "model_versions v JOIN registered_models m ON m.no = v.model";

/// Reads [`COLUMNS`].
pub(super) fn read(row: &Row) -> Result<ModelVersion> {
    let own = |column: usize| row.text(column).map(str::to_owned);
    Ok(ModelVersion {
        model_no: row.int(0)?,
        model: own(1)?,
        number: row.int(2)?,
        semantic: SemanticVersion::from_parts(row.int(3)?, row.int(4)?, row.int(5)?, row.text(6)?)?,
        uid: own(7)?,
        description: row.optional_text(8)?.map(str::to_owned),
        created_at: row.int(9)?,
        updated_at: row.int(10)?,
        stage: Stage::from_number(row.int(11)?)?,
        source: own(12)?,
        location: own(13)?,
        run_id: own(14)?,
        run_link: own(15)?,
        model_id: own(16)?,
        created_by: own(17)?,
        shown: Shown { name: own(18)?, revision: row.int(19)?, text: row.text(20)?.into() },
        digest: own(21)?,
        size: row.int(22)?,
        record: Record::read(row.text(23)?)?,
        tags: vec![],
        aliases: vec![],
    })
}

/// There is no such version.
pub(super) fn missing(model: &str, number: i64) -> Error {
    Error::Missing(format!("Model Version (name={model}, version={number}) not found"))
}

/// The version, with tags and aliases.
///
/// # Errors
/// [`Error::Missing`] if there is none, or if it is deleted.
pub(super) async fn find(reader: &mut impl Reader, model: &RegisteredModel, number: i64) -> Result<ModelVersion> {
    let found = some(reader, model.no, &[number]).await?.pop();
    let mut version = found.ok_or_else(|| missing(&model.name, number))?;
    version.take_aliases(model);
    Ok(version)
}

impl ModelVersion {
    pub(super) fn take_aliases(&mut self, model: &RegisteredModel) {
        let own = model.aliases.iter().filter(|alias| alias.version == self.number);
        self.aliases = own.map(|alias| alias.alias.clone()).collect();
    }
}

/// Those of the versions that are there, with tags, by number.
pub(super) async fn some(reader: &mut impl Reader, model: i64, numbers: &[i64]) -> Result<Vec<ModelVersion>> {
    let list = reader.dialect().numbers(2);
    let sql = format!(
        "SELECT {COLUMNS} FROM {FROM} WHERE v.model = $1 AND v.deleted = 0 AND v.version IN {list} ORDER BY v.version"
    );
    let rows = reader.rows(sql, vec![model.into(), Arg::list(numbers)]).await?;
    with_tags(reader, rows.iter().map(read).collect::<Result<_>>()?).await
}

/// The numbers of a model's versions, the deleted ones left out.
pub(super) async fn numbers(tx: &mut Tx, model: i64) -> Result<Vec<i64>> {
    let sql = "SELECT version FROM model_versions WHERE model = $1 AND deleted = 0 ORDER BY version";
    tx.fetch(sql, vec![model.into()]).await?.iter().map(|row| row.int(0)).collect()
}

/// Adds tags to versions.
pub(super) async fn with_tags(reader: &mut impl Reader, mut versions: Vec<ModelVersion>) -> Result<Vec<ModelVersion>> {
    if versions.is_empty() {
        return Ok(versions);
    }
    let key = |version: &ModelVersion| (version.model_no, version.number);
    let place: HashMap<(i64, i64), usize> =
        versions.iter().enumerate().map(|(at, version)| (key(version), at)).collect();
    let mut models: Vec<i64> = versions.iter().map(|version| version.model_no).collect();
    models.sort_unstable();
    models.dedup();
    let numbers: Vec<i64> = versions.iter().map(|version| version.number).collect();
    // Every model with every number is more than is wanted, but never more than there are.
    let (models_list, numbers_list) = (reader.dialect().numbers(1), reader.dialect().numbers(2));
    let sql = format!(
        "SELECT model, version, key, value FROM model_version_tags \
         WHERE model IN {models_list} AND version IN {numbers_list} ORDER BY model, version, key"
    );
    for row in reader.rows(sql, vec![Arg::list(&models), Arg::list(&numbers)]).await? {
        let Some(at) = place.get(&(row.int(0)?, row.int(1)?)) else { continue };
        if let Some(version) = versions.get_mut(*at) {
            version.tags.push(Tag::new(row.text(2)?, row.text(3)?));
        }
    }
    Ok(versions)
}

/// The last version of each model in each stage. Of a model, the stage that got its first version first comes first.
pub(super) async fn latest_of(reader: &mut impl Reader, models: &[i64]) -> Result<Vec<ModelVersion>> {
    let list = reader.dialect().numbers(1);
    let sql = format!(
        "SELECT {COLUMNS} FROM {FROM} JOIN (SELECT model, stage, max(version) AS last, min(version) AS first FROM model_versions \
         WHERE model IN {list} AND deleted = 0 GROUP BY model, stage) l ON l.model = v.model AND l.last = v.version \
         ORDER BY v.model, l.first"
    );
    let rows = reader.rows(sql, vec![Arg::list(models)]).await?;
    with_tags(reader, rows.iter().map(read).collect::<Result<_>>()?).await
}

/// The number of the last version, of all or in a stage.
pub(super) async fn latest(reader: &mut impl Reader, model: i64, stage: Option<Stage>) -> Result<Option<i64>> {
    let sql = "SELECT version FROM model_versions WHERE model = $1 AND deleted = 0 AND ($2 < 0 OR stage = $2) \
               ORDER BY version DESC LIMIT 1";
    let stage = stage.map_or(-1, |stage| stage as i64);
    let rows = reader.rows(sql.to_owned(), vec![model.into(), stage.into()]).await?;
    rows.first().map(|row| row.int(0)).transpose()
}

/// All versions, the newest first.
pub(super) async fn all(reader: &mut impl Reader, model: &RegisteredModel) -> Result<Vec<ModelVersion>> {
    let sql = format!("SELECT {COLUMNS} FROM {FROM} WHERE v.model = $1 AND v.deleted = 0 ORDER BY v.version DESC");
    let rows = reader.rows(sql, vec![model.no.into()]).await?;
    let mut versions = with_tags(reader, rows.iter().map(read).collect::<Result<_>>()?).await?;
    versions.iter_mut().for_each(|version| version.take_aliases(model));
    Ok(versions)
}

/// Number and digest of the version of that name, and whether it is deleted. Unverified content has no digest.
pub(super) async fn by_semantic(
    reader: &mut impl Reader,
    model: i64,
    semantic: &SemanticVersion,
) -> Result<Option<(i64, String, bool)>> {
    let sql = "SELECT version, digest, deleted FROM model_versions \
               WHERE model = $1 AND major = $2 AND minor = $3 AND patch = $4 AND pre = $5";
    let [major, minor, patch] = semantic.numbers();
    let args = vec![model.into(), major.into(), minor.into(), patch.into(), semantic.pre_release().into()];
    let rows = reader.rows(sql.to_owned(), args).await?;
    rows.first().map(|row| Ok((row.int(0)?, row.text(1)?.to_owned(), row.int(2)? != 0))).transpose()
}

/// The highest semantic version that was ever given.
pub(super) async fn highest(tx: &mut Tx, model: i64) -> Result<Option<SemanticVersion>> {
    let sql = "SELECT major, minor FROM model_versions WHERE model = $1 ORDER BY major DESC, minor DESC LIMIT 1";
    let rows = tx.fetch(sql, vec![model.into()]).await?;
    rows.first().map(|row| SemanticVersion::from_parts(row.int(0)?, row.int(1)?, 0, "")).transpose()
}

/// Adds a version with its tags, whose keys must differ.
pub(super) async fn insert(tx: &mut Tx, namespace: &str, version: &ModelVersion) -> Result<()> {
    let sql = "INSERT INTO model_versions (model, version, major, minor, patch, pre, namespace, uid, description, created_at, \
               updated_at, stage, source, location, run_id, run_link, model_id, created_by, object_name, digest, size, record, \
               deleted, revision, object) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, 0, $23, $24)";
    let [major, minor, patch] = version.semantic.numbers();
    let args = vec![
        version.model_no.into(),
        version.number.into(),
        major.into(),
        minor.into(),
        patch.into(),
        version.semantic.pre_release().into(),
        namespace.into(),
        version.uid.as_str().into(),
        optional(version.description.as_deref()),
        version.created_at.into(),
        version.updated_at.into(),
        (version.stage as i64).into(),
        version.source.as_str().into(),
        version.location.as_str().into(),
        version.run_id.as_str().into(),
        version.run_link.as_str().into(),
        version.model_id.as_str().into(),
        version.created_by.as_str().into(),
        version.shown.name.as_str().into(),
        version.digest.as_str().into(),
        version.size.into(),
        version.record.to_text()?.into(),
        version.shown.revision.into(),
        Arg::Shared(Arc::clone(&version.shown.text)),
    ];
    tx.execute(sql, args).await?;
    put_tags(tx, version, &version.tags).await
}

/// Changes what may change of a version.
pub(super) async fn update(tx: &mut Tx, version: &ModelVersion) -> Result<()> {
    let sql =
        "UPDATE model_versions SET description = $3, stage = $4, updated_at = $5 WHERE model = $1 AND version = $2";
    let args = vec![
        version.model_no.into(),
        version.number.into(),
        optional(version.description.as_deref()),
        (version.stage as i64).into(),
        version.updated_at.into(),
    ];
    tx.execute(sql, args).await.map(drop)
}

/// Keeps what a version was last shown as.
pub(super) async fn set_shown(tx: &mut Tx, version: &ModelVersion) -> Result<()> {
    let sql = "UPDATE model_versions SET revision = $3, object = $4 WHERE model = $1 AND version = $2";
    let Shown { revision, text, .. } = &version.shown;
    let args = vec![version.model_no.into(), version.number.into(), (*revision).into(), Arg::Shared(Arc::clone(text))];
    tx.execute(sql, args).await.map(drop)
}

/// Archives all other versions in a stage, and tells which.
pub(super) async fn archive_others(tx: &mut Tx, model: i64, except: i64, stage: Stage) -> Result<Vec<i64>> {
    let sql = "UPDATE model_versions SET stage = $4, updated_at = $5 \
               WHERE model = $1 AND version <> $2 AND stage = $3 AND deleted = 0 RETURNING version";
    let now = tx.now();
    let args = vec![model.into(), except.into(), (stage as i64).into(), (Stage::Archived as i64).into(), now.into()];
    tx.fetch(sql, args).await?.iter().map(|row| row.int(0)).collect()
}

/// Follows a new name of the model; `moves` tells whether names of objects change with it.
pub(super) async fn rename(tx: &mut Tx, model: &RegisteredModel, moves: bool) -> Result<()> {
    let now = tx.now();
    let sql = "UPDATE model_versions SET updated_at = $2 WHERE model = $1 AND deleted = 0";
    tx.execute(sql, vec![model.no.into(), now.into()]).await?;
    if !moves {
        return Ok(());
    }
    let sql = "SELECT version, major, minor, patch, pre FROM model_versions WHERE model = $1";
    for row in tx.fetch(sql, vec![model.no.into()]).await? {
        let semantic = SemanticVersion::from_parts(row.int(1)?, row.int(2)?, row.int(3)?, row.text(4)?)?;
        let name = object_name(&model.shown.name, &semantic);
        let sql = "UPDATE model_versions SET object_name = $3, object = '' WHERE model = $1 AND version = $2";
        tx.execute(sql, vec![model.no.into(), row.int(0)?.into(), name.into()]).await?;
    }
    Ok(())
}

/// The name of a version's object. Names of models' objects have no dots, so none of these is another's.
pub(super) fn object_name(model: &str, version: &SemanticVersion) -> String {
    format!("{model}.{version}")
}

/// Deletes a version. Its numbers stay, and what tells what it held.
pub(super) async fn set_deleted(tx: &mut Tx, model: i64, number: i64) -> Result<()> {
    let sql = "UPDATE model_versions SET deleted = 1, description = NULL, source = '', location = '', run_id = '', run_link = '', \
               object = '', updated_at = $3 WHERE model = $1 AND version = $2";
    let now = tx.now();
    tx.execute(sql, vec![model.into(), number.into(), now.into()]).await?;
    let sql = "DELETE FROM model_version_tags WHERE model = $1 AND version = $2";
    tx.execute(sql, vec![model.into(), number.into()]).await.map(drop)
}

/// Sets tags, whose keys must differ.
pub(super) async fn put_tags(tx: &mut Tx, version: &ModelVersion, tags: &[Tag]) -> Result<()> {
    let replace = "ON CONFLICT (model, version, key) DO UPDATE SET value = excluded.value";
    let (model, number) = (version.model_no, version.number);
    let row = |tag: &Tag| [model.into(), number.into(), tag.key.as_str().into(), tag.value.as_str().into()];
    let args = tags.iter().flat_map(row).collect();
    tx.execute_rows("INSERT INTO model_version_tags (model, version, key, value)", 4, args, replace).await
}

/// Removes a tag, if it is there.
pub(super) async fn remove_tag(tx: &mut Tx, version: &ModelVersion, key: &str) -> Result<()> {
    let sql = "DELETE FROM model_version_tags WHERE model = $1 AND version = $2 AND key = $3";
    tx.execute(sql, vec![version.model_no.into(), version.number.into(), key.into()]).await.map(drop)
}
