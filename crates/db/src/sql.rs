//! The few functions that every query passes through, so that each query is compiled once and not once per database.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use mcplane_core::{Error, Result};
use rusqlite::types::Value;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, Postgres, Row as _, Sqlite};

use crate::error::from_sqlx;

/// Which database speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The embedded one.
    Sqlite,
    /// A server.
    Postgres,
}

impl Dialect {
    /// Whether several servers may use one database.
    pub fn is_shared(self) -> bool {
        self == Self::Postgres
    }

    /// Milliseconds since the epoch by the clock of the database, which is one for all servers.
    pub fn now_ms(self) -> &'static str {
        match self {
            Self::Sqlite => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
            Self::Postgres => "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
        }
    }

    /// `(SELECT …)` over the numbers of a list, bound at `$n` as [`Arg::list`] makes it; for `IN`.
    pub fn numbers(self, n: usize) -> String {
        match self {
            Self::Sqlite => format!("(SELECT value FROM json_each(${n}))"),
            Self::Postgres => format!("(SELECT value::bigint FROM jsonb_array_elements_text(${n}::jsonb))"),
        }
    }

    /// `(SELECT …)` over the texts of a list, bound at `$n` as [`Arg::list`] makes it; for `IN`.
    pub fn texts(self, n: usize) -> String {
        match self {
            Self::Sqlite => format!("(SELECT value FROM json_each(${n}))"),
            Self::Postgres => format!("(SELECT value FROM jsonb_array_elements_text(${n}::jsonb))"),
        }
    }

    /// `(SELECT …)` over the records of a list, bound at `$n` as [`Arg::list`] makes it: one row a record, with a column for
    /// each of `columns`, which are names and types (`bigint` or `text`). What a record leaves out is null.
    pub fn records(self, n: usize, columns: &[(&str, &str)]) -> String {
        let each = |column: &dyn Fn(&(&str, &str)) -> String| columns.iter().map(column).collect::<Vec<_>>().join(", ");
        match self {
            Self::Sqlite => {
                let columns = each(&|(name, _)| format!("json_extract(value, '$.{name}') AS {name}"));
                format!("(SELECT {columns} FROM json_each(${n}))")
            }
            Self::Postgres => {
                let columns = each(&|(name, kind)| format!("{name} {kind}"));
                format!("(SELECT * FROM jsonb_to_recordset(${n}::jsonb) AS record ({columns}))")
            }
        }
    }
}

/// A bound argument. Times are milliseconds, booleans 0 or 1: both databases agree on those.
#[derive(Clone)]
pub enum Arg {
    /// Text.
    Text(Cow<'static, str>),
    /// Shared text, without a copy until it is bound.
    Shared(Arc<str>),
    /// A number.
    Int(i64),
    /// A number that may be absent.
    OptionalInt(Option<i64>),
    /// A finite number; databases differ in how they take others.
    Float(f64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A text that may be absent.
    OptionalText(Option<Arc<str>>),
}

impl Arg {
    /// A list of numbers or texts as one argument, read by [`Dialect::numbers`] and [`Dialect::texts`]: a statement has
    /// one text however long the list is.
    pub fn list<T: serde::Serialize>(items: &[T]) -> Self {
        // Numbers and texts always have a JSON form.
        Self::Text(serde_json::to_string(items).unwrap_or_default().into())
    }
}

/// Values may be secret; only their kind is shown.
impl std::fmt::Debug for Arg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text(_) | Self::Shared(_) | Self::OptionalText(_) => "Text(…)",
            Self::Int(_) | Self::OptionalInt(_) => "Int(…)",
            Self::Float(_) => "Float(…)",
            Self::Bytes(_) => "Bytes(…)",
        })
    }
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Text(Cow::Owned(text.to_owned()))
    }
}
impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}
impl From<Arc<str>> for Arg {
    fn from(text: Arc<str>) -> Self {
        Self::Shared(text)
    }
}
impl From<i64> for Arg {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}
impl From<Option<i64>> for Arg {
    fn from(number: Option<i64>) -> Self {
        Self::OptionalInt(number)
    }
}
impl From<f64> for Arg {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}
impl From<bool> for Arg {
    fn from(flag: bool) -> Self {
        Self::Int(i64::from(flag))
    }
}
impl From<Option<Arc<str>>> for Arg {
    fn from(text: Option<Arc<str>>) -> Self {
        Self::OptionalText(text)
    }
}
impl From<Vec<u8>> for Arg {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

/// A row of either database. Columns are read by position.
pub struct Row(Repr);

enum Repr {
    Sqlite(SqliteRow),
    /// Of the writer.
    Kept(Box<[Value]>),
    Postgres(PgRow),
}

/// Values may be secret.
impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Row").finish_non_exhaustive()
    }
}

impl Row {
    pub(crate) fn kept(values: Box<[Value]>) -> Self {
        Self(Repr::Kept(values))
    }

    fn get<'r, T>(&'r self, column: usize, of_kept: impl FnOnce(&'r Value) -> Option<T>) -> Result<T>
    where
        T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite> + sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>,
    {
        match &self.0 {
            Repr::Sqlite(row) => row.try_get(column).map_err(from_sqlx),
            Repr::Postgres(row) => row.try_get(column).map_err(from_sqlx),
            Repr::Kept(values) => {
                let value =
                    values.get(column).ok_or_else(|| Error::internal(format!("a row without column {column}")))?;
                let kind = value.data_type();
                of_kept(value).ok_or_else(|| Error::internal(format!("column {column} is of another type: {kind}")))
            }
        }
    }

    /// A number that is never null.
    pub fn int(&self, column: usize) -> Result<i64> {
        self.get(column, |value| match value {
            Value::Integer(number) => Some(*number),
            _ => None,
        })
    }

    /// A number that may be null.
    pub fn optional_int(&self, column: usize) -> Result<Option<i64>> {
        self.get(column, |value| match value {
            Value::Integer(number) => Some(Some(*number)),
            Value::Null => Some(None),
            _ => None,
        })
    }

    /// A floating-point number that is never null.
    pub fn float(&self, column: usize) -> Result<f64> {
        self.get(column, |value| match value {
            Value::Real(number) => Some(*number),
            _ => None,
        })
    }

    /// A text that is never null.
    pub fn text(&self, column: usize) -> Result<&str> {
        self.get(column, |value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A text that may be null.
    pub fn optional_text(&self, column: usize) -> Result<Option<&str>> {
        self.get(column, |value| match value {
            Value::Text(text) => Some(Some(text.as_str())),
            Value::Null => Some(None),
            _ => None,
        })
    }

    /// Bytes that are never null; SQLite's empty text is none.
    pub fn bytes(&self, column: usize) -> Result<&[u8]> {
        self.get(column, |value| match value {
            Value::Blob(bytes) => Some(bytes.as_slice()),
            Value::Text(text) => Some(text.as_bytes()),
            _ => None,
        })
    }
}

/// A connection of either database.
pub(crate) enum Connection<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

impl Connection<'_> {
    pub(crate) async fn fetch(&mut self, sql: impl Into<Cow<'static, str>>, args: Vec<Arg>) -> Result<Vec<Row>> {
        self.rows(sql.into(), args)?.try_collect().await
    }

    /// The first rows, until what `read` made of them weighs `limit` or there are no more.
    pub(crate) async fn fetch_until<T>(
        &mut self,
        sql: impl Into<Cow<'static, str>>,
        args: Vec<Arg>,
        read: impl Fn(&Row) -> Result<T>,
        weigh: impl Fn(&T) -> usize,
        limit: usize,
    ) -> Result<Vec<T>> {
        let mut rows = self.rows(sql.into(), args)?;
        let (mut found, mut weight) = (Vec::new(), 0);
        while weight < limit
            && let Some(row) = rows.try_next().await?
        {
            let item = read(&row)?;
            weight += weigh(&item);
            found.push(item);
        }
        Ok(found)
    }

    fn rows(&mut self, sql: Cow<'static, str>, args: Vec<Arg>) -> Result<BoxStream<'_, Result<Row>>> {
        let sql = AssertSqlSafe(sql);
        Ok(match self {
            Self::Sqlite(connection) => {
                let rows = sqlx::query_with(sql, sqlite_arguments(args)?).fetch(&mut **connection);
                rows.map(|row| row.map(|row| Row(Repr::Sqlite(row))).map_err(from_sqlx)).boxed()
            }
            Self::Postgres(connection) => {
                let rows = sqlx::query_with(sql, postgres_arguments(args)?).fetch(&mut **connection);
                rows.map(|row| row.map(|row| Row(Repr::Postgres(row))).map_err(from_sqlx)).boxed()
            }
        })
    }
}

/// The number of rows that a statement touched; SQLite's writer has its own.
pub(crate) async fn execute_postgres(
    connection: &mut PgConnection,
    sql: impl Into<Cow<'static, str>>,
    args: Vec<Arg>,
) -> Result<u64> {
    let query = sqlx::query_with(AssertSqlSafe(sql.into()), postgres_arguments(args)?);
    query.execute(connection).await.map(|done| done.rows_affected()).map_err(from_sqlx)
}

fn sqlite_arguments(args: Vec<Arg>) -> Result<SqliteArguments> {
    let mut bound = SqliteArguments::default();
    for arg in args {
        match arg {
            Arg::Text(text) => bound.add(text),
            Arg::Shared(text) => bound.add(text),
            Arg::Int(number) => bound.add(number),
            Arg::OptionalInt(number) => bound.add(number),
            Arg::Float(number) => bound.add(number),
            Arg::Bytes(bytes) => bound.add(bytes),
            Arg::OptionalText(text) => bound.add(text),
        }
        .map_err(Error::internal)?;
    }
    Ok(bound)
}

fn postgres_arguments(args: Vec<Arg>) -> Result<PgArguments> {
    let mut bound = PgArguments::default();
    for arg in args {
        match arg {
            Arg::Text(text) => bound.add(text),
            Arg::Shared(text) => bound.add(&*text),
            Arg::Int(number) => bound.add(number),
            Arg::OptionalInt(number) => bound.add(number),
            Arg::Float(number) => bound.add(number),
            Arg::Bytes(bytes) => bound.add(bytes),
            Arg::OptionalText(text) => bound.add(text.as_deref()),
        }
        .map_err(Error::internal)?;
    }
    Ok(bound)
}

/// `($1,$2),($3,$4)`: placeholders for `rows` rows of `columns` columns. SQLite takes `$1` for a name, which it looks up
/// among all others for each argument, so it gets `(?,?),(?,?)`.
pub(crate) fn values(dialect: Dialect, rows: usize, columns: usize) -> String {
    let mut text = String::with_capacity(rows * columns * 6);
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ",(" });
        for column in 0..columns {
            if column > 0 {
                text.push(',');
            }
            match dialect {
                Dialect::Sqlite => text.push('?'),
                // Writing to a String can't fail.
                Dialect::Postgres => drop(write!(text, "${}", row * columns + column + 1)),
            }
        }
        text.push(')');
    }
    text
}

/// Cuts `rows` into runs whose lengths are powers of two, so that multi-row statements come in few texts and stay
/// prepared; 64 rows at most, because more save little and make large statements.
pub(crate) fn runs(mut rows: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let run = [64, 32, 16, 8, 4, 2, 1].into_iter().find(|run| rows >= *run)?;
        rows -= run;
        Some(run)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_count_on() {
        assert_eq!(values(Dialect::Postgres, 2, 3), "($1,$2,$3),($4,$5,$6)");
        assert_eq!(values(Dialect::Sqlite, 2, 3), "(?,?,?),(?,?,?)");
    }

    #[test]
    fn runs_add_up() {
        for rows in 0..700 {
            assert_eq!(runs(rows).sum::<usize>(), rows);
        }
    }
}
