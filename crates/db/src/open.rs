//! Opening a database, and reading from it.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use mcplane_core::{Clock, Error, Result};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{ConnectOptions as _, Executor as _, PgPool, Postgres, Sqlite, SqlitePool, Transaction};

use crate::connection::WriteConnection;
use crate::error::from_sqlx;
use crate::feed::Feed;
use crate::sql::{Arg, Connection, Dialect, Row};
use crate::sqlite;
use crate::writer::Writer;

/// Where the database is: `sqlite:PATH` or `postgres://USER@HOST/DATABASE`.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A file.
    Sqlite(PathBuf),
    /// A server; the URL may hold a password, which [`fmt::Debug`] and [`fmt::Display`] hide.
    Postgres(String),
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            // `:memory:` would be another database for each connection.
            if path.is_empty() || path.starts_with(':') {
                return Err("sqlite: needs a file, as in sqlite:/var/lib/mcplane/mcplane.db".to_owned());
            }
            return Ok(Self::Sqlite(PathBuf::from(path)));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            PgConnectOptions::from_str(text).map_err(|_| "this is not a valid PostgreSQL URL".to_owned())?;
            return Ok(Self::Postgres(text.to_owned()));
        }
        Err("a store is sqlite:PATH or postgres://USER@HOST/DATABASE".to_owned())
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => match PgConnectOptions::from_str(url) {
                Ok(options) => {
                    let (host, port) = (options.get_host(), options.get_port());
                    write!(
                        f,
                        "postgres://{}@{host}:{port}/{}",
                        options.get_username(),
                        options.get_database().unwrap_or("")
                    )
                }
                Err(_) => f.write_str("postgres://…"),
            },
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An open database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    readers: Pool,
    writer: Writer,
    feed: Arc<Feed>,
    clock: Arc<dyn Clock>,
}

#[derive(Clone)]
enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("dialect", &self.dialect()).finish_non_exhaustive()
    }
}

const SQLITE_READERS: u32 = 4;
const POSTGRES_READERS: u32 = 8;
/// How long [`Db::close`] waits for readers.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

impl Db {
    /// Opens the database, creates or migrates its schema and starts its writer.
    ///
    /// # Errors
    /// When it can't be reached, or was made by a newer mcplane.
    pub async fn open(url: &StoreUrl, clock: Arc<dyn Clock>) -> Result<Self> {
        let (readers, mut connection) = match url {
            StoreUrl::Sqlite(path) => open_sqlite(path),
            StoreUrl::Postgres(url) => open_postgres(url)?,
        };
        connection.connect().await.map_err(|error| cannot_open(url, error))?;
        connection.migrate().await?;
        let feed = Arc::new(Feed::default());
        let writer = Writer::start(connection, Arc::clone(&feed), Arc::clone(&clock)).await?;
        Ok(Self { readers, writer, feed, clock })
    }

    /// Which database this is.
    pub fn dialect(&self) -> Dialect {
        match self.readers {
            Pool::Sqlite(_) => Dialect::Sqlite,
            Pool::Postgres(_) => Dialect::Postgres,
        }
    }

    /// The change feed.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// The clock that stamps changes.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.writer
    }

    /// One query outside any transaction.
    pub async fn fetch(&self, sql: impl Into<Cow<'static, str>>, args: Vec<Arg>) -> Result<Vec<Row>> {
        match &self.readers {
            Pool::Sqlite(pool) => {
                let mut connection = pool.acquire().await.map_err(from_sqlx)?;
                Connection::Sqlite(&mut connection).fetch(sql, args).await
            }
            Pool::Postgres(pool) => {
                let mut connection = pool.acquire().await.map_err(from_sqlx)?;
                Connection::Postgres(&mut connection).fetch(sql, args).await
            }
        }
    }

    /// A view of the database as it is at the first query, in which all further queries agree.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        const REPEATABLE: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        match &self.readers {
            Pool::Sqlite(pool) => pool.begin().await.map(SnapshotRepr::Sqlite),
            Pool::Postgres(pool) => pool.begin_with(REPEATABLE).await.map(SnapshotRepr::Postgres),
        }
        .map(Snapshot)
        .map_err(from_sqlx)
    }

    /// Ends all subscriptions, stops the writer after what waits for it, and closes all connections. Writes that come later
    /// fail.
    pub async fn close(&self) {
        let close_readers = async {
            match &self.readers {
                Pool::Sqlite(pool) => pool.close().await,
                Pool::Postgres(pool) => pool.close().await,
            }
        };
        // The writer goes last, because only SQLite's last connection writes the log back; but a snapshot that somebody
        // still holds must not keep the writer from finishing.
        if tokio::time::timeout(CLOSE_PATIENCE, close_readers).await.is_err() {
            tracing::warn!("a reader of the database did not end in time");
        }
        self.writer.stop().await;
    }
}

/// A read transaction; ends when dropped.
#[derive(Debug)]
pub struct Snapshot(SnapshotRepr);

#[derive(Debug)]
enum SnapshotRepr {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Snapshot {
    /// Which database this is.
    pub fn dialect(&self) -> Dialect {
        match &self.0 {
            SnapshotRepr::Sqlite(_) => Dialect::Sqlite,
            SnapshotRepr::Postgres(_) => Dialect::Postgres,
        }
    }

    /// One query.
    pub async fn fetch(&mut self, sql: impl Into<Cow<'static, str>>, args: Vec<Arg>) -> Result<Vec<Row>> {
        match &mut self.0 {
            SnapshotRepr::Sqlite(transaction) => Connection::Sqlite(transaction).fetch(sql, args).await,
            SnapshotRepr::Postgres(transaction) => Connection::Postgres(transaction).fetch(sql, args).await,
        }
    }

    pub(crate) async fn fetch_until<T>(
        &mut self,
        sql: String,
        args: Vec<Arg>,
        read: impl Fn(&Row) -> Result<T>,
        weigh: impl Fn(&T) -> usize,
        limit: usize,
    ) -> Result<Vec<T>> {
        let mut connection = match &mut self.0 {
            SnapshotRepr::Sqlite(transaction) => Connection::Sqlite(transaction),
            SnapshotRepr::Postgres(transaction) => Connection::Postgres(transaction),
        };
        connection.fetch_until(sql, args, read, weigh, limit).await
    }

    /// The newest revision in this view, and the newest that compaction took away.
    pub async fn revisions(&mut self) -> Result<(i64, i64)> {
        let rows = self.fetch("SELECT revision, compacted FROM head", vec![]).await?;
        let row = rows.first().ok_or_else(|| Error::internal("the head row is missing"))?;
        Ok((row.int(0)?, row.int(1)?))
    }
}

fn open_sqlite(path: &Path) -> (Pool, WriteConnection) {
    let readers = SqlitePoolOptions::new()
        .max_connections(SQLITE_READERS)
        .acquire_timeout(Duration::from_secs(10))
        // A file does not go away as a server does.
        .test_before_acquire(false)
        .connect_lazy_with(sqlite::reader(path));
    (Pool::Sqlite(readers), WriteConnection::sqlite(path))
}

fn open_postgres(url: &str) -> Result<(Pool, WriteConnection)> {
    let options = PgConnectOptions::from_str(url)
        .map_err(from_sqlx)?
        .application_name("mcplane")
        .statement_cache_capacity(200)
        .disable_statement_logging();
    let readers = PgPoolOptions::new()
        .max_connections(POSTGRES_READERS)
        .acquire_timeout(Duration::from_secs(5))
        // As SQLite's readers can't write either.
        .after_connect(|connection, _| {
            Box::pin(async move {
                let session = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; SET enable_seqscan = off";
                connection.execute(sqlx::raw_sql(session)).await.map(drop)
            })
        })
        .connect_lazy_with(options.clone());
    Ok((Pool::Postgres(readers), WriteConnection::postgres(options)))
}

/// Whoever starts the server chose the URL and needs to know what is wrong with it.
fn cannot_open(url: &StoreUrl, error: Error) -> Error {
    let reason = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
    Error::Unavailable { message: format!("the store {url} can't be opened: {reason}"), source: Some(Box::new(error)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed_once_and_hide_passwords() {
        assert_eq!("sqlite:/a/b.db".parse(), Ok(StoreUrl::Sqlite("/a/b.db".into())));
        let url: StoreUrl = "postgres://me:hunter2@db.example:6432/ml".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), ["postgres://me@db.example:6432/ml"; 2].join(" "));
        for bad in ["", "sqlite:", "sqlite::memory:", "mysql://x", "/a/b.db"] {
            assert!(bad.parse::<StoreUrl>().is_err(), "{bad}");
        }
    }
}
