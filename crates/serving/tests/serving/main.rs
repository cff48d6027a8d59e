//! The whole crate from outside.

mod clients;
mod engine;
mod http;
mod models;
