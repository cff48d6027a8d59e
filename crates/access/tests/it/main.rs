//! Integration tests of the access crate.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that can't go on must stop")]

mod bootstrap;
mod login;
mod rights;
mod roles;
mod tokens;
mod users;
mod world;
