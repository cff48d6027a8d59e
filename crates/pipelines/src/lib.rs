#![doc = include_str!("../README.md")]

pub mod engine;
pub mod environments;
pub mod expression;
pub mod ir;
pub mod kinds;
mod outputs;
mod placeholders;
mod records;
mod resolve;
pub mod run;
pub mod runs;
pub mod values;

pub use records::Recorder;
