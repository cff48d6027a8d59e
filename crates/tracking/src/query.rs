//! Pieces of the SQL of searches. Texts of clients are always arguments.

use mcplane_core::{Error, Result};
use mcplane_db::{Arg, Dialect};

use crate::filter::{Operator, Value, like};

/// What no row satisfies.
pub(crate) const NEVER: &str = "1 = 0";
/// What every row satisfies.
pub(crate) const ALWAYS: &str = "1 = 1";

/// The arguments of a statement that is being written.
#[derive(Debug)]
pub(crate) struct Args {
    dialect: Dialect,
    args: Vec<Arg>,
}

impl Args {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, args: Vec::new() }
    }

    pub(crate) fn into_args(self) -> Vec<Arg> {
        self.args
    }

    fn push(&mut self, arg: Arg) -> usize {
        self.args.push(arg);
        self.args.len()
    }

    /// The placeholder of an argument.
    pub(crate) fn bind(&mut self, arg: impl Into<Arg>) -> String {
        format!("${}", self.push(arg.into()))
    }

    /// A list of numbers for `IN`.
    pub(crate) fn numbers(&mut self, numbers: &[i64]) -> String {
        let place = self.push(Arg::list(numbers));
        self.dialect.numbers(place)
    }

    /// A list of texts for `IN`.
    fn texts(&mut self, texts: &[String]) -> String {
        let place = self.push(Arg::list(texts));
        self.dialect.texts(place)
    }

    /// A comparison of a column of texts.
    pub(crate) fn text(&mut self, column: &str, op: Operator, value: &Value) -> Result<String> {
        Ok(match (op, value, self.dialect) {
            (Operator::In | Operator::NotIn, Value::TextList(texts), _) => {
                format!("{column} {} {}", op.as_str(), self.texts(texts))
            }
            (Operator::Like, Value::Text(text), Dialect::Sqlite) => {
                format!("{column} GLOB {}", self.bind(like::to_glob(text)))
            }
            (Operator::ILike, Value::Text(text), Dialect::Sqlite) => {
                format!("lower({column}) LIKE lower({})", self.bind(text.as_str()))
            }
            (Operator::Like, Value::Text(text), Dialect::Postgres) => {
                format!("{column} LIKE {}", self.bind(like::to_postgres(text)))
            }
            (Operator::ILike, Value::Text(text), Dialect::Postgres) => {
                format!("lower({column}) LIKE lower({})", self.bind(like::to_postgres(text)))
            }
            (Operator::Eq | Operator::Ne, Value::Text(text), _) => {
                format!("{column} {} {}", op.as_str(), self.bind(text.as_str()))
            }
            _ => return Err(unexpected()),
        })
    }

    /// A comparison of a column of numbers.
    pub(crate) fn number(&mut self, column: &str, op: Operator, value: &Value) -> Result<String> {
        use Operator::{Eq, Ge, Gt, Le, Lt, Ne};
        if !matches!(op, Eq | Ne | Lt | Le | Gt | Ge) {
            return Err(unexpected());
        }
        let number = match value {
            Value::Integer(number) => Arg::from(*number),
            Value::Number(number) if number.is_nan() => return Ok(if op == Ne { ALWAYS } else { NEVER }.to_owned()),
            Value::Number(number) => Arg::from(*number),
            _ => return Err(unexpected()),
        };
        Ok(format!("{column} {} {}", op.as_str(), self.bind(number)))
    }

    /// A column of texts to sort by: by bytes in both databases.
    pub(crate) fn sortable(&self, column: &str) -> String {
        match self.dialect {
            Dialect::Sqlite => column.to_owned(),
            Dialect::Postgres => format!("{column} COLLATE \"C\""),
        }
    }
}

/// The parser lets no such comparison through.
pub(crate) fn unexpected() -> Error {
    Error::internal("a comparison that no store understands")
}

/// `ASC` or `DESC`.
pub(crate) const fn direction(ascending: bool) -> &'static str {
    if ascending { "ASC" } else { "DESC" }
}

/// Which of active and deleted things are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// Those that are not deleted.
    #[default]
    Active,
    /// Those that are.
    Deleted,
    /// Both.
    All,
}

/// Most results that a client may ask for.
pub(crate) const MOST_RESULTS: i64 = 50_000;

pub(crate) fn not_positive(limit: i64) -> Error {
    let message = format!("Invalid value {limit} for parameter 'max_results' supplied. It must be a positive integer");
    Error::bad_request(message)
}
