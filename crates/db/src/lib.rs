#![doc = include_str!("../README.md")]

pub mod audit;
mod compact;
mod error;
mod feed;
mod migrate;
mod open;
mod sql;
mod writer;

pub use compact::Compactor;
pub use feed::{Change, Feed, Operation, Revision, Subscription};
pub use open::{Db, Snapshot, StoreUrl};
pub use sql::{Arg, Dialect, Row, values};
pub use writer::Tx;

#[doc(hidden)]
pub use migrate::migrate_to;
