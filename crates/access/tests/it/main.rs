//! Integration tests of the access crate.

#![allow(clippy::unwrap_used, reason = "a test that can't go on must stop")]

mod roles;
