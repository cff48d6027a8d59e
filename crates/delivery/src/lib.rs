#![doc = include_str!("../README.md")]

pub mod rollouts;
pub mod routes;
