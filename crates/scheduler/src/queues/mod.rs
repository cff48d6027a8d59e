//! Queues: where tasks of a namespace line up. A queue is there as soon as it is named; only what differs from the usual is
//! stored.

pub(crate) mod http;
mod service;

use std::sync::Arc;

use serde::Serialize;

/// What a queue is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueSettings {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Nothing of it is begun; what runs goes on.
    pub paused: bool,
    /// Its share of what its namespace gets, beside other queues.
    pub weight: i64,
    /// The most that run at a time; 0 for any number.
    #[serde(rename = "limit")]
    pub most: i64,
}

/// A queue as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// What it is told.
    #[serde(flatten)]
    pub settings: QueueSettings,
    /// Tasks whose time has not come.
    pub waiting: i64,
    /// Tasks that may be chosen.
    pub ready: i64,
    /// Tasks that run.
    pub running: i64,
}
