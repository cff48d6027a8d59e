//! SQLite's writing connection. Its statements run on the thread that asks for them, which is the writer's own: to hand each to
//! another thread and to wait for the answer takes longer than a small statement itself.

use std::path::Path;
use std::time::Duration;

use mcplane_core::Result;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{OpenFlags, Statement, ToSql};
use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use crate::error::from_rusqlite;
use crate::sql::{Arg, Row};

/// Texts that stay prepared.
const STATEMENTS: usize = 200;
/// How long a statement waits for another connection that has the file.
const BUSY: Duration = Duration::from_secs(10);
/// Pages of write-ahead log (64 MiB) after which a commit copies what has not been copied beside it, so that the log can
/// begin anew.
const CHECKPOINT_PAGES: &str = "16000";
/// Bytes of log that stay on the disk when it begins anew.
const LOG: &str = "67108864";
/// Kibibytes of pages, negative as SQLite wants them, that a connection keeps for good once it has seen them. The operating
/// system keeps them too, and gives them up when others need memory; a miss costs a copy from there.
const WRITER_CACHE: &str = "-4000";
const READER_CACHE: &str = "-1000";
/// Pages of 4 KiB that a group of writes may change before they go to the log ahead of its commit, to be written again when the
/// group changes them again. The cache is as small as before after the commit.
const WRITER_SPILL: &str = "8192";

/// How every connection but the writer's is made.
pub(crate) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY)
        .statement_cache_capacity(STATEMENTS)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("journal_size_limit", LOG)
        .disable_statement_logging()
}

/// How those that read are made.
pub(crate) fn reader(path: &Path) -> SqliteConnectOptions {
    options(path).read_only(true).pragma("cache_size", READER_CACHE)
}

pub(crate) struct SqliteWriter(rusqlite::Connection);

impl SqliteWriter {
    /// Opens the file, or makes it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        const SETTINGS: [(&str, &str); 7] = [
            ("journal_mode", "WAL"),
            // FULL syncs the log at each commit; NORMAL would acknowledge writes that a power cut loses.
            ("synchronous", "FULL"),
            ("foreign_keys", "ON"),
            ("wal_autocheckpoint", CHECKPOINT_PAGES),
            ("journal_size_limit", LOG),
            ("cache_size", WRITER_CACHE),
            ("cache_spill", WRITER_SPILL),
        ];
        let connection = Self::connect(path).map_err(from_rusqlite)?;
        for (name, value) in SETTINGS {
            connection.run(&format!("PRAGMA {name} = {value}"))?;
        }
        Ok(connection)
    }

    fn connect(path: &Path) -> rusqlite::Result<Self> {
        // One thread at a time has it, which the borrow checker proves.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = rusqlite::Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(Self(connection))
    }

    pub(crate) fn fetch(&mut self, sql: &str, args: &[Arg]) -> Result<Vec<Row>> {
        let mut found = Vec::new();
        self.each(sql, args, |values| found.push(Row::kept(values))).map_err(from_rusqlite)?;
        Ok(found)
    }

    /// The number of rows that a statement touched.
    pub(crate) fn execute(&mut self, sql: &str, args: &[Arg]) -> Result<u64> {
        self.each(sql, args, drop).map_err(from_rusqlite)?;
        Ok(self.0.changes())
    }

    /// Statements without arguments, one after the other.
    pub(crate) fn control(&mut self, statements: &str) -> Result<()> {
        statements.split("; ").try_for_each(|sql| self.run(sql))
    }

    fn run(&self, sql: &str) -> Result<()> {
        self.each(sql, &[], drop).map_err(from_rusqlite)
    }

    fn each(&self, sql: &str, args: &[Arg], mut row: impl FnMut(Box<[Value]>)) -> rusqlite::Result<()> {
        let mut statement = self.0.prepare_cached(sql)?;
        bind(&mut statement, args)?;
        let columns = statement.column_count();
        let mut rows = statement.raw_query();
        while let Some(found) = rows.next()? {
            let values = (0..columns).map(|column| found.get_ref(column).and_then(owned));
            row(values.collect::<rusqlite::Result<_>>()?);
        }
        Ok(())
    }

    pub(crate) fn close(self) -> Result<()> {
        self.0.close().map_err(|(_, error)| from_rusqlite(error))
    }
}

fn owned(value: ValueRef<'_>) -> rusqlite::Result<Value> {
    Value::try_from(value).map_err(rusqlite::Error::from)
}

/// SQLite takes `$2` for a name and numbers names as they come, so `$2` may be the first; `?` are numbered as they stand.
fn bind(statement: &mut Statement<'_>, args: &[Arg]) -> rusqlite::Result<()> {
    for index in 1..=statement.parameter_count() {
        let number = statement.parameter_name(index).and_then(|name| name.strip_prefix('$')?.parse().ok());
        let arg = args.get(number.unwrap_or(index).wrapping_sub(1));
        let arg = arg.ok_or(rusqlite::Error::InvalidParameterCount(args.len(), statement.parameter_count()))?;
        statement.raw_bind_parameter(index, arg)?;
    }
    Ok(())
}

impl ToSql for Arg {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Text(text) => ValueRef::from(&**text),
            Self::Shared(text) | Self::OptionalText(Some(text)) => ValueRef::from(&**text),
            Self::Int(number) | Self::OptionalInt(Some(number)) => ValueRef::Integer(*number),
            Self::Float(number) => ValueRef::Real(*number),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::OptionalInt(None) | Self::OptionalText(None) => ValueRef::Null,
        }))
    }
}
