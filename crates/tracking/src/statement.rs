//! A query that grows by what a search asks for.

use std::fmt::{Arguments, Write as _};

use mcplane_db::{Arg, Dialect};

use crate::filter::{Operator, Value, like};

/// Text and arguments of a query on its way to the database.
#[derive(Debug)]
pub(crate) struct Statement {
    dialect: Dialect,
    pub(crate) text: String,
    pub(crate) args: Vec<Arg>,
}

impl Statement {
    pub(crate) fn new(dialect: Dialect, text: impl Into<String>) -> Self {
        Self { dialect, text: text.into(), args: vec![] }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Adds an argument; gives its number, to be written as `$n`.
    pub(crate) fn bind(&mut self, arg: impl Into<Arg>) -> usize {
        self.args.push(arg.into());
        self.args.len()
    }

    pub(crate) fn add(&mut self, text: Arguments<'_>) {
        // Writing to a String can't fail.
        let _ = self.text.write_fmt(text);
    }

    /// Adds the condition that a filter states of a column.
    pub(crate) fn condition(&mut self, column: &str, op: Operator, value: &Value) {
        match (value, op, self.dialect) {
            (Value::Text(text), Operator::Like, Dialect::Sqlite) => {
                let at = self.bind(like::to_glob(text));
                self.add(format_args!("{column} GLOB ${at}"));
            }
            (Value::Text(text), Operator::Like | Operator::ILike, dialect) => {
                let at = self.bind(if dialect == Dialect::Postgres { like::to_postgres(text) } else { text.clone() });
                match op {
                    Operator::ILike => self.add(format_args!("lower({column}) LIKE lower(${at})")),
                    _ => self.add(format_args!("{column} LIKE ${at}")),
                }
            }
            (Value::TextList(items), op, dialect) => {
                let at = self.bind(Arg::list(items));
                let (op, list) = (op.as_str(), dialect.texts(at));
                self.add(format_args!("{column} {op} {list}"));
            }
            (Value::Text(text), op, _) => self.compare(column, op, text.as_str().into()),
            (Value::Integer(number), op, _) => self.compare(column, op, (*number).into()),
            (Value::Number(number), op, _) => self.compare_number(column, op, *number),
            (Value::Null, op, _) => {
                let op = op.as_str();
                self.add(format_args!("{column} {op}"));
            }
        }
    }

    /// Databases take finite numbers only; what is beyond all of them compares as if the column had the largest.
    fn compare_number(&mut self, column: &str, op: Operator, number: f64) {
        if number.is_nan() {
            return self.add(format_args!("1 = {}", i32::from(op == Operator::Ne)));
        }
        self.compare(column, op, number.clamp(f64::MIN, f64::MAX).into());
    }

    fn compare(&mut self, column: &str, op: Operator, arg: Arg) {
        let (at, op) = (self.bind(arg), op.as_str());
        self.add(format_args!("{column} {op} ${at}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(dialect: Dialect, op: Operator, value: Value) -> String {
        let mut statement = Statement::new(dialect, "");
        statement.condition("c", op, &value);
        statement.text
    }

    #[test]
    fn databases_are_asked_in_their_own_words() {
        let text = || Value::Text("a%".into());
        assert_eq!(condition(Dialect::Sqlite, Operator::Like, text()), "c GLOB $1");
        assert_eq!(condition(Dialect::Postgres, Operator::Like, text()), "c LIKE $1");
        assert_eq!(condition(Dialect::Sqlite, Operator::ILike, text()), "lower(c) LIKE lower($1)");
        assert_eq!(condition(Dialect::Sqlite, Operator::IsNull, Value::Null), "c IS NULL");
        assert_eq!(condition(Dialect::Postgres, Operator::Ge, Value::Number(f64::INFINITY)), "c >= $1");
        assert_eq!(condition(Dialect::Postgres, Operator::Lt, Value::Number(f64::NAN)), "1 = 0");
        let list = Value::TextList(vec!["a".into()]);
        assert!(condition(Dialect::Sqlite, Operator::NotIn, list).starts_with("c NOT IN (SELECT"));
    }
}
