//! The search grammar: `metrics.accuracy > 0.9 AND params.lr = "0.1"`.
//!
//! Text goes in, typed comparisons come out; no database is involved. Each kind of entity has a module with `parse` for
//! filters and `parse_order_by`. All share one lexer and one grouping of tokens, which follow those of MLflow 3.17 so
//! closely that messages about a wrong filter are the same, piece by piece. The fixtures in `tests/fixtures/filter` were
//! recorded from MLflow itself and are replayed by the tests of this module.
//!
//! A filter is a list of comparisons joined by `AND`. `OR`, `NOT` and parentheses other than those of `IN` are refused
//! with `Invalid clause(s) in filter string: ...`.
//!
//! What differs from MLflow, on purpose or because nobody will notice:
//! - MLflow prints sets in an order that changes with each start of the server; here they are sorted.
//! - A filter that makes MLflow fail with an internal error (a list compared by `=`, an unknown attribute of logged
//!   models, `metrics.a > 'x'` for logged models, names in an `IN` list) is a bad request with a message of our own, as
//!   are page tokens of the wrong type. Duplicates in `order_by` too, with the message of MLflow.
//! - Only ASCII digits are digits, and combining marks count as letters.
//! - Not grouped as SQL would group them: `OVER (...)`, `VALUES (...)`, `AT TIME ZONE`, `LATERAL VIEW`, `GO n`,
//!   `interval '1' day`, `a := b ... ;`; a semicolon between `BEGIN` and `END` separates statements. All are invalid either way; the
//!   message names other pieces.
//! - Logged models: `IN ()` and a number in parentheses are refused, `attributes.creation_time` is understood.
//! - In an `IN` list, hexadecimal numbers, lists, bytes and `\N{...}` are ill-formed.
//!
//! Limits: [`MAX_LENGTH`], [`MAX_TOKENS`] (so an `IN` list has at most some 5000 texts, as in MLflow), [`MAX_CLAUSES`],
//! [`MAX_ORDERS`]; groups nest at most 100 deep.

mod ast;
mod clause;
mod grouping;
mod keywords;
mod lexer;
mod literal;
mod order;
pub(crate) mod python;
mod statement;

pub mod evaluation_datasets;
pub mod experiments;
pub mod like;
pub mod logged_models;
pub mod model_versions;
pub mod page;
pub mod registered_models;
pub mod runs;
pub mod trace_measures;
pub mod traces;

pub use ast::{Comparison, DatasetKey, Field, Operator, Order, Value};

/// Longest filter, and longest clause of an order, in bytes: room for an `IN` list of as many ids as tokens allow.
pub const MAX_LENGTH: usize = 256 * 1024;
/// Most tokens in a filter; each space is one.
pub const MAX_TOKENS: usize = 10_000;
/// Most comparisons in a filter: databases limit how deep an expression nests, and every `AND` is a level.
pub const MAX_CLAUSES: usize = 500;
/// Most clauses of an order.
pub const MAX_ORDERS: usize = 100;

#[cfg(test)]
mod replay;
