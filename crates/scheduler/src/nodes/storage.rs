//! The rows of machines as the storage of nodes.

use std::sync::Arc;

use futures::future::BoxFuture;
use mcplane_core::{Error, Result};
use mcplane_db::{Arg, Db, Tx};
use mcplane_objects::storage::{
    Effect, Expect, Key, Page, Range, Refusal, ShownTable, Storage, Stored, Write, retract,
};

const TABLE: ShownTable = ShownTable { table: "nodes", namespace: None, name: "name" };

/// Storage of nodes.
#[derive(Debug, Clone)]
pub struct NodeStorage {
    db: Db,
}

impl NodeStorage {
    /// The nodes in `db`.
    pub fn new(db: &Db) -> Self {
        Self { db: db.clone() }
    }
}

impl Storage for NodeStorage {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Stored>>> {
        Box::pin(TABLE.get(&self.db, key))
    }

    fn list<'a>(&'a self, _: &'a Arc<str>, range: Range) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async move { TABLE.list(&self.db, &range).await })
    }

    fn write(&self, write: Write) -> BoxFuture<'_, Result<std::result::Result<Stored, Refusal>>> {
        Box::pin(async move { self.db.write(move |tx| Box::pin(forget(tx, write))).await })
    }

    fn count<'a>(&'a self, _: &'a Arc<str>, namespace: &'a str) -> BoxFuture<'a, Result<i64>> {
        Box::pin(TABLE.count(&self.db, namespace))
    }

    fn open(&self, _: &Key, body: &Arc<str>) -> Result<Arc<str>> {
        Ok(Arc::clone(body))
    }
}

/// Forgets a machine; one that lives is known again with its next beat.
async fn forget(tx: &mut Tx, write: Write) -> Result<std::result::Result<Stored, Refusal>> {
    let Write { key, expect, effect, audit, .. } = write;
    if let Effect::Put(_) = effect {
        return Err(Error::MethodNotAllowed("machines tell of themselves".to_owned()));
    }
    tx.lock().await?;
    let rows = tx.fetch("SELECT revision, object FROM nodes WHERE name = $1", vec![Arg::from(Arc::clone(&key.name))]);
    let rows = rows.await?;
    let Some(row) = rows.first() else { return Ok(Err(Refusal::Missing)) };
    match expect {
        Expect::Absent => return Ok(Err(Refusal::Exists)),
        Expect::Revision(wanted) if row.int(0)? != wanted => return Ok(Err(Refusal::Changed)),
        Expect::Revision(_) => {}
    }
    let (revision, body) = retract(tx, &key, row.text(1)?).await?;
    tx.execute("DELETE FROM nodes WHERE name = $1", vec![Arg::from(Arc::clone(&key.name))]).await?;
    if let Some(entry) = audit {
        tx.audit(entry);
    }
    Ok(Ok(Stored { namespace: key.namespace, name: key.name, revision, body }))
}
