//! Integration tests of the access crate.

mod roles;
