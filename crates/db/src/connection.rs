//! The writer's own connection: one, opened anew whenever its state is in doubt.

use std::borrow::Cow;
use std::time::Duration;

use mcplane_core::{Error, Result};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::checkpoint::Checkpoints;
use crate::error::from_sqlx;
use crate::sql::{Arg, Connection, Dialect, Row};

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
    Sqlite(Box<SqliteConnectOptions>),
    Postgres(Box<PgConnectOptions>),
}

enum Open {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl WriteConnection {
    pub(crate) fn sqlite(options: SqliteConnectOptions) -> Self {
        Self { target: Target::Sqlite(Box::new(options)), open: None }
    }

    pub(crate) fn postgres(options: PgConnectOptions) -> Self {
        Self { target: Target::Postgres(Box::new(options)), open: None }
    }

    /// What copies SQLite's log beside this connection.
    pub(crate) fn checkpoints(&self) -> Option<Checkpoints> {
        match &self.target {
            Target::Sqlite(options) => Some(Checkpoints::start((**options).clone().create_if_missing(false))),
            Target::Postgres(_) => None,
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self.target {
            Target::Sqlite(_) => Dialect::Sqlite,
            Target::Postgres(_) => Dialect::Postgres,
        }
    }

    /// The connection, made if there is none. Only for use outside a transaction.
    pub(crate) async fn connect(&mut self) -> Result<Connection<'_>> {
        if self.open.is_none() {
            self.open = Some(match &self.target {
                Target::Sqlite(options) => Open::Sqlite(options.connect().await.map_err(from_sqlx)?),
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
        self.current()
    }

    /// The connection that a transaction began on: a new one in its place would be outside that transaction.
    fn current(&mut self) -> Result<Connection<'_>> {
        match &mut self.open {
            Some(Open::Sqlite(connection)) => Ok(Connection::Sqlite(connection)),
            Some(Open::Postgres(connection)) => Ok(Connection::Postgres(connection)),
            None => Err(Error::Unavailable { message: "the database connection is lost".to_owned(), source: None }),
        }
    }

    pub(crate) async fn fetch(&mut self, sql: impl Into<Cow<'static, str>>, args: Vec<Arg>) -> Result<Vec<Row>> {
        let answer = match self.current()? {
            mut connection @ Connection::Sqlite(_) => Ok(connection.fetch(sql, args).await),
            mut connection @ Connection::Postgres(_) => timeout(PATIENCE, connection.fetch(sql, args)).await,
        };
        self.settle(answer)
    }

    pub(crate) async fn execute(&mut self, sql: impl Into<Cow<'static, str>>, args: Vec<Arg>) -> Result<u64> {
        let answer = match self.current()? {
            mut connection @ Connection::Sqlite(_) => Ok(connection.execute(sql, args).await),
            mut connection @ Connection::Postgres(_) => timeout(PATIENCE, connection.execute(sql, args)).await,
        };
        self.settle(answer)
    }

    /// Runs statements without arguments or result, such as those that steer a transaction, in one round trip.
    pub(crate) async fn control(&mut self, sql: &'static str) -> Result<()> {
        let answer = match self.current()? {
            Connection::Sqlite(connection) => Ok(connection.execute(sqlx::query(sql)).await.map(drop)),
            Connection::Postgres(connection) => {
                timeout(PATIENCE, connection.execute(sqlx::raw_sql(sql))).await.map(|done| done.map(drop))
            }
        };
        self.settle(answer.map(|done| done.map_err(from_sqlx)))
    }

    fn settle<T>(&mut self, answer: Result<Result<T>, Elapsed>) -> Result<T> {
        answer.unwrap_or_else(|_| {
            self.discard();
            Err(silent())
        })
    }

    /// Forgets a connection in an unknown state; its transaction, if any, is rolled back by the database.
    pub(crate) fn discard(&mut self) {
        self.open = None;
    }

    pub(crate) async fn close(mut self) -> Result<()> {
        match self.open.take() {
            Some(Open::Sqlite(connection)) => connection.close().await.map_err(from_sqlx),
            Some(Open::Postgres(connection)) => {
                timeout(CONNECT_PATIENCE, connection.close()).await.map_err(|_| silent())?.map_err(from_sqlx)
            }
            None => Ok(()),
        }
    }
}

fn silent() -> Error {
    Error::Unavailable { message: "the database does not answer; try again".to_owned(), source: None }
}
