#![doc = include_str!("../README.md")]

pub mod engine;
pub mod http;
mod invocations;
mod metrics;
pub mod models;
pub mod oip;
mod predictions;
pub mod services;
pub mod tensor;

pub use metrics::Metrics;
pub use predictions::{Made, Predictions};
