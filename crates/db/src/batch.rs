//! Statements that are known before any of them runs.

use crate::sql::{Arg, Dialect, runs, values};

/// Statements without result whose order among each other does not matter.
#[derive(Debug)]
pub struct Batch {
    dialect: Dialect,
    statements: Vec<(String, Vec<Arg>)>,
}

impl Batch {
    /// A batch without statements.
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, statements: Vec::new() }
    }

    /// Adds a statement for many rows at once: `before VALUES (…),(…) after`, each row of `columns` arguments; `before`
    /// and `after` hold no placeholder.
    pub fn rows(&mut self, before: &str, columns: usize, args: Vec<Arg>, after: &str) {
        let rows = args.len() / columns;
        let mut args = args.into_iter();
        self.statements.extend(runs(rows).map(|run| {
            let sql = format!("{before} VALUES {} {after}", values(self.dialect, run, columns));
            (sql, args.by_ref().take(run * columns).collect())
        }));
    }

    /// Adds `UPDATE table SET a = …, b = …`.
    pub(crate) fn update(&mut self, table: &str, columns: &[&str], args: Vec<Arg>) {
        let set = columns.iter().enumerate().map(|(index, column)| format!("{column} = ${}", index + 1));
        self.statements.push((format!("UPDATE {table} SET {}", set.collect::<Vec<_>>().join(", ")), args));
    }

    /// The texts to run, in order, with their arguments.
    pub(crate) fn texts(self) -> impl Iterator<Item = (String, Vec<Arg>)> {
        self.statements.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(dialect: Dialect) -> Vec<(String, usize)> {
        let mut batch = Batch::new(dialect);
        batch.rows("INSERT INTO a (b, c)", 2, (0..6).map(Arg::from).collect(), "");
        batch.update("d", &["e", "f"], vec![Arg::from(1), Arg::from(2)]);
        batch.rows("INSERT INTO g (h)", 1, vec![], "");
        batch.texts().map(|(sql, args)| (sql, args.len())).collect()
    }

    #[test]
    fn rows_come_in_few_texts() {
        let expected = |two: &str, one: &str| {
            let insert = |values: &str| format!("INSERT INTO a (b, c) VALUES {values} ");
            [(insert(two), 4), (insert(one), 2), ("UPDATE d SET e = $1, f = $2".to_owned(), 2)]
        };
        assert_eq!(texts(Dialect::Sqlite), expected("(?,?),(?,?)", "(?,?)"));
        assert_eq!(texts(Dialect::Postgres), expected("($1,$2),($3,$4)", "($1,$2)"));
    }
}
