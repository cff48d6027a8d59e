//! Storage of the objects that show models and versions: what was last shown is in their rows.

use std::sync::Arc;

use futures::future::BoxFuture;
use mcplane_core::{Error, Result};
use mcplane_db::{Arg, Db, Row, Tx};
use mcplane_objects::storage::{Effect, Expect, Key, Page, Range, Refusal, Storage, Stored, Write};

use super::{projection, service, store, version_store, versions};

/// A table of the registry as the storage of a kind.
#[derive(Debug, Clone)]
pub(super) struct ObjectStorage {
    db: Db,
    table: Table,
}

#[derive(Debug, Clone, Copy)]
enum Table {
    Models,
    Versions,
}

impl Table {
    /// Rows `o` with the names of their models.
    fn from(self) -> &'static str {
        match self {
            Self::Models => "registered_models o",
            Self::Versions => "model_versions o",
        }
    }
}

/// What is read of a row. A deleted one shows nothing.
const COLUMNS: &str = "o.namespace, o.object_name, o.revision, o.object";

impl ObjectStorage {
    pub(super) fn models(db: &Db) -> Self {
        Self { db: db.clone(), table: Table::Models }
    }

    pub(super) fn versions(db: &Db) -> Self {
        Self { db: db.clone(), table: Table::Versions }
    }
}

fn read(row: &Row) -> Result<Stored> {
    Ok(Stored {
        namespace: row.text(0)?.into(),
        name: row.text(1)?.into(),
        revision: row.int(2)?,
        body: row.text(3)?.into(),
    })
}

impl Storage for ObjectStorage {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Stored>>> {
        Box::pin(async move {
            let from = self.table.from();
            let sql = format!(
                "SELECT {COLUMNS} FROM {from} WHERE o.namespace = $1 AND o.object_name = $2 AND o.object <> ''"
            );
            let args = vec![Arg::from(Arc::clone(&key.namespace)), Arg::from(Arc::clone(&key.name))];
            self.db.fetch(sql, args).await?.first().map(read).transpose()
        })
    }

    fn list<'a>(&'a self, resource: &'a Arc<str>, range: Range) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async move {
            let query = |limit| page_query(self.table, &range, limit);
            Page::read(&self.db, resource, &range, query, read).await
        })
    }

    fn write(&self, write: Write) -> BoxFuture<'_, Result<std::result::Result<Stored, Refusal>>> {
        let table = self.table;
        Box::pin(async move { self.db.write(move |tx| Box::pin(remove(tx, table, write))).await })
    }

    fn count<'a>(&'a self, _: &'a Arc<str>, namespace: &'a str) -> BoxFuture<'a, Result<i64>> {
        Box::pin(async move {
            let from = self.table.from();
            let sql = format!("SELECT count(*) FROM {from} WHERE ($1 = '' OR o.namespace = $1) AND o.object <> ''");
            let rows = self.db.fetch(sql, vec![namespace.into()]).await?;
            rows.first().map_or(Ok(0), |row| row.int(0))
        })
    }

    fn open(&self, _: &Key, body: &Arc<str>) -> Result<Arc<str>> {
        Ok(Arc::clone(body))
    }
}

fn page_query(table: Table, range: &Range, limit: i64) -> (String, Vec<Arg>) {
    let mut sql = format!("SELECT {COLUMNS} FROM {} WHERE o.object <> ''", table.from());
    let mut args = Vec::new();
    let mut bind = |text: &str, values: Vec<Arg>| {
        let mut text = text.to_owned();
        for value in values {
            args.push(value);
            text = text.replacen('?', &format!("${}", args.len()), 1);
        }
        sql.push_str(&text);
    };
    if !range.namespace.is_empty() {
        bind(" AND o.namespace = ?", vec![range.namespace.as_str().into()]);
    }
    if !range.name.is_empty() {
        bind(" AND o.object_name = ?", vec![range.name.as_str().into()]);
    }
    if let Some((namespace, name)) = &range.after {
        bind(" AND (o.namespace, o.object_name) > (?, ?)", vec![namespace.as_str().into(), name.as_str().into()]);
    }
    bind(" ORDER BY o.namespace, o.object_name LIMIT ?", vec![limit.into()]);
    (sql, args)
}

/// Deletes what an object shows. Quotas do not count views, so their numbers stay.
async fn remove(tx: &mut Tx, table: Table, write: Write) -> Result<std::result::Result<Stored, Refusal>> {
    let Write { key, expect, effect, audit, .. } = write;
    if let Effect::Put(_) = effect {
        return Err(Error::MethodNotAllowed("models are made and changed through the registry".to_owned()));
    }
    // Under the lock nobody else writes, so what is read now stays true until the commit.
    tx.lock().await?;
    let (from, join, number) = match table {
        Table::Models => ("registered_models o", "", "0"),
        Table::Versions => ("model_versions o", " JOIN registered_models m ON m.no = o.model", "o.version"),
    };
    let name = if join.is_empty() { "o.name" } else { "m.name" };
    let sql = format!(
        "SELECT {name}, {number}, o.revision FROM {from}{join} \
         WHERE o.namespace = $1 AND o.object_name = $2 AND o.object <> ''"
    );
    let args = vec![Arg::from(Arc::clone(&key.namespace)), Arg::from(Arc::clone(&key.name))];
    let rows = tx.fetch(sql, args).await?;
    let Some(row) = rows.first() else { return Ok(Err(Refusal::Missing)) };
    match expect {
        Expect::Absent => return Ok(Err(Refusal::Exists)),
        Expect::Revision(wanted) if row.int(2)? != wanted => return Ok(Err(Refusal::Changed)),
        Expect::Revision(_) => {}
    }
    let mut model = store::find(tx, &key.namespace, row.text(0)?).await?;
    let (revision, body) = match table {
        Table::Models => service::delete(tx, &model).await?,
        Table::Versions => {
            let version = version_store::find(tx, &model, row.int(1)?).await?;
            let change = versions::delete(tx, &mut model, &version).await?;
            projection::show(tx, &key.namespace, &model.name, &[]).await?;
            change
        }
    };
    if let Some(mut entry) = audit {
        if entry.name.is_empty() {
            entry.name = key.name.to_string();
        }
        tx.audit(entry);
    }
    Ok(Ok(Stored { namespace: key.namespace, name: key.name, revision, body }))
}
