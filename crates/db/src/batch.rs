//! Statements that are known before any of them runs.

use std::fmt::Write as _;

use crate::sql::{Arg, Dialect, runs, values};

/// Rows of one statement at most: more save little and make large statements.
const ROWS: usize = 64;

/// Statements without result whose order among each other does not matter.
///
/// Each statement is a hop to SQLite's thread and back, which takes longer than a small statement itself. So SQLite gets
/// them as one text. PostgreSQL gets them one by one.
#[derive(Debug)]
pub struct Batch {
    dialect: Dialect,
    /// What is run alone, before the rest.
    alone: Vec<(String, Vec<Arg>)>,
    sql: String,
    args: Vec<Arg>,
}

impl Batch {
    /// A batch without statements.
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, alone: Vec::new(), sql: String::new(), args: Vec::new() }
    }

    /// Adds a statement for many rows at once: `before VALUES (…),(…) after`, each row of `columns` arguments; `before`
    /// and `after` hold no placeholder.
    pub fn rows(&mut self, before: &str, columns: usize, args: Vec<Arg>, after: &str) {
        let mut rows = args.len() / columns;
        let mut args = args.into_iter();
        let text = |run| format!("{before} VALUES {} {after}", values(self.dialect, run, columns));
        match self.dialect {
            Dialect::Sqlite => {
                // Whole runs stand alone, so that joined texts are few enough to stay prepared.
                while rows > ROWS {
                    self.alone.push((text(ROWS), args.by_ref().take(ROWS * columns).collect()));
                    rows -= ROWS;
                }
                if rows > 0 {
                    let sql = text(rows);
                    self.join(&sql, args);
                }
            }
            Dialect::Postgres => {
                self.alone.extend(runs(rows).map(|run| (text(run), args.by_ref().take(run * columns).collect())));
            }
        }
    }

    /// Adds `UPDATE table SET a = …, b = …`.
    pub(crate) fn update(&mut self, table: &str, columns: &[&str], args: Vec<Arg>) {
        let mut sql = format!("UPDATE {table} SET ");
        for (index, column) in columns.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            // Writing to a String can't fail.
            let _ = match self.dialect {
                Dialect::Sqlite => write!(sql, "{comma}{column} = ?"),
                Dialect::Postgres => write!(sql, "{comma}{column} = ${}", index + 1),
            };
        }
        match self.dialect {
            Dialect::Sqlite => self.join(&sql, args),
            Dialect::Postgres => self.alone.push((sql, args)),
        }
    }

    /// Adds SQLite's `COMMIT`, behind which there must be nothing. It does not run if a statement before it fails.
    pub(crate) fn commit(&mut self) {
        self.join("COMMIT", []);
    }

    /// Arguments go to a text's placeholders in order, from statement to statement.
    fn join(&mut self, sql: &str, args: impl IntoIterator<Item = Arg>) {
        if !self.sql.is_empty() {
            self.sql.push_str("; ");
        }
        self.sql.push_str(sql);
        self.args.extend(args);
    }

    /// The texts to run, in order, with their arguments.
    pub(crate) fn texts(self) -> impl Iterator<Item = (String, Vec<Arg>)> {
        let joined = (!self.sql.is_empty()).then_some((self.sql, self.args));
        self.alone.into_iter().chain(joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(dialect: Dialect, rows: usize) -> Vec<(String, usize)> {
        let mut batch = Batch::new(dialect);
        batch.rows("INSERT INTO a (b, c)", 2, (0..2 * rows as i64).map(Arg::from).collect(), "");
        batch.update("d", &["e", "f"], vec![Arg::from(1), Arg::from(2)]);
        if dialect == Dialect::Sqlite {
            batch.commit();
        }
        batch.texts().map(|(sql, args)| (sql, args.len())).collect()
    }

    #[test]
    fn sqlite_gets_one_text() {
        let expected = "INSERT INTO a (b, c) VALUES (?,?),(?,?),(?,?) ; UPDATE d SET e = ?, f = ?; COMMIT";
        assert_eq!(texts(Dialect::Sqlite, 3), [(expected.to_owned(), 8)]);
        assert_eq!(texts(Dialect::Sqlite, 0), [("UPDATE d SET e = ?, f = ?; COMMIT".to_owned(), 2)]);
        let many = texts(Dialect::Sqlite, 3 * ROWS);
        assert_eq!(many.iter().map(|(_, args)| *args).collect::<Vec<_>>(), [2 * ROWS, 2 * ROWS, 2 * ROWS + 2]);
    }

    #[test]
    fn postgres_gets_statements() {
        let insert = |values: &str| format!("INSERT INTO a (b, c) VALUES {values} ");
        let expected =
            [(insert("($1,$2),($3,$4)"), 4), (insert("($1,$2)"), 2), ("UPDATE d SET e = $1, f = $2".to_owned(), 2)];
        assert_eq!(texts(Dialect::Postgres, 3), expected);
    }
}
