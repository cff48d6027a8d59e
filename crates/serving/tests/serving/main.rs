//! The whole crate from outside.

mod engine;
