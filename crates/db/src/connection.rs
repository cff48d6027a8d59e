//! The writer's own connection: one, opened anew whenever its state is in doubt.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mcplane_core::{Error, Result};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tokio::time::timeout;

use crate::checkpoint::Checkpoints;
use crate::error::from_sqlx;
use crate::migrate;
use crate::sql::{Arg, Connection, Dialect, Row, execute_postgres};
use crate::sqlite::{self, SqliteWriter};

/// How long a server may take to answer one statement. A host that vanished never answers, and everybody waits behind
/// the writer. SQLite needs no such limit: what it waits for is this machine's disk.
const PATIENCE: Duration = Duration::from_secs(30);
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// A role or database may be set up to acknowledge before the disk has the data (stricter settings than `on` stay as they
/// are), and a server that lost us in the middle of a transaction must not hold the lock that all writers need. Every query
/// here has an index; a plan that was made while a table was nearly empty, and is kept, must not read the whole of it later.
const POSTGRES_SESSION: &str = "\
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
    SET idle_in_transaction_session_timeout = '30s'; SET enable_seqscan = off";

pub(crate) struct WriteConnection {
    target: Target,
    open: Option<Open>,
}

enum Target {
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
}

enum Open {
    Sqlite(SqliteWriter),
    Postgres(PgConnection),
}

impl WriteConnection {
    pub(crate) fn sqlite(path: &Path) -> Self {
        Self { target: Target::Sqlite(path.to_owned()), open: None }
    }

    pub(crate) fn postgres(options: PgConnectOptions) -> Self {
        Self { target: Target::Postgres(Box::new(options)), open: None }
    }

    /// What copies SQLite's log beside this connection.
    pub(crate) fn checkpoints(&self) -> Option<Checkpoints> {
        match &self.target {
            Target::Sqlite(path) => Some(Checkpoints::start(sqlite::options(path))),
            Target::Postgres(_) => None,
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self.target {
            Target::Sqlite(_) => Dialect::Sqlite,
            Target::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Makes the connection if there is none. Only for use outside a transaction.
    pub(crate) async fn connect(&mut self) -> Result<()> {
        if self.open.is_none() {
            self.open = Some(match &self.target {
                Target::Sqlite(path) => Open::Sqlite(SqliteWriter::open(path)?),
                Target::Postgres(options) => {
                    let connect = async {
                        let mut connection = options.connect().await?;
                        connection.execute(sqlx::raw_sql(POSTGRES_SESSION)).await?;
                        Ok(connection)
                    };
                    let made = timeout(CONNECT_PATIENCE, connect).await.map_err(|_| silent())?;
                    Open::Postgres(made.map_err(from_sqlx)?)
                }
            });
        }
        Ok(())
    }

    /// Brings the schema to its newest version.
    pub(crate) async fn migrate(&mut self) -> Result<()> {
        match (&self.target, &mut self.open) {
            // Beside the writer's connection, so that it is not the last, which would copy the log.
            (Target::Sqlite(path), _) => {
                let mut connection = sqlite::options(path).connect().await.map_err(from_sqlx)?;
                migrate::run(Connection::Sqlite(&mut connection)).await?;
                connection.close().await.map_err(from_sqlx)
            }
            (_, Some(Open::Postgres(connection))) => migrate::run(Connection::Postgres(connection)).await,
            _ => Err(lost()),
        }
    }

    /// The connection that a transaction began on: a new one in its place would be outside that transaction.
    fn current(&mut self) -> Result<&mut Open> {
        self.open.as_mut().ok_or_else(lost)
    }

    pub(crate) async fn fetch(&mut self, sql: impl Into<Cow<'static, str>>, args: Vec<Arg>) -> Result<Vec<Row>> {
        match self.current()? {
            Open::Sqlite(connection) => connection.fetch(&sql.into(), &args),
            Open::Postgres(connection) => {
                let answer = timeout(PATIENCE, Connection::Postgres(connection).fetch(sql, args)).await;
                answer.unwrap_or_else(|_| self.give_up())
            }
        }
    }

    pub(crate) async fn execute(&mut self, sql: impl Into<Cow<'static, str>>, args: Vec<Arg>) -> Result<u64> {
        match self.current()? {
            Open::Sqlite(connection) => connection.execute(&sql.into(), &args),
            Open::Postgres(connection) => {
                let answer = timeout(PATIENCE, execute_postgres(connection, sql, args)).await;
                answer.unwrap_or_else(|_| self.give_up())
            }
        }
    }

    /// Runs statements without arguments or result, such as those that steer a transaction, in one round trip. `; ` stands
    /// between them.
    pub(crate) async fn control(&mut self, sql: &'static str) -> Result<()> {
        match self.current()? {
            Open::Sqlite(connection) => connection.control(sql),
            Open::Postgres(connection) => {
                let answer = timeout(PATIENCE, connection.execute(sqlx::raw_sql(sql))).await;
                answer.map_or_else(|_| self.give_up(), |done| done.map(drop).map_err(from_sqlx))
            }
        }
    }

    fn give_up<T>(&mut self) -> Result<T> {
        self.discard();
        Err(silent())
    }

    /// Forgets a connection in an unknown state; its transaction, if any, is rolled back by the database.
    pub(crate) fn discard(&mut self) {
        self.open = None;
    }

    pub(crate) async fn close(mut self) -> Result<()> {
        match self.open.take() {
            Some(Open::Sqlite(connection)) => connection.close(),
            Some(Open::Postgres(connection)) => {
                timeout(CONNECT_PATIENCE, connection.close()).await.map_err(|_| silent())?.map_err(from_sqlx)
            }
            None => Ok(()),
        }
    }
}

fn lost() -> Error {
    Error::Unavailable { message: "the database connection is lost".to_owned(), source: None }
}

fn silent() -> Error {
    Error::Unavailable { message: "the database does not answer; try again".to_owned(), source: None }
}
