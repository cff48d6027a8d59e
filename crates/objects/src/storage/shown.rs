//! Rows of a domain's own table that are shown as objects: what both sides of such a projection need.

use std::sync::Arc;

use mcplane_core::Result;
use mcplane_db::{Arg, Db, Operation, Revision, Row, Tx};
use serde_json::Value;

use super::{Key, Page, Range, Stored};
use crate::object::Body;

/// A table with one object a row. It has the columns `revision` and `object`: the text that was last shown, which is empty
/// in rows that show nothing.
#[derive(Debug, Clone, Copy)]
pub struct ShownTable {
    /// The table.
    pub table: &'static str,
    /// The column of the namespace; `None` for objects beside the namespaces.
    pub namespace: Option<&'static str>,
    /// The column of the object's name.
    pub name: &'static str,
}

/// A change as the feed tells of it: its revision, and the object.
pub type Shown = (Revision, Arc<str>);

impl ShownTable {
    fn namespace(&self) -> &'static str {
        self.namespace.unwrap_or("''")
    }

    fn select(&self) -> String {
        let Self { table, name, .. } = self;
        format!("SELECT {}, {name}, revision, object FROM {table} WHERE object <> ''", self.namespace())
    }

    /// One object.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn get(&self, db: &Db, key: &Key) -> Result<Option<Stored>> {
        let sql = format!("{} AND {} = $1 AND {} = $2", self.select(), self.namespace(), self.name);
        let args = vec![Arg::from(Arc::clone(&key.namespace)), Arg::from(Arc::clone(&key.name))];
        db.fetch(sql, args).await?.first().map(stored).transpose()
    }

    /// A stretch of objects.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn list(&self, db: &Db, range: &Range) -> Result<Page> {
        Page::read(db, range, |limit| self.page(range, limit), stored).await
    }

    /// The number of objects in `namespace` (all if empty).
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn count(&self, db: &Db, namespace: &str) -> Result<i64> {
        let (table, column) = (self.table, self.namespace());
        let sql = format!("SELECT count(*) FROM {table} WHERE ($1 = '' OR {column} = $1) AND object <> ''");
        let rows = db.fetch(sql, vec![namespace.into()]).await?;
        rows.first().map_or(Ok(0), |row| row.int(0))
    }

    fn page(&self, range: &Range, limit: i64) -> (String, Vec<Arg>) {
        let (mut sql, mut args) = (self.select(), Vec::new());
        let mut bind = |text: &str, values: &[&str]| {
            let mut text = text.to_owned();
            for value in values {
                args.push(Arg::from(*value));
                text = text.replacen('?', &format!("${}", args.len()), 1);
            }
            sql.push_str(&text);
        };
        let (namespace, name) = (self.namespace(), self.name);
        if !range.namespace.is_empty() {
            bind(&format!(" AND {namespace} = ?"), &[&range.namespace]);
        }
        if !range.name.is_empty() {
            bind(&format!(" AND {name} = ?"), &[&range.name]);
        }
        if let Some((after_namespace, after_name)) = &range.after {
            bind(&format!(" AND ({namespace}, {name}) > (?, ?)"), &[after_namespace, after_name]);
        }
        args.push(limit.into());
        sql.push_str(&format!(" ORDER BY 1, 2 LIMIT ${}", args.len()));
        (sql, args)
    }
}

fn stored(row: &Row) -> Result<Stored> {
    Ok(Stored {
        namespace: row.text(0)?.into(),
        name: row.text(1)?.into(),
        revision: row.int(2)?,
        body: row.text(3)?.into(),
    })
}

/// Appends the change that makes an object what it is, if that is not what was shown: `was` is its revision and text, the
/// text being empty if nothing was. The row is to take what this returns, in the same unit.
///
/// # Errors
/// When the object is too large, or the store fails.
pub async fn publish(tx: &mut Tx, key: &Key, was: (Revision, &str), object: &Value) -> Result<Option<Shown>> {
    let body = Body::encode(object)?;
    let (operation, previous) = match was {
        (_, "") => (Operation::Created, None),
        (revision, text) if *body.at(revision) == *text => return Ok(None),
        (_, text) => (Operation::Updated, Some(text.into())),
    };
    let parts = (&key.resource, &key.namespace, &key.name);
    tx.change(parts, operation, |revision| body.at(revision), previous).await.map(Some)
}

/// Appends the change that tells that an object is gone; `was` is the text that it was last shown as.
///
/// # Errors
/// When the store fails.
pub async fn retract(tx: &mut Tx, key: &Key, was: &str) -> Result<Shown> {
    let parts = (&key.resource, &key.namespace, &key.name);
    let last = |revision| crate::object::with_revision(was, revision);
    tx.change(parts, Operation::Deleted, last, Some(was.into())).await
}
