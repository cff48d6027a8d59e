//! Materialisation: a view's query is run over its files, and its rows written to one Parquet file.
//!
//! It happens in the process that asks for it, never in the server. The query may read the view's sources and nothing else,
//! and change nothing. It runs within a memory limit; sorts, joins and aggregations beyond it spill to a directory. Rows are
//! sorted by entity, times and features, so that the same inputs give the same bytes, and with them the same digest.

mod engine;
mod inputs;

pub use engine::{Materialized, Options, materialize, output_path};
