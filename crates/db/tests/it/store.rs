//! A fresh database, and short words for what the cases do with it.

use std::sync::Arc;

use futures::future::BoxFuture;
use mcplane_core::clock::ManualClock;
use mcplane_core::{Error, Result};
use mcplane_db::{Arg, Change, Db, Dialect, Operation, Revision, StoreUrl, Tx};
use mcplane_testkit::Database;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};
use tempfile::TempDir;

pub(crate) struct Store {
    pub(crate) url: StoreUrl,
    pub(crate) clock: Arc<ManualClock>,
    _directory: Option<TempDir>,
    _database: Option<Database>,
}

impl Store {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(directory.path().join("mcplane.db"));
        Self { url, clock: Self::clock(), _directory: Some(directory), _database: None }
    }

    pub(crate) fn postgres() -> Self {
        let database = Database::create();
        let url = StoreUrl::Postgres(database.url().to_owned());
        Self { url, clock: Self::clock(), _directory: None, _database: Some(database) }
    }

    fn clock() -> Arc<ManualClock> {
        Arc::new(ManualClock::new(1_700_000_000_000))
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self.url {
            StoreUrl::Sqlite(_) => Dialect::Sqlite,
            StoreUrl::Postgres(_) => Dialect::Postgres,
        }
    }

    pub(crate) async fn open(&self) -> Db {
        Db::open(&self.url, self.clock.clone()).await.unwrap()
    }

    /// Opens with a table for the cases' own rows.
    pub(crate) async fn open_with_notes(&self) -> Db {
        let db = self.open().await;
        self.administer("CREATE TABLE notes (id BIGINT PRIMARY KEY, text TEXT NOT NULL)").await;
        db
    }

    /// Runs SQL as somebody with access to the database would, past mcplane.
    pub(crate) async fn administer(&self, sql: &str) {
        self.try_administer(sql).await.unwrap();
    }

    pub(crate) async fn try_administer(&self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match &self.url {
            StoreUrl::Sqlite(path) => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
                let mut connection = SqliteConnection::connect_with(&options).await?;
                connection.execute(sql).await?;
                connection.close().await
            }
            StoreUrl::Postgres(url) => PgConnection::connect(url).await?.execute(sql).await.map(drop),
        }
    }
}

/// A unit of work from a closure, with its type spelled out once.
pub(crate) fn unit<T, F>(run: F) -> F
where
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T>>,
{
    run
}

/// Appends a change of `resource` named `name` whose body is `body`.
pub(crate) async fn append(tx: &mut Tx, resource: &str, name: &str, body: &str) -> Result<Revision> {
    let key = [resource, "ns", name].map(Arc::from);
    let body: Arc<str> = body.into();
    Ok(tx.change((&key[0], &key[1], &key[2]), Operation::Updated, |_| body, None).await?.0)
}

/// One change, committed.
pub(crate) async fn write(db: &Db, resource: &'static str, name: impl Into<String>) -> Result<Revision> {
    let name = name.into();
    db.write(unit(move |tx| Box::pin(async move { append(tx, resource, &name, "{}").await }))).await
}

pub(crate) async fn note(tx: &mut Tx, id: i64, text: &str) -> Result<()> {
    tx.execute("INSERT INTO notes (id, text) VALUES ($1, $2)", vec![id.into(), text.into()]).await.map(drop)
}

pub(crate) async fn notes(db: &Db) -> Vec<i64> {
    let rows = db.fetch("SELECT id FROM notes ORDER BY id", vec![]).await.unwrap();
    rows.iter().map(|row| row.int(0).unwrap()).collect()
}

/// Revisions, resources and names of the whole table of changes.
pub(crate) async fn table(db: &Db) -> Vec<(Revision, String, String)> {
    let rows = db.fetch("SELECT revision, resource, name FROM changes ORDER BY revision", Vec::<Arg>::new()).await;
    let text = |row: &mcplane_db::Row, column| row.text(column).unwrap().to_owned();
    rows.unwrap().iter().map(|row| (row.int(0).unwrap(), text(row, 1), text(row, 2))).collect()
}

pub(crate) fn revisions<'c>(changes: impl IntoIterator<Item = &'c Arc<Change>>) -> Vec<Revision> {
    changes.into_iter().map(|change| change.revision).collect()
}

#[track_caller]
pub(crate) fn assert_unavailable<T: std::fmt::Debug>(result: Result<T>) {
    assert!(matches!(result, Err(Error::Unavailable { .. })), "{result:?}");
}

#[track_caller]
pub(crate) fn assert_expired<T: std::fmt::Debug>(result: Result<T>) {
    assert!(matches!(result, Err(Error::Expired(_))), "{result:?}");
}
