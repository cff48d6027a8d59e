#![doc = include_str!("../README.md")]

mod address;
mod client;
mod policy;
mod target;

pub use address::is_public;
pub use client::{Answer, Egress, Failure, Limits};
pub use policy::Policy;
pub use target::Target;
