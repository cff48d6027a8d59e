//! Features as users meet them: joins against their definition, views materialised from files, and what the server keeps of
//! it, on each database.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod join;
mod tables;
