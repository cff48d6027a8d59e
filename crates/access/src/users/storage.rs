//! Storage of users: each object is a row of the `users` table, and each change of a row is a change of the feed, written
//! by the same transaction.

use std::sync::Arc;

use futures::future::BoxFuture;
use mcplane_core::{Error, Result};
use mcplane_db::{Arg, Db, Operation, Tx};
use mcplane_objects::storage::{Effect, Expect, Key, Page, Range, Refusal, Storage, Stored, Write};

use super::row::{COLUMN_COUNT, COLUMNS, UserRow};

/// The first user is the one after this.
const BEFORE_FIRST_ID: i64 = 1000;
/// The counter that holds the last id, so that no id is given twice, not even after its user is gone.
const LAST_ID: &str = "users.mcplane.io/last-id";

/// The users table as the storage of a kind.
#[derive(Debug, Clone)]
pub struct UserStorage {
    db: Db,
}

impl UserStorage {
    /// Storage in `db`.
    pub fn new(db: Db) -> Self {
        Self { db }
    }
}

/// The user's row, with the hash of the password.
pub(super) async fn find(db: &Db, name: &str) -> Result<Option<UserRow>> {
    let sql = format!("SELECT {COLUMNS} FROM users WHERE name = $1");
    db.fetch(sql, vec![name.into()]).await?.first().map(UserRow::read).transpose()
}

impl Storage for UserStorage {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Stored>>> {
        Box::pin(async move {
            let row = find(&self.db, &key.name).await?;
            row.filter(|_| key.namespace.is_empty()).map(|row| row.stored()).transpose()
        })
    }

    fn list<'a>(&'a self, _: &'a Arc<str>, range: Range) -> BoxFuture<'a, Result<Page>> {
        Box::pin(async move {
            let query = |limit| page_query(&range, limit);
            Page::read(&self.db, &range, query, |row| UserRow::read(row)?.stored()).await
        })
    }

    fn write(&self, write: Write) -> BoxFuture<'_, Result<std::result::Result<Stored, Refusal>>> {
        Box::pin(async move { self.db.write(move |tx| Box::pin(apply(tx, write))).await })
    }

    fn count<'a>(&'a self, _: &'a Arc<str>, namespace: &'a str) -> BoxFuture<'a, Result<i64>> {
        Box::pin(async move {
            let rows = self.db.fetch("SELECT count(*) FROM users WHERE $1 = ''", vec![namespace.into()]).await?;
            rows.first().map_or(Ok(0), |row| row.int(0))
        })
    }

    fn open(&self, _: &Key, body: &Arc<str>) -> Result<Arc<str>> {
        Ok(Arc::clone(body))
    }
}

fn page_query(range: &Range, limit: i64) -> (String, Vec<Arg>) {
    // Users have no namespace, so a range of any namespace is empty.
    let mut sql = format!("SELECT {COLUMNS} FROM users WHERE $1 = ''");
    let mut args = vec![Arg::from(range.namespace.as_str())];
    let mut bind = |sql: &mut String, text: &str, value: Arg| {
        args.push(value);
        sql.push_str(&text.replace('?', &format!("${}", args.len())));
    };
    if !range.name.is_empty() {
        bind(&mut sql, " AND name = ?", range.name.as_str().into());
    }
    if let Some((_, name)) = &range.after {
        bind(&mut sql, " AND name > ?", name.as_str().into());
    }
    bind(&mut sql, " ORDER BY name LIMIT ?", limit.into());
    (sql, args)
}

async fn apply(tx: &mut Tx, write: Write) -> Result<std::result::Result<Stored, Refusal>> {
    let Write { key, expect, effect, guard, counts, audit, .. } = write;
    if guard.is_some() || !counts.is_empty() {
        return Err(Error::internal("users have neither a namespace nor quotas"));
    }
    // Under the lock nobody else writes, so what is read now stays true until the commit.
    tx.lock().await?;
    let sql = format!("SELECT {COLUMNS} FROM users WHERE name = $1");
    let before = tx.fetch(sql, vec![Arg::from(Arc::clone(&key.name))]).await?;
    let before = before.first().map(UserRow::read).transpose()?;
    match (expect, &before) {
        (Expect::Absent, Some(_)) => return Ok(Err(Refusal::Exists)),
        (Expect::Revision(_), None) => return Ok(Err(Refusal::Missing)),
        (Expect::Revision(wanted), Some(row)) if row.revision != wanted => return Ok(Err(Refusal::Changed)),
        _ => {}
    }
    let (operation, body) = match (&effect, &before) {
        (Effect::Remove(body), _) => (Operation::Deleted, body),
        (Effect::Put(body), Some(_)) => (Operation::Updated, body),
        (Effect::Put(body), None) => (Operation::Created, body),
    };
    let id = match &before {
        Some(row) => row.id,
        None => next_id(tx).await?,
    };
    let mut row = UserRow::from_body(&key.name, body, id, before.as_ref())?;
    let shown = row.body()?;
    let previous = before.map(|row| row.stored()).transpose()?.map(|stored| stored.body);
    let parts = (&key.resource, &key.namespace, &key.name);
    let (revision, text) = tx.change(parts, operation, |revision| shown.at(revision), previous).await?;
    row.revision = revision;
    match operation {
        Operation::Deleted => {
            tx.execute("DELETE FROM users WHERE name = $1", vec![Arg::from(Arc::clone(&key.name))]).await?;
        }
        Operation::Created | Operation::Updated => put(tx, row).await?,
    }
    if let Some(mut entry) = audit {
        if entry.name.is_empty() {
            entry.name = key.name.to_string();
        }
        tx.audit(entry);
    }
    Ok(Ok(Stored { namespace: key.namespace, name: key.name, revision, body: text }))
}

async fn next_id(tx: &mut Tx) -> Result<i64> {
    let sql = "INSERT INTO counters (namespace, name, value) VALUES ('', $1, $2) \
               ON CONFLICT (namespace, name) DO UPDATE SET value = counters.value + 1 RETURNING value";
    let rows = tx.fetch(sql, vec![LAST_ID.into(), (BEFORE_FIRST_ID + 1).into()]).await?;
    rows.first().ok_or_else(|| Error::internal("a counter without a value"))?.int(0)
}

async fn put(tx: &mut Tx, row: UserRow) -> Result<()> {
    let replace = "ON CONFLICT (name) DO UPDATE SET role = excluded.role, disabled = excluded.disabled, \
                   password_hash = excluded.password_hash, revision = excluded.revision, \
                   generation = excluded.generation, metadata = excluded.metadata";
    let insert = format!("INSERT INTO users ({COLUMNS})");
    tx.execute_rows(&insert, COLUMN_COUNT, row.into_args()?, replace).await
}
