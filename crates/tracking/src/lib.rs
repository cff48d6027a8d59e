#![doc = include_str!("../README.md")]

pub mod artifacts;
pub mod experiments;
pub mod filter;
pub mod logged_models;
pub mod metrics;
pub mod mlflow;
pub mod pages;
pub mod runs;
mod scope;
mod tags;
mod tracking;

pub use scope::{ARTIFACTS, EXPERIMENTS, Noun, RUNS, roles};
pub use tracking::{Config, Tracking};
