#![doc = include_str!("../README.md")]

pub mod artifacts;
pub mod datasets;
pub mod evaluation_datasets;
pub mod experiments;
pub mod filter;
mod graphql;
pub mod lineage;
pub mod logged_models;
pub mod metrics;
pub mod mlflow;
pub mod models;
mod outbox;
pub mod pages;
mod passage;
pub mod purge;
mod query;
pub mod runs;
mod scope;
mod scorers;
mod statement;
mod tags;
pub mod traces;
mod tracking;
pub mod webhooks;
pub mod workspaces;

pub use lineage::Push;
pub use outbox::{DeadLetter, Pace};
pub use query::View;
pub use scope::{
    ARTIFACTS, EVALUATION_DATASETS, EXPERIMENTS, LINEAGE, LOGGED_MODELS, MODEL_VERSIONS, MODELS, Noun, RUNS, SCORERS,
    TRACES, WEBHOOKS, roles,
};
pub use tags::Tag;
pub use tracking::{Config, Tracking};
