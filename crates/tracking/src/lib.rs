#![doc = include_str!("../README.md")]

pub mod experiments;
pub mod filter;
pub mod logged_models;
pub mod mlflow;
pub mod runs;
mod scope;
mod tags;
mod tracking;

pub use scope::{EXPERIMENTS, Noun, RUNS};
pub use tracking::{Config, Tracking};
