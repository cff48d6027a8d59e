//! The tables `registered_models`, `registered_model_tags` and `registered_model_aliases`.

use std::collections::HashMap;
use std::sync::Arc;

use mcplane_core::{Error, Result};
use mcplane_db::{Arg, Dialect, Row, Snapshot, Tx};

use super::names;
use super::types::{Alias, RegisteredModel, Shown};
use crate::tags::Tag;

/// Columns of `registered_models m`.
pub(super) const COLUMNS: &str = "m.no, m.namespace, m.name, m.uid, m.description, m.created_at, m.updated_at, m.last_version, \
                                  m.object_name, m.revision, m.object";

/// Reads [`COLUMNS`].
pub(super) fn read(row: &Row) -> Result<RegisteredModel> {
    Ok(RegisteredModel {
        no: row.int(0)?,
        namespace: row.text(1)?.to_owned(),
        name: row.text(2)?.to_owned(),
        uid: row.text(3)?.to_owned(),
        description: row.optional_text(4)?.map(str::to_owned),
        created_at: row.int(5)?,
        updated_at: row.int(6)?,
        last_version: row.int(7)?,
        shown: Shown { name: row.text(8)?.to_owned(), revision: row.int(9)?, text: row.text(10)?.into() },
        tags: vec![],
        aliases: vec![],
        latest: vec![],
    })
}

/// What reads both in a transaction that writes and in a snapshot.
pub(super) trait Reader: Send {
    fn dialect(&self) -> Dialect;
    fn rows(&mut self, sql: String, args: Vec<Arg>) -> impl Future<Output = Result<Vec<Row>>> + Send;
}

impl Reader for Tx {
    fn dialect(&self) -> Dialect {
        Self::dialect(self)
    }
    async fn rows(&mut self, sql: String, args: Vec<Arg>) -> Result<Vec<Row>> {
        self.fetch(sql, args).await
    }
}

impl Reader for Snapshot {
    fn dialect(&self) -> Dialect {
        Self::dialect(self)
    }
    async fn rows(&mut self, sql: String, args: Vec<Arg>) -> Result<Vec<Row>> {
        self.fetch(sql, args).await
    }
}

/// The model of that name, with tags and aliases.
///
/// # Errors
/// [`Error::BadRequest`] for what is no name, [`Error::Missing`] if there is no such model.
pub(super) async fn find(reader: &mut impl Reader, namespace: &str, name: &str) -> Result<RegisteredModel> {
    names::check_model(name, "name")?;
    let missing = || Error::Missing(format!("Registered Model with name={name} not found"));
    lookup(reader, namespace, name).await?.ok_or_else(missing)
}

/// As [`find`], if there is one.
pub(super) async fn lookup(reader: &mut impl Reader, namespace: &str, name: &str) -> Result<Option<RegisteredModel>> {
    let sql = format!("SELECT {COLUMNS} FROM registered_models m WHERE m.namespace = $1 AND m.name = $2");
    let rows = reader.rows(sql, vec![namespace.into(), name.into()]).await?;
    let models = rows.iter().map(read).collect::<Result<_>>()?;
    Ok(assemble(reader, models).await?.pop())
}

/// Adds tags and aliases to models.
pub(super) async fn assemble(
    reader: &mut impl Reader,
    mut models: Vec<RegisteredModel>,
) -> Result<Vec<RegisteredModel>> {
    if models.is_empty() {
        return Ok(models);
    }
    let numbers: Vec<i64> = models.iter().map(|model| model.no).collect();
    let list = reader.dialect().numbers(1);
    let sql = format!(
        "SELECT model, key, value, 0 FROM registered_model_tags WHERE model IN {list} \
         UNION ALL SELECT model, alias, '', version FROM registered_model_aliases WHERE model IN {list} ORDER BY 1, 2"
    );
    let place: HashMap<i64, usize> = numbers.iter().enumerate().map(|(at, no)| (*no, at)).collect();
    for row in reader.rows(sql, vec![Arg::list(&numbers)]).await? {
        let Some(model) = place.get(&row.int(0)?).and_then(|at| models.get_mut(*at)) else { continue };
        match row.int(3)? {
            0 => model.tags.push(Tag::new(row.text(1)?, row.text(2)?)),
            version => model.aliases.push(Alias { alias: row.text(1)?.to_owned(), version }),
        }
    }
    Ok(models)
}

/// Adds a model, whose tags must have different keys; the database gives its number.
pub(super) async fn insert(tx: &mut Tx, model: &RegisteredModel) -> Result<i64> {
    let sql = "INSERT INTO registered_models (namespace, name, uid, description, created_at, updated_at, last_version, \
               object_name, revision, object) VALUES ($1, $2, $3, $4, $5, $6, 0, $7, 0, '') RETURNING no";
    let args = vec![
        model.namespace.as_str().into(),
        model.name.as_str().into(),
        model.uid.as_str().into(),
        optional(model.description.as_deref()),
        model.created_at.into(),
        model.updated_at.into(),
        model.shown.name.as_str().into(),
    ];
    let rows = tx.fetch(sql, args).await?;
    let no = rows.first().ok_or_else(|| Error::internal("an insert without a number"))?.int(0)?;
    put_tags(tx, no, &model.tags).await?;
    Ok(no)
}

/// A text that may be absent, as an argument.
pub(super) fn optional(text: Option<&str>) -> Arg {
    Arg::OptionalText(text.map(Arc::from))
}

/// A name for the object of `model` that no other model of the namespace has.
pub(super) async fn free_object_name(tx: &mut Tx, namespace: &str, model: &str, no: i64) -> Result<String> {
    let names = names::object_names(model);
    let list = tx.dialect().texts(3);
    let sql = format!(
        "SELECT object_name FROM registered_models WHERE namespace = $1 AND no <> $2 AND object_name IN {list}"
    );
    let rows = tx.fetch(sql, vec![namespace.into(), no.into(), Arg::list(&names)]).await?;
    let taken = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>>>()?;
    let free = names.iter().find(|name| !taken.contains(&name.as_str()));
    free.cloned().ok_or_else(|| Error::internal("all names of an object are taken"))
}

/// Changes a model itself: its name, what it is shown as, its description, its last version and when it changed.
pub(super) async fn update(tx: &mut Tx, model: &RegisteredModel) -> Result<()> {
    let sql = "UPDATE registered_models SET name = $2, description = $3, last_version = $4, updated_at = $5, \
               object_name = $6, revision = $7, object = $8 WHERE no = $1";
    let args = vec![
        model.no.into(),
        model.name.as_str().into(),
        optional(model.description.as_deref()),
        model.last_version.into(),
        model.updated_at.into(),
        model.shown.name.as_str().into(),
        model.shown.revision.into(),
        Arg::Shared(Arc::clone(&model.shown.text)),
    ];
    tx.execute(sql, args).await.map(drop)
}

/// Sets tags, whose keys must differ.
pub(super) async fn put_tags(tx: &mut Tx, model: i64, tags: &[Tag]) -> Result<()> {
    let replace = "ON CONFLICT (model, key) DO UPDATE SET value = excluded.value";
    let row = |tag: &Tag| [model.into(), tag.key.as_str().into(), tag.value.as_str().into()];
    let args = tags.iter().flat_map(row).collect();
    tx.execute_rows("INSERT INTO registered_model_tags (model, key, value)", 3, args, replace).await
}

/// Removes a tag, if it is there.
pub(super) async fn remove_tag(tx: &mut Tx, model: i64, key: &str) -> Result<()> {
    let sql = "DELETE FROM registered_model_tags WHERE model = $1 AND key = $2";
    tx.execute(sql, vec![model.into(), key.into()]).await.map(drop)
}

/// Sets an alias.
pub(super) async fn put_alias(tx: &mut Tx, model: i64, alias: &str, version: i64) -> Result<()> {
    let sql = "INSERT INTO registered_model_aliases (model, alias, version) VALUES ($1, $2, $3) \
               ON CONFLICT (model, alias) DO UPDATE SET version = excluded.version";
    tx.execute(sql, vec![model.into(), alias.into(), version.into()]).await.map(drop)
}

/// Removes an alias, if it is there.
pub(super) async fn remove_alias(tx: &mut Tx, model: i64, alias: &str) -> Result<()> {
    let sql = "DELETE FROM registered_model_aliases WHERE model = $1 AND alias = $2";
    tx.execute(sql, vec![model.into(), alias.into()]).await.map(drop)
}

/// Removes all aliases of a version.
pub(super) async fn remove_aliases_of(tx: &mut Tx, model: i64, version: i64) -> Result<()> {
    let sql = "DELETE FROM registered_model_aliases WHERE model = $1 AND version = $2";
    tx.execute(sql, vec![model.into(), version.into()]).await.map(drop)
}

/// Names of some models of a namespace.
pub(super) async fn some_names(tx: &mut Tx, namespace: &str, most: usize) -> Result<Vec<String>> {
    let sql = format!("SELECT name FROM registered_models WHERE namespace = $1 ORDER BY no LIMIT {most}");
    let rows = tx.fetch(sql, vec![namespace.into()]).await?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

/// Removes a model with all that belongs to it.
pub(super) async fn remove(tx: &mut Tx, model: i64) -> Result<()> {
    for table in ["model_version_tags", "model_versions", "registered_model_aliases", "registered_model_tags"] {
        tx.execute(format!("DELETE FROM {table} WHERE model = $1"), vec![model.into()]).await?;
    }
    tx.execute("DELETE FROM registered_models WHERE no = $1", vec![model.into()]).await.map(drop)
}
