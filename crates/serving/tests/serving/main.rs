//! The whole crate from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod clients;
mod engine;
mod http;
mod models;
