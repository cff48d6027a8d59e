//! Storage of the objects that show models and versions: what was last shown is in their rows.

use std::sync::Arc;

use futures::future::BoxFuture;
use mcplane_core::{Error, Result};
use mcplane_db::{Arg, Db, Tx};
use mcplane_objects::storage::{Effect, Expect, Key, Page, Range, Refusal, ShownTable, Storage, Stored, Write};

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
    fn shown(self) -> ShownTable {
        let table = match self {
            Self::Models => "registered_models",
            Self::Versions => "model_versions",
        };
        ShownTable { table, namespace: Some("namespace"), name: "object_name" }
    }
}

impl ObjectStorage {
    pub(super) fn models(db: &Db) -> Self {
        Self { db: db.clone(), table: Table::Models }
    }

    pub(super) fn versions(db: &Db) -> Self {
        Self { db: db.clone(), table: Table::Versions }
    }
}

impl Storage for ObjectStorage {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Stored>>> {
        Box::pin(async move { self.table.shown().get(&self.db, key).await })
    }

    fn list<'a>(&'a self, _: &'a Arc<str>, range: Range) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async move { self.table.shown().list(&self.db, &range).await })
    }

    fn write(&self, write: Write) -> BoxFuture<'_, Result<std::result::Result<Stored, Refusal>>> {
        let table = self.table;
        Box::pin(async move { self.db.write(move |tx| Box::pin(remove(tx, table, write))).await })
    }

    fn count<'a>(&'a self, _: &'a Arc<str>, namespace: &'a str) -> BoxFuture<'a, Result<i64>> {
        Box::pin(async move { self.table.shown().count(&self.db, namespace).await })
    }

    fn open(&self, _: &Key, body: &Arc<str>) -> Result<Arc<str>> {
        Ok(Arc::clone(body))
    }
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
