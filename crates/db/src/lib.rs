#![doc = include_str!("../README.md")]

pub mod audit;
mod batch;
mod checkpoint;
mod compact;
mod connection;
mod error;
mod feed;
mod history;
mod migrate;
mod open;
mod sql;
mod sqlite;
mod subscription;
mod tx;
mod writer;

pub use batch::Batch;
pub use compact::Compactor;
pub use feed::{Change, Feed, Operation, Revision};
pub use open::{Db, Snapshot, StoreUrl};
pub use sql::{Arg, Dialect, Row};
pub use subscription::Subscription;
pub use tx::Tx;

#[doc(hidden)]
pub use history::undo_query;
#[doc(hidden)]
pub use migrate::migrate_to;
