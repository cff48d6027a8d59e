//! Data contracts: what a file must be like, checked in one pass, where the data is.
//!
//! - [`Spec`] is what people write, [`Plan`] what is checked; [`check_file`] reads a file once and makes a [`Report`].
//! - The server never reads data. It keeps contracts (the kind `DataContract`) and what checks reported.
//! - A hard expectation that is broken, or a file that can't be read, fails the check; a soft one warns.

mod check;
mod kind;
mod report;
mod spec;
mod suggest;

pub use check::{Found, Options, Plan, check};
pub use kind::{DataContract, register};
pub use report::{Example, Outcome, Report, Violation, check_file};
pub use spec::{ColumnSpec, ColumnType, Compare, Expectation, OtherColumns, Relation, Rows, Severity, Spec};
pub use suggest::suggest;
