#![doc = include_str!("../README.md")]

mod access;
mod authenticate;
pub mod bootstrap;
mod http;
pub mod rbac;
mod reviews;
mod service_accounts;
pub mod tokens;
pub mod users;

pub use access::{Access, Config};
pub use authenticate::Anonymous;
