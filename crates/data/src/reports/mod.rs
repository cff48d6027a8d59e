//! What checks of data came to: rows that are only added.
//!
//! A report is durable when it is acknowledged. What follows from it, the contract's status and an event for a hard failure, is
//! made from the rows afterwards, as often as needed ([`crate::Data::run`]): a crash between both loses nothing. A contract's status
//! shows its newest report, whichever was told of last.

//! Lineage is told in the unit that the report is kept in: neither is there without the other.

mod event;
pub(crate) mod http;
mod service;
mod store;
mod tell;

pub use service::{Lineage, NewReport, StoredReport};
pub use store::Filter;
